/**
 * The file of weights beside a graph (ONNX external data): offsets are planned first, bytes are written later in one pass,
 * hashed on the way. Source: onnx docs/ExternalData.md (offsets that a page size divides can be mapped).
 */
import type { Graph, Layout } from '../onnx/graph.ts';
import type { ExternalLocation } from '../onnx/proto.ts';
import { openStreamDigest } from './digest-stream.ts';
import { createSlabFile, createSlabs } from './slab-file.ts';

/** Big tensors start at a page of the largest page size in use (64 KiB, Windows); small ones at a cache line. */
const [BIG, BIG_ALIGNMENT, SMALL_ALIGNMENT] = [1 << 20, 1 << 16, 64];

export interface WeightEntry extends ExternalLocation {
  readonly name: string;
  readonly layout: Layout;
}

export interface WeightLayout {
  readonly entries: readonly WeightEntry[];
  readonly bytes: number;
}

/** Gives every parameter of `graph` its place, in the order in which the graph uses them. */
export function layOutWeights(graph: Graph): WeightLayout {
  let end = 0;
  const entries = [...graph.parameters.values()].map(({ name, shape, type, layout }) => {
    const length = shape.reduce((n, dim) => n * dim, type === 'float16' ? 2 : 4);
    const alignment = length >= BIG ? BIG_ALIGNMENT : SMALL_ALIGNMENT;
    const offset = Math.ceil(end / alignment) * alignment;
    end = offset + length;
    return { name, layout, offset, length };
  });
  return { entries, bytes: end };
}

export interface WeightWriter extends AsyncDisposable {
  /**
   * Writes the tensors, which must come in the layout's order, each in one or more pieces; yields each one's entry when it is on
   * its way and returns the file's SHA-256. A piece's memory is free again when the next is asked for. One file at a time.
   * @throws RangeError when the tensors do not fill their places; IoError when the file system refuses.
   */
  write(path: string, layout: WeightLayout, tensors: AsyncIterable<Uint8Array>): AsyncGenerator<WeightEntry, string>;
}

/** The memory and the thread that one weight file after the other is written with. */
export function openWeightWriter(): WeightWriter {
  const slabs = createSlabs();
  const digest = openStreamDigest();
  return {
    async *write(path, layout, tensors) {
      await using file = await createSlabFile(path, slabs, digest);
      let end = 0;
      let index = 0;
      let left = 0; // of the tensor that is coming in
      for await (const data of tensors) {
        const entry = layout.entries[index];
        if (!entry)
          throw new RangeError(`${path} has ${layout.entries.length} tensors, and more bytes came after them.`);
        if (left === 0) {
          if (entry.offset > end) await file.append(new Uint8Array(entry.offset - end));
          left = entry.length;
        }
        if (data.byteLength > left) {
          throw new RangeError(
            `Tensor ${index} (${entry.name}) has ${data.byteLength - left} bytes more than the ${entry.length} of its place in ${path}.`,
          );
        }
        await file.append(data);
        left -= data.byteLength;
        if (left > 0) continue;
        end = entry.offset + entry.length;
        index += 1;
        yield entry;
      }
      if (index !== layout.entries.length) {
        throw new RangeError(
          `${path} got ${index} of ${layout.entries.length} tensors${left > 0 ? `, and the next one lacks ${left} bytes` : ''}.`,
        );
      }
      return await file.finish();
    },
    [Symbol.asyncDispose]: () => digest[Symbol.asyncDispose](),
  };
}

/**
 * The file of weights beside a graph (ONNX external data): offsets are planned first, bytes are written later in one pass,
 * hashed on the way. Source: onnx docs/ExternalData.md (offsets that a page size divides can be mapped).
 */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { writingTo } from '../formats/byte-source.ts';
import type { Graph, Layout } from '../onnx/graph.ts';
import type { ExternalLocation } from '../onnx/proto.ts';

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

/**
 * Writes the tensors, which must come in the layout's order; yields each one's entry when it is written and returns the
 * file's SHA-256.
 * @throws RangeError when a tensor has another length than its place.
 */
export async function* writeWeights(
  path: string,
  layout: WeightLayout,
  tensors: AsyncIterable<Uint8Array>,
): AsyncGenerator<WeightEntry, string> {
  const hash = createHash('sha256');
  await using file = await open(path, 'wx');
  let writing: Promise<void> = Promise.resolve();
  // one write is under way while the next tensor is made; a failed one is met at the next append or at the end
  const append = async (bytes: Uint8Array) => {
    await writing;
    writing = writingTo(path, file.appendFile(bytes));
    writing.catch(() => undefined);
    hash.update(bytes);
  };
  let end = 0;
  let index = 0;
  for await (const data of tensors) {
    const entry = layout.entries[index];
    if (!entry || data.byteLength !== entry.length) {
      throw new RangeError(
        `Tensor ${index} (${entry?.name}) has ${data.byteLength} bytes; its place in ${path} has ${entry?.length}.`,
      );
    }
    if (entry.offset > end) await append(new Uint8Array(entry.offset - end));
    await append(data);
    end = entry.offset + entry.length;
    index += 1;
    yield entry;
  }
  if (index !== layout.entries.length)
    throw new RangeError(`${path} got ${index} of ${layout.entries.length} tensors.`);
  await writing;
  await writingTo(path, file.sync());
  return hash.digest('hex');
}

/**
 * The files of weights beside a graph (ONNX external data): offsets are planned first, bytes are written later in one pass,
 * hashed on the way. Sources: onnx docs/ExternalData.md (offsets that a page size divides can be mapped); transformers.js
 * utils/model-loader.js for the names (`getExternalDataChunkNames`) and how many there may be (`MAX_EXTERNAL_DATA_CHUNKS`).
 */
import { type Graph, type Layout, type Parameter, parameterBytes } from '../onnx/graph.ts';
import type { ExternalLocation } from '../onnx/proto.ts';
import { openStreamDigest, type StreamDigest } from './digest-stream.ts';
import { createSlabFile, createSlabs } from './slab-file.ts';

/** Big tensors start at a page of the largest page size in use (64 KiB, Windows); small ones at a cache line. */
const [BIG, BIG_ALIGNMENT, SMALL_ALIGNMENT] = [1 << 20, 1 << 16, 64];

/** So many files of one graph does transformers.js load. */
export const MAX_WEIGHT_FILES = 100;

export interface WeightEntry extends ExternalLocation {
  readonly name: string;
  readonly layout: Layout;
}

export interface WeightFile {
  /** Its name beside the graph. */
  readonly location: string;
  readonly entries: readonly WeightEntry[];
  readonly bytes: number;
}

export interface WeightLayout {
  readonly files: readonly WeightFile[];
  /** Of all files, in the order in which they are written. */
  readonly entries: readonly WeightEntry[];
  /** Of all files. */
  readonly bytes: number;
}

/** model.onnx_data, model.onnx_data_1, model.onnx_data_2 … */
export function weightFileName(index: number): string {
  return `model.onnx_data${index === 0 ? '' : `_${index}`}`;
}

/**
 * Gives every parameter of `graph` its place, in the order in which the graph uses them: in one file, or in as many as it takes for
 * none to be larger than `maxBytes`. A tensor lies in one file; one that is larger than `maxBytes` has a file of its own.
 */
export function layOutWeights(graph: Pick<Graph, 'parameters'>, maxBytes = Number.POSITIVE_INFINITY): WeightLayout {
  const files: { location: string; entries: WeightEntry[]; bytes: number }[] = [];
  for (const parameter of graph.parameters.values()) {
    const { name, layout } = parameter;
    const length = parameterBytes(parameter);
    let file = files.at(-1);
    if (!file || (file.bytes > 0 && aligned(file.bytes, length) + length > maxBytes)) {
      file = { location: weightFileName(files.length), entries: [], bytes: 0 };
      files.push(file);
    }
    const offset = aligned(file.bytes, length);
    file.entries.push({ name, layout, location: file.location, offset, length });
    file.bytes = offset + length;
  }
  return {
    files,
    entries: files.flatMap(({ entries }) => entries),
    bytes: files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** The first place from `end` on where a tensor of `length` bytes may begin. */
function aligned(end: number, length: number): number {
  const alignment = length >= BIG ? BIG_ALIGNMENT : SMALL_ALIGNMENT;
  return Math.ceil(end / alignment) * alignment;
}

/**
 * Where the parameters of `graph` lie in the files of `layout`, which may have been laid out for another graph over the same weights.
 * @throws RangeError for a parameter that is not there, or is there in another size or layout.
 */
export function placesOf(graph: Graph, layout: WeightLayout): ReadonlyMap<string, WeightEntry> {
  const places = new Map(layout.entries.map((entry) => [entry.name, entry]));
  for (const parameter of graph.parameters.values()) {
    const place = places.get(parameter.name);
    const fault = !place ? 'is not there' : differs(parameter, place);
    if (fault)
      throw new RangeError(`The graph ${graph.name} asks the weight files for ${parameter.name}, which ${fault}.`);
  }
  return places;
}

function differs(parameter: Parameter, place: WeightEntry): string | undefined {
  const bytes = parameterBytes(parameter);
  if (bytes !== place.length) return `has ${place.length} bytes there and ${bytes} in the graph`;
  return parameter.layout === place.layout ? undefined : `lies there ${place.layout}, not ${parameter.layout}`;
}

export interface WeightWriter extends AsyncDisposable {
  /**
   * Writes the tensors, which must come in the file's order, each in one or more pieces; yields each one's entry when it is on
   * its way and returns the file's SHA-256 (of a passing file: nothing). A piece's memory is free again when the next is asked for.
   * One file at a time.
   * @throws RangeError when the tensors do not fill their places; IoError when the file system refuses.
   */
  write(
    path: string,
    file: Pick<WeightFile, 'entries'>,
    tensors: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<WeightEntry, string>;
}

export interface WriterOptions {
  /** Files that are read at once and removed soon stay in the page cache; nobody asks for their hash or whether they outlive a power cut. */
  readonly passing?: boolean;
}

/** The memory and the thread that one weight file after the other is written with. */
export function openWeightWriter({ passing = false }: WriterOptions = {}): WeightWriter {
  const slabs = createSlabs();
  const digest = passing ? NO_DIGEST : openStreamDigest();
  return {
    async *write(path, { entries }, tensors) {
      await using file = await createSlabFile(path, slabs, { digest, passing });
      let end = 0;
      let index = 0;
      let left = 0; // of the tensor that is coming in
      for await (const data of tensors) {
        const entry = entries[index];
        if (!entry) throw new RangeError(`${path} has ${entries.length} tensors, and more bytes came after them.`);
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
      if (index !== entries.length) {
        throw new RangeError(
          `${path} got ${index} of ${entries.length} tensors${left > 0 ? `, and the next one lacks ${left} bytes` : ''}.`,
        );
      }
      return await file.finish();
    },
    [Symbol.asyncDispose]: () => digest[Symbol.asyncDispose](),
  };
}

const NO_DIGEST: StreamDigest = {
  update: async () => undefined,
  finish: async () => '',
  [Symbol.asyncDispose]: async () => undefined,
};

/** The weights of a graph where they lie: ONNX external data in the files beside it, which are opened and not read. */
import { dirname, join } from 'node:path';
import { FormatError } from '../errors.ts';
import { type ByteSource, openFile } from '../formats/byte-source.ts';
import type { DType } from '../formats/dtype.ts';
import type { TensorEntry } from '../formats/tensor-file.ts';
import type { ModelInfo } from '../onnx/model-info.ts';
import { externalFaults } from '../runtime/graph-contract.ts';

/** One weight and the file that it lies in. */
export interface OpenWeight {
  readonly source: ByteSource;
  readonly entry: TensorEntry;
}

/** One file and its weights by name. */
export interface OpenWeights {
  readonly path: string;
  readonly weights: ReadonlyMap<string, OpenWeight>;
}

const TYPES: Readonly<Record<string, DType>> = {
  FLOAT16: 'F16',
  FLOAT: 'F32',
  DOUBLE: 'F64',
  BFLOAT16: 'BF16',
  INT8: 'I8',
  UINT8: 'U8',
  INT32: 'I32',
  INT64: 'I64',
};

/** The files are closed with `stack`. @throws FormatError, InputMissingError, IoError */
export async function openGraphWeights(
  path: string,
  info: ModelInfo,
  stack: AsyncDisposableStack,
): Promise<OpenWeights> {
  const [fault] = await externalFaults(path, info); // also: no graph makes us read a file outside the package
  if (fault) throw new FormatError(`${path}: ${fault}.`, { file: path });
  const sources = new Map<string, ByteSource>();
  const weights = new Map<string, OpenWeight>();
  for (const { name, type, shape, external } of info.initializers) {
    const dtype = TYPES[type];
    if (!external || !dtype) continue;
    const { location, offset, length } = external;
    const source = sources.get(location) ?? stack.use(await openFile(join(dirname(path), location)));
    sources.set(location, source);
    weights.set(name, { source, entry: { name, dtype, shape, offset, byteLength: length } });
  }
  return { path, weights };
}

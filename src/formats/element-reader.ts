/** Reads a few elements of a tensor from wherever they lie in its file, so that looking at a large one costs little. */
import type { ByteSource } from './byte-source.ts';
import { DTYPES, type DType, toFloat64 } from './dtype.ts';
import type { TensorEntry } from './tensor-file.ts';

/** Up to this, one read of everything takes less of the processor than several. */
const SMALL_BYTES = 2 ** 17;

/** The numbers of a tensor in C order, by index; those that nobody asked for need not be there. */
export type SparseNumbers = ArrayLike<number>;

/** `indices` are in C order of the tensor, strided or not. @throws what the source throws */
export async function readElements(
  source: ByteSource,
  entry: Pick<TensorEntry, 'dtype' | 'shape' | 'offset' | 'strides'>,
  indices: readonly number[],
): Promise<SparseNumbers> {
  const { dtype, shape, offset } = entry;
  const width = DTYPES[dtype].bytes;
  const length = shape.reduce((n, dim) => n * dim, 1);
  if (!entry.strides && length * width <= SMALL_BYTES)
    return numbersIn(await source.read(offset, length * width), dtype);
  const strides = entry.strides ?? denseStrides(shape);
  const one = async (index: number) => {
    const bytes = await source.read(offset + placeOf(index, shape, strides) * width, width);
    return [index, toFloat64(bytes, dtype)[0] as number] as const;
  };
  return { length, ...Object.fromEntries(await Promise.all(indices.map(one))) };
}

/** Dense numbers as they lie in memory, each converted when it is looked at where the type allows it. */
export function numbersIn(bytes: Uint8Array, dtype: DType): ArrayLike<number> {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'F16' && byteOffset % 2 === 0) return new Float16Array(buffer, byteOffset, byteLength / 2);
  if (dtype === 'F32' && byteOffset % 4 === 0) return new Float32Array(buffer, byteOffset, byteLength / 4);
  return toFloat64(bytes, dtype);
}

function placeOf(index: number, shape: readonly number[], strides: readonly number[]): number {
  let [rest, place] = [index, 0];
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const size = shape[axis] as number;
    place += (rest % size) * (strides[axis] as number);
    rest = Math.floor(rest / size);
  }
  return place;
}

function denseStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => shape.slice(axis + 1).reduce((n, dim) => n * dim, 1));
}

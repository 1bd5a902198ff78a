/** What is summed up of a tensor and its counterpart: ‖B−A‖² and ‖A‖² in float64, and the element that changed most. */
import { type DType, toFloat64 } from '../../formats/dtype.ts';

export interface Sums {
  /** ‖B−A‖²; NaN or infinite where an element is. */
  change: number;
  /** ‖A‖². */
  weight: number;
  largest: LargestChange | undefined;
}

export interface LargestChange {
  /** In the order in which the file has the elements. */
  readonly index: number;
  readonly a: number;
  readonly b: number;
}

type Numbers = Float16Array | Float32Array | Float64Array;

/** Elements as numbers, without a copy where they are floats already; `bytes` must start at a multiple of 8 of its memory. */
export function numbersOf(bytes: Uint8Array, dtype: DType): Numbers {
  const { buffer, byteOffset, byteLength } = bytes;
  if (dtype === 'F16') return new Float16Array(buffer, byteOffset, byteLength / 2);
  if (dtype === 'F32') return new Float32Array(buffer, byteOffset, byteLength / 4);
  return toFloat64(bytes, dtype);
}

/** `from` is the index of the first element in its tensor. */
export function addDifference(sums: Sums, a: Numbers, b: Numbers, from: number): void {
  let [change, weight, at] = [0, 0, -1];
  let most = sums.largest ? square(sums.largest.b - sums.largest.a) : 0;
  // one pass over both, squares in place of absolute values: this loop is all that a comparison of large packages computes
  for (let i = 0; i < a.length; i += 1) {
    const x = a[i] as number;
    const d = (b[i] as number) - x;
    const squared = d * d;
    change += squared;
    weight += x * x;
    if (squared > most) {
      most = squared;
      at = i;
    }
  }
  if (Number.isNaN(change) && !Number.isNaN(most)) at = a.findIndex((x, i) => Number.isNaN((b[i] as number) - x));
  sums.change += change;
  sums.weight += weight;
  if (at >= 0) sums.largest = { index: from + at, a: a[at] as number, b: b[at] as number };
}

/** Of a piece that is the same in both. */
export function addWeight(sums: Sums, a: Numbers): void {
  let weight = 0;
  for (let i = 0; i < a.length; i += 1) weight += square(a[i] as number);
  sums.weight += weight;
}

const square = (x: number): number => x * x;

/**
 * Transposes matrices of 2- and 4-byte elements, tile by tile so that both sides stay in the cache. In plain JavaScript this is as fast
 * as onnxruntime's Transpose with the copies that its binding makes around it, and needs no memory of its own.
 */

/** Rows and columns of a tile: 16 lines of 64 bytes on either side. */
const TILE = 32;

/**
 * Writes the `[rows, columns]` elements of `from` as columns of `to`, which has `columns` rows of `stride` elements: they become
 * those from `at` on. Both start at a multiple of 4 in their memory.
 */
export function transpose(
  from: Uint8Array,
  to: Uint8Array,
  { rows, columns, size, stride = rows, at = 0 }: TransposeOptions,
): void {
  const arePairs = [rows, columns, stride, at].every((n) => n % 2 === 0);
  if (size === 4) transposeWords(words(from), words(to), rows, columns, stride, at);
  else if (arePairs) transposePairs(words(from), words(to), rows / 2, columns / 2, stride / 2, at / 2);
  else transposeHalves(halves(from), halves(to), rows, columns, stride, at);
}

export interface TransposeOptions {
  readonly rows: number;
  readonly columns: number;
  /** Bytes of an element. */
  readonly size: 2 | 4;
  /** Elements of a row of the result; left out, as many as there are rows. */
  readonly stride?: number;
  readonly at?: number;
}

const words = ({ buffer, byteOffset, byteLength }: Uint8Array) => new Uint32Array(buffer, byteOffset, byteLength >> 2);
const halves = ({ buffer, byteOffset, byteLength }: Uint8Array) => new Uint16Array(buffer, byteOffset, byteLength >> 1);

type Kernel<Elements> = (
  from: Elements,
  to: Elements,
  rows: number,
  columns: number,
  stride: number,
  at: number,
) => void;

/** Two by two elements of 2 bytes at a time, counted in pairs: half the loads and stores. */
const transposePairs: Kernel<Uint32Array> = (from, to, rows, columns, stride, at) => {
  for (let top = 0; top < rows; top += TILE / 2) {
    const bottom = Math.min(top + TILE / 2, rows);
    for (let left = 0; left < columns; left += TILE / 2) {
      const right = Math.min(left + TILE / 2, columns);
      for (let x = left; x < right; x += 1) {
        for (let y = top; y < bottom; y += 1) {
          const upper = from[2 * y * columns + x] as number;
          const lower = from[(2 * y + 1) * columns + x] as number;
          to[2 * x * stride + at + y] = (upper & 0xffff) | (lower << 16);
          to[(2 * x + 1) * stride + at + y] = (upper >>> 16) | (lower & 0xffff0000);
        }
      }
    }
  }
};

// One function for each array type: the same function for both would be compiled for neither.

const transposeWords: Kernel<Uint32Array> = (from, to, rows, columns, stride, at) => {
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(top + TILE, rows);
    for (let left = 0; left < columns; left += TILE) {
      const right = Math.min(left + TILE, columns);
      for (let x = left; x < right; x += 1)
        for (let y = top; y < bottom; y += 1) to[x * stride + at + y] = from[y * columns + x] as number;
    }
  }
};

const transposeHalves: Kernel<Uint16Array> = (from, to, rows, columns, stride, at) => {
  for (let y = 0; y < rows; y += 1)
    for (let x = 0; x < columns; x += 1) to[x * stride + at + y] = from[y * columns + x] as number;
};

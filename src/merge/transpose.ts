/**
 * Transposes matrices of 2- and 4-byte elements, tile by tile so that both sides stay in the cache. In plain JavaScript this is as fast
 * as onnxruntime's Transpose with the copies that its binding makes around it, and needs no memory of its own.
 */

/** Rows and columns of a tile: 16 lines of 64 bytes on either side. */
const TILE = 32;

/** Writes the `[rows, columns]` elements of `from` as `[columns, rows]`. Both start at a multiple of 4 in their memory. */
export function transpose(from: Uint8Array, to: Uint8Array, rows: number, columns: number, size: 2 | 4): void {
  if (size === 4) transposeWords(words(from), words(to), rows, columns);
  else if (rows % 2 === 0 && columns % 2 === 0) transposePairs(words(from), words(to), rows, columns);
  else transposeHalves(halves(from), halves(to), rows, columns);
}

const words = ({ buffer, byteOffset, byteLength }: Uint8Array) => new Uint32Array(buffer, byteOffset, byteLength >> 2);
const halves = ({ buffer, byteOffset, byteLength }: Uint8Array) => new Uint16Array(buffer, byteOffset, byteLength >> 1);

/** Two by two elements of 2 bytes at a time: half the loads and stores. */
function transposePairs(from: Uint32Array, to: Uint32Array, rows: number, columns: number): void {
  const [across, down] = [columns / 2, rows / 2];
  for (let top = 0; top < down; top += TILE / 2) {
    const bottom = Math.min(top + TILE / 2, down);
    for (let left = 0; left < across; left += TILE / 2) {
      const right = Math.min(left + TILE / 2, across);
      for (let x = left; x < right; x += 1) {
        for (let y = top; y < bottom; y += 1) {
          const upper = from[2 * y * across + x] as number;
          const lower = from[(2 * y + 1) * across + x] as number;
          to[2 * x * down + y] = (upper & 0xffff) | (lower << 16);
          to[(2 * x + 1) * down + y] = (upper >>> 16) | (lower & 0xffff0000);
        }
      }
    }
  }
}

// One function for each array type: the same function for both would be compiled for neither.

function transposeWords(from: Uint32Array, to: Uint32Array, rows: number, columns: number): void {
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(top + TILE, rows);
    for (let left = 0; left < columns; left += TILE) {
      const right = Math.min(left + TILE, columns);
      for (let x = left; x < right; x += 1)
        for (let y = top; y < bottom; y += 1) to[x * rows + y] = from[y * columns + x] as number;
    }
  }
}

function transposeHalves(from: Uint16Array, to: Uint16Array, rows: number, columns: number): void {
  for (let y = 0; y < rows; y += 1)
    for (let x = 0; x < columns; x += 1) to[x * rows + y] = from[y * columns + x] as number;
}

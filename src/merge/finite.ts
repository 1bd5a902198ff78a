/** Finds numbers that are none, by their bits. */

/** Elements are looked at in blocks: one test per block lets the inner loop run without a branch. */
const BLOCK = 1 << 14;

/** Index of the first NaN or infinity in little-endian `data`, or −1: all exponent bits set. */
export function firstNonFinite(data: Uint8Array, dtype: 'fp16' | 'fp32'): number {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.byteLength >> 2);
  // adding the lowest exponent bit carries into the sign's place exactly where all exponent bits are set
  const [exponent, lowest, carry] =
    dtype === 'fp16' ? [0x7c007c00, 0x04000400, 0x80008000] : [0x7f800000, 0x00800000, 0x80000000];
  for (let start = 0; start < words.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, words.length);
    let seen = 0;
    for (let i = start; i < end; i += 1) seen |= ((words[i] as number) & exponent) + lowest;
    if ((seen & carry) !== 0) return locate(data, dtype, start * 4, end * 4);
  }
  return locate(data, dtype, words.length * 4, data.byteLength);
}

/** The same, one by one, in the bytes from `start` to `end`; the index counts from the beginning of `data`. */
function locate(data: Uint8Array, dtype: 'fp16' | 'fp32', start: number, end: number): number {
  const [size, exponent] = dtype === 'fp16' ? [2, 0x7c00] : [4, 0x7f800000];
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (let at = start; at < end; at += size) {
    const bits = size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
    if ((bits & exponent) === exponent) return at / size;
  }
  return -1;
}

/** Finds numbers that are none, by their bits. */

/** Index of the first NaN or infinity in little-endian `data`, or −1: all exponent bits set. */
export function firstNonFinite(data: Uint8Array, dtype: 'fp16' | 'fp32'): number {
  const half = dtype === 'fp16';
  const bits = half
    ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
    : new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4);
  const exponent = half ? 0x7c00 : 0x7f800000;
  for (let i = 0; i < bits.length; i += 1) if (((bits[i] as number) & exponent) === exponent) return i;
  return -1;
}

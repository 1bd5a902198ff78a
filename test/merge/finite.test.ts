import { describe, expect, it } from 'vitest';
import { firstNonFinite } from '../../src/merge/finite.ts';

const KINDS = {
  fp16: { array: Float16Array, largest: 65504, smallest: 2 ** -24 },
  fp32: { array: Float32Array, largest: 3.4028234663852886e38, smallest: 2 ** -149 },
} as const;

describe.each(['fp16', 'fp32'] as const)('firstNonFinite in %s', (dtype) => {
  const { array, largest, smallest } = KINDS[dtype];
  const bytes = (values: Float16Array | Float32Array) => new Uint8Array(values.buffer);

  it('finds nothing among the largest and smallest numbers of either sign', () => {
    const extremes = [largest, -largest, smallest, -smallest, 0, -0, 1, -1.5, largest];
    for (let length = 0; length <= extremes.length; length += 1) {
      expect(firstNonFinite(bytes(array.from(extremes.slice(0, length))), dtype), `${length} values`).toBe(-1);
    }
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'finds the first %s wherever it is',
    (value) => {
      const length = 70_001;
      for (const at of [0, 1, 2, 3, 16_383, 16_384, 32_767, 32_768, 32_769, 65_535, 65_536, length - 2, length - 1]) {
        const values = new array(length).fill(-largest);
        values[at] = value;
        values[length - 1] = value;
        expect(firstNonFinite(bytes(values), dtype)).toBe(at);
      }
    },
  );

  it('looks at its own part of a larger buffer only', () => {
    const values = new array(32).fill(Number.NaN);
    values.fill(1, 8, 24);
    const { BYTES_PER_ELEMENT: size } = array;
    const part = (from: number, to: number) => new Uint8Array(values.buffer, from * size, (to - from) * size);
    expect(firstNonFinite(part(8, 24), dtype)).toBe(-1);
    expect(firstNonFinite(part(8, 25), dtype)).toBe(16);
    expect(firstNonFinite(part(4, 24), dtype)).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { jsonDifferences } from '../../src/verify/json-difference.ts';
import { differByRounding, ulpDistance } from '../../src/verify/rounding.ts';
import { sampledElements } from '../../src/verify/sampled-elements.ts';

describe('sampled elements', () => {
  it('are one in each of equal stretches, others for another seed, and the same for the same', () => {
    const places = sampledElements('seed', 1600, 16);
    expect(places.map((place) => Math.floor(place / 100))).toEqual(Array.from({ length: 16 }, (_, i) => i));
    expect(new Set(places.map((place) => place % 100)).size).toBeGreaterThan(10);
    expect(sampledElements('seed', 1600, 16)).toEqual(places);
    expect(sampledElements('other', 1600, 16)).not.toEqual(places);
  });

  it('are all of a small tensor', () => {
    expect(sampledElements('seed', 3, 16)).toEqual([0, 1, 2]);
    expect(sampledElements('seed', 0, 16)).toEqual([]);
  });
});

it('JSON values differ where they do', () => {
  expect(jsonDifferences({ a: [1, 2], b: null }, { b: null, a: [1, 2] })).toEqual([]);
  expect(jsonDifferences({ a: [1, { c: 2 }], b: {} }, { a: [1, { c: 3 }, 4], b: [] })).toEqual([
    { at: 'a[1].c', found: 2, expected: 3 },
    { at: 'a[2]', found: undefined, expected: 4 },
    { at: 'b', found: {}, expected: [] },
  ]);
  expect(jsonDifferences(1, '1')).toEqual([{ at: '', found: 1, expected: '1' }]);
});

describe('rounding', () => {
  const halves = (...values: number[]) => new Uint8Array(Float16Array.from(values).buffer);
  const singles = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

  it('counts steps of fp16, across zero too', () => {
    expect(ulpDistance(1, 1)).toBe(0);
    expect(ulpDistance(1 + 2 ** -10, 1)).toBe(1);
    expect(ulpDistance(2 ** -24, -(2 ** -24))).toBe(2);
    expect(ulpDistance(Number.NaN, 1)).toBe(Number.POSITIVE_INFINITY);
  });

  it('is a step of fp16, or what sums in float32 lose in another order', () => {
    expect(differByRounding(halves(1, 2), halves(1 + 2 ** -10, 2), 'fp16')).toBe(true);
    expect(differByRounding(halves(1, 2), halves(1 + 2 ** -9, 2), 'fp16')).toBe(false);
    expect(differByRounding(halves(Number.NaN), halves(1), 'fp16')).toBe(false);
    expect(differByRounding(singles(1, 1e-9), singles(1 + 2 ** -22, 0), 'fp32')).toBe(true);
    expect(differByRounding(singles(1, 1e-5), singles(1, 0), 'fp32')).toBe(false);
    expect(differByRounding(singles(Number.NaN), singles(1), 'fp32')).toBe(false);
  });
});

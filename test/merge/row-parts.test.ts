import { describe, expect, it } from 'vitest';
import type { PlannedTensor } from '../../src/merge/plan.ts';
import { partsOf } from '../../src/merge/row-parts.ts';

/** Elements; eight of these make a part. */
const HALF = 1 << 19;
const tensor = (shape: readonly number[], changes: Partial<PlannedTensor> = {}): PlannedTensor => ({
  name: 'weight',
  component: 'unet',
  kind: 'conv',
  shape,
  source: { file: 0, tensor: 'weight' },
  terms: [],
  gain: 1,
  ...changes,
});
const rowsOf = (planned: PlannedTensor, transposed = false) =>
  partsOf([{ tensor: planned, transposed }]).map(({ rows }) => rows);

describe('partsOf', () => {
  it('cuts a large tensor into whole rows of at most 4 Mi elements', () => {
    expect(rowsOf(tensor([40, HALF]))).toEqual([
      [0, 8],
      [8, 16],
      [16, 24],
      [24, 32],
      [32, 40],
    ]);
    expect(rowsOf(tensor([11, 3 * HALF]))).toEqual([
      [0, 2],
      [2, 4],
      [4, 6],
      [6, 8],
      [8, 10],
      [10, 11],
    ]);
    expect(rowsOf(tensor([2, 9 * HALF]))).toEqual([
      [0, 1],
      [1, 2],
    ]);
  });

  it('leaves whole what is small, transposed or computed', () => {
    expect(rowsOf(tensor([4, 1024, 32, 32]))).toEqual([[0, 4]]);
    expect(rowsOf(tensor([7]))).toEqual([[0, 7]]);
    expect(rowsOf(tensor([40, HALF]), true)).toEqual([[0, 40]]);
    expect(rowsOf(tensor([1, 40, HALF], { source: null }))).toEqual([[0, 1]]);
  });
});

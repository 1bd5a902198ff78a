import { describe, expect, it } from 'vitest';
import { transpose } from '../../src/merge/transpose.ts';

describe.each([
  [2, Uint16Array],
  [4, Uint32Array],
] as const)('transpose of elements of %d bytes', (size, array) => {
  it.each([
    [1, 1],
    [1, 7],
    [2, 2],
    [6, 4],
    [5, 6],
    [32, 32],
    [34, 66],
    [77, 130],
    [130, 77],
    [320, 40],
  ])('turns [%d, %d]', (rows, columns) => {
    const from = new array(rows * columns).map((_, i) => (i * 2654435761) % 2 ** (8 * size));
    const to = new array(from.length);
    transpose(new Uint8Array(from.buffer), new Uint8Array(to.buffer), { rows, columns, size });
    const expected = Array.from(to, (_, i) => from[(i % rows) * columns + Math.floor(i / rows)]);
    expect([...to]).toEqual(expected);
  });

  it.each([
    [[0, 2, 6, 8], 4],
    [[0, 1, 4, 7], 6],
    [[0, 40, 72, 130], 34],
  ])('puts blocks of the rows %j side by side', (cuts, columns) => {
    const rows = cuts.at(-1) as number;
    const from = new array(rows * columns).map((_, i) => i);
    const to = new array(from.length);
    for (const [i, end] of cuts.entries()) {
      if (i === 0) continue;
      const at = cuts[i - 1] as number;
      const block = from.slice(at * columns, end * columns);
      transpose(new Uint8Array(block.buffer), new Uint8Array(to.buffer), {
        rows: end - at,
        columns,
        size,
        stride: rows,
        at,
      });
    }
    expect([...to]).toEqual(Array.from(to, (_, i) => from[(i % rows) * columns + Math.floor(i / rows)]));
  });

  it('stays within its part of a larger buffer', () => {
    const memory = new array(64).fill(9);
    const part = new Uint8Array(memory.buffer, 8 * size, 24 * size);
    transpose(new Uint8Array(new array(24).map((_, i) => i).buffer), part, {
      rows: 4,
      columns: 6,
      size,
    });
    expect([...memory.subarray(8, 12)]).toEqual([0, 6, 12, 18]);
    expect([...memory.subarray(0, 8), ...memory.subarray(32)]).toEqual(Array(40).fill(9));
  });
});

import { describe, expect, it } from 'vitest';
import { createMerger, type LoadedTerm, type Merge } from '../../src/merge/gemm.ts';

const numbers = (shape: readonly [number, number], value: (i: number) => number) => {
  const data = new Float16Array(shape[0] * shape[1]).map((_, i) => value(i));
  return { data, bytes: new Uint8Array(data.buffer), dtype: 'F16' as const, shape };
};

describe('a matrix of several blocks', () => {
  // small integers and their products are exact in fp16, so every sum has one right result
  const [rows, columns, rank] = [1003, 770, 3];
  const weight = numbers([rows, columns], (i) => (i * 7) % 33);
  const up = numbers([rows, rank], (i) => (i * 5) % 8);
  const down = numbers([rank, columns], (i) => (i * 3) % 9);
  const at = (y: number, x: number) => {
    let sum = weight.data[y * columns + x] as number;
    for (let k = 0; k < rank; k += 1)
      sum += 2 * (up.data[y * rank + k] as number) * (down.data[k * columns + x] as number);
    return sum;
  };
  const operand = { file: 0, tensor: 'of no file' };
  const term: LoadedTerm = {
    term: {
      kind: 'lora',
      of: 'lcm',
      operands: { up: operand, down: operand },
      rank,
      alpha: null,
      convention: 'alpha/rank',
      scale: 2,
    },
    operands: { up, down },
  };
  const matrix: Merge = { weight, shape: [rows, columns], gain: 1, terms: [term], transposed: false };

  it.each(['float16', 'float32'] as const)('is merged row by row, and transposed, in %s', async (type) => {
    await using merger = await createMerger(type);
    const read = (bytes: Uint8Array) =>
      new (type === 'float16' ? Float16Array : Float32Array)(bytes.slice().buffer as ArrayBuffer);
    const merged = read(await merger.merge(matrix));
    const turned = read(await merger.merge({ ...matrix, transposed: true }));
    const wrong: string[] = [];
    for (let y = 0; y < rows; y += 1) {
      for (let x = 0; x < columns; x += 1) {
        const expected = at(y, x);
        if (merged[y * columns + x] !== expected || turned[x * rows + y] !== expected) wrong.push(`${y},${x}`);
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it('is left in its own memory where nothing changes it', async () => {
    await using merger = await createMerger('float16');
    expect(await merger.merge({ ...matrix, terms: [] })).toBe(weight.bytes);
  });
});

import { describe, expect, it } from 'vitest';
import { readAhead } from '../../src/merge/read-ahead.ts';
import { createScratch } from '../../src/merge/scratch.ts';

describe('readAhead', () => {
  it('has loaded one item more than was asked for, and gives every item what was loaded for it', async () => {
    const loaded: number[] = [];
    const seen: [number, number][] = [];
    for await (const [item, bytes] of readAhead([10, 20, 30, 40], async (n, { take }) => {
      loaded.push(n);
      return take(4).fill(n);
    })) {
      await new Promise(setImmediate);
      seen.push([item, bytes[3] as number]);
      expect(loaded).toHaveLength(Math.min(seen.length + 1, 4));
    }
    expect(seen).toEqual([10, 20, 30, 40].map((n) => [n, n]));
  });

  it('uses two sets of memory by turns', async () => {
    const buffers = new Set<ArrayBufferLike>();
    for await (const [, { buffer }] of readAhead([1, 2, 3, 4, 5], async (_, { take }) => take(100)))
      buffers.add(buffer);
    expect(buffers.size).toBe(2);
  });

  it('meets a failure when its item is asked for, and not before', async () => {
    const seen: number[] = [];
    const reading = async () => {
      for await (const [item] of readAhead([1, 2], async (n) => {
        if (n === 2) throw new Error('unreadable');
      }))
        seen.push(item);
    };
    await expect(reading()).rejects.toThrow('unreadable');
    expect(seen).toEqual([1]);
  });

  it('waits for what is being read before it ends', async () => {
    let reading = 0;
    for await (const _ of readAhead([1, 2, 3], async () => {
      reading += 1;
      await new Promise((done) => setTimeout(done, 20));
      reading -= 1;
    }))
      break;
    expect(reading).toBe(0);
  });

  it('takes no items for none', async () => {
    expect(await Array.fromAsync(readAhead([], async () => 1))).toEqual([]);
  });
});

describe('createScratch', () => {
  it('gives the same memory again after a reset, and more where it must', () => {
    const scratch = createScratch();
    const [a, b] = [scratch.take(10), scratch.take(20)];
    expect([a.length, b.length]).toEqual([10, 20]);
    expect(a.buffer).not.toBe(b.buffer);
    scratch.reset();
    expect(scratch.take(16).buffer).toBe(a.buffer);
    const grown = scratch.take(1000).fill(1);
    expect(grown).toHaveLength(1000);
    expect(b.buffer.byteLength).toBe(0); // given back
    scratch.reset();
    scratch.take(0);
    expect(scratch.take(999).buffer).toBe(grown.buffer);
  });
});

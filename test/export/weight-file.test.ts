import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { layOutWeights, openWeightWriter, type WeightLayout, type WeightWriter } from '../../src/export/weight-file.ts';
import { createGraph, parameter, rootScope } from '../../src/onnx/graph.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function layoutOf(type: 'float16' | 'float32', shapes: Readonly<Record<string, readonly number[]>>): WeightLayout {
  const graph = createGraph('weights');
  for (const [name, shape] of Object.entries(shapes))
    parameter(rootScope(graph, type), name, shape, name === 'linear' ? 'transposed' : 'as-is');
  return layOutWeights(graph);
}

async function* inOrder(tensors: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* tensors;
}

describe('layOutWeights', () => {
  it('starts small tensors at a cache line and those of a MB at 64 KiB, in the graph’s order', () => {
    expect(layoutOf('float16', { linear: [3, 5], bias: [3], big: [512, 1024], last: [] })).toEqual({
      entries: [
        { name: 'linear', layout: 'transposed', offset: 0, length: 30 },
        { name: 'bias', layout: 'as-is', offset: 64, length: 6 },
        { name: 'big', layout: 'as-is', offset: 65536, length: 1 << 20 },
        { name: 'last', layout: 'as-is', offset: 65536 + (1 << 20), length: 2 },
      ],
      bytes: 65536 + (1 << 20) + 2,
    });
    expect(layoutOf('float32', { a: [17], b: [1] }).entries.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 68],
      [128, 4],
    ]);
  });
});

describe('openWeightWriter', () => {
  const layout = layoutOf('float16', { a: [2], b: [3] });
  let writer: WeightWriter;
  beforeAll(() => {
    writer = openWeightWriter();
  });
  afterAll(() => writer[Symbol.asyncDispose]());

  async function write(path: string, places: WeightLayout, pieces: readonly Uint8Array[]) {
    const writing = writer.write(path, places, inOrder(pieces));
    const names: string[] = [];
    let step = await writing.next();
    for (; !step.done; step = await writing.next()) names.push(step.value.name);
    return { names, sha256: step.value };
  }

  it('puts every tensor at its place, zeros between, and returns the hash of the file', async () => {
    const path = join(await temporaryFolder(), 'weights');
    const { names, sha256 } = await write(path, layout, [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8, 9, 10)]);
    const data = await readFile(path);
    expect(names).toEqual(['a', 'b']);
    expect([...data]).toEqual([1, 2, 3, 4, ...Array(60).fill(0), 5, 6, 7, 8, 9, 10]);
    expect(sha256).toBe(createHash('sha256').update(data).digest('hex'));
  });

  it('takes tensors in pieces whose memory is used again, through all of its slabs', async () => {
    const MB = 1 << 20;
    const path = join(await temporaryFolder(), 'weights');
    const large = layoutOf('float16', { first: [3], large: [30 * MB + 1], last: [5] });
    const expected = createHash('sha256');
    async function* pieces() {
      const memory = new Uint8Array(7 * MB);
      for (const [index, { offset, length }] of large.entries.entries()) {
        const before = large.entries[index - 1];
        if (before) expected.update(new Uint8Array(offset - before.offset - before.length));
        for (let done = 0; done < length; ) {
          const piece = memory.subarray(0, Math.min(memory.length, length - done)).fill((done / MB) * 7 + index + 1);
          expected.update(piece);
          done += piece.length;
          yield piece;
        }
      }
    }
    const writing = writer.write(path, large, pieces());
    let step = await writing.next();
    while (!step.done) step = await writing.next();
    const data = await readFile(path);
    expect(data.length).toBe(large.bytes);
    const sha256 = createHash('sha256').update(data).digest('hex');
    expect([step.value, sha256]).toEqual(Array(2).fill(expected.digest('hex')));
  });

  it.each([
    [
      'a tensor that is too long',
      [new Uint8Array(4), new Uint8Array(4), new Uint8Array(4)],
      /Tensor 1 \(b\) has 2 bytes more than the 6 of its place in \S+/,
    ],
    ['too few tensors', [new Uint8Array(4)], /got 1 of 2 tensors\.$/],
    ['half a tensor', [new Uint8Array(4), new Uint8Array(4)], /got 1 of 2 tensors, and the next one lacks 2 bytes\.$/],
    [
      'too many tensors',
      [new Uint8Array(4), new Uint8Array(6), new Uint8Array(2)],
      /has 2 tensors, and more bytes came/,
    ],
  ])('refuses %s', async (_, tensors, message) => {
    const path = join(await temporaryFolder(), 'weights');
    await expect(write(path, layout, tensors)).rejects.toThrow(message);
  });

  it('never writes over a file', async () => {
    const path = join(await temporaryFolder(), 'weights');
    const once = () => write(path, layout, [new Uint8Array(4), new Uint8Array(6)]);
    await once();
    await expect(once()).rejects.toThrow(/EEXIST/);
  });
});

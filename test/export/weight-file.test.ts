import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { layOutWeights, type WeightLayout, writeWeights } from '../../src/export/weight-file.ts';
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

describe('writeWeights', () => {
  const layout = layoutOf('float16', { a: [2], b: [3] });

  it('puts every tensor at its place, zeros between, and returns the hash of the file', async () => {
    const path = join(await temporaryFolder(), 'weights');
    const writing = writeWeights(path, layout, inOrder([Uint8Array.of(1, 2, 3, 4), Uint8Array.of(5, 6, 7, 8, 9, 10)]));
    const written: string[] = [];
    let step = await writing.next();
    for (; !step.done; step = await writing.next()) written.push(step.value.name);
    const data = await readFile(path);
    expect(written).toEqual(['a', 'b']);
    expect([...data]).toEqual([1, 2, 3, 4, ...Array(60).fill(0), 5, 6, 7, 8, 9, 10]);
    expect(step.value).toBe(createHash('sha256').update(data).digest('hex'));
  });

  it.each([
    [
      'a tensor of another length',
      [new Uint8Array(4), new Uint8Array(4)],
      /Tensor 1 \(b\) has 4 bytes; its place in \S+ has 6/,
    ],
    ['too few tensors', [new Uint8Array(4)], /got 1 of 2 tensors/],
    [
      'too many tensors',
      [new Uint8Array(4), new Uint8Array(6), new Uint8Array(2)],
      /Tensor 2 \(undefined\) has 2 bytes/,
    ],
  ])('refuses %s', async (_, tensors, message) => {
    const path = join(await temporaryFolder(), 'weights');
    await expect(Array.fromAsync(writeWeights(path, layout, inOrder(tensors)))).rejects.toThrow(message);
  });

  it('never writes over a file', async () => {
    const path = join(await temporaryFolder(), 'weights');
    const once = () => Array.fromAsync(writeWeights(path, layout, inOrder([new Uint8Array(4), new Uint8Array(6)])));
    await once();
    await expect(once()).rejects.toThrow(/EEXIST/);
  });
});

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  layOutWeights,
  openWeightWriter,
  placesOf,
  type WeightLayout,
  type WeightWriter,
} from '../../src/export/weight-file.ts';
import { createGraph, type Graph, parameter, rootScope } from '../../src/onnx/graph.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

function graphOf(type: 'float16' | 'float32', shapes: Readonly<Record<string, readonly number[]>>): Graph {
  const graph = createGraph('weights');
  for (const [name, shape] of Object.entries(shapes))
    parameter(rootScope(graph, type), name, shape, name === 'linear' ? 'transposed' : 'as-is');
  return graph;
}

const layoutOf = (...weights: Parameters<typeof graphOf>): WeightLayout => layOutWeights(graphOf(...weights));

async function* inOrder(tensors: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* tensors;
}

describe('layOutWeights', () => {
  it('starts small tensors at a cache line and those of a MB at 64 KiB, in the graph’s order', () => {
    const location = 'model.onnx_data';
    const bytes = 65536 + (1 << 20) + 2;
    const entries = [
      { name: 'linear', layout: 'transposed', location, offset: 0, length: 30 },
      { name: 'bias', layout: 'as-is', location, offset: 64, length: 6 },
      { name: 'big', layout: 'as-is', location, offset: 65536, length: 1 << 20 },
      { name: 'last', layout: 'as-is', location, offset: 65536 + (1 << 20), length: 2 },
    ];
    expect(layoutOf('float16', { linear: [3, 5], bias: [3], big: [512, 1024], last: [] })).toEqual({
      files: [{ location, entries, bytes }],
      entries,
      bytes,
    });
    expect(layoutOf('float32', { a: [17], b: [1] }).entries.map(({ offset, length }) => [offset, length])).toEqual([
      [0, 68],
      [128, 4],
    ]);
  });

  it.each([
    // a limit that is met exactly, padding included
    [68, { a: [2], b: [2], c: [2] }, [['a', 'b'], ['c']], [68, 4]],
    [67, { a: [2], b: [2], c: [2] }, [['a'], ['b'], ['c']], [4, 4, 4]],
    // in the graph's order, whatever would fit behind what came before
    [100, { a: [32], b: [40], c: [2] }, [['a'], ['b'], ['c']], [64, 80, 4]],
  ])('makes files of at most %d bytes', (limit, shapes, names, bytes) => {
    const layout = layOutWeights(graphOf('float16', shapes), limit);
    expect(layout.files.map(({ entries }) => entries.map(({ name }) => name))).toEqual(names);
    expect(layout.files.map((file) => file.bytes)).toEqual(bytes);
    expect(layout.files.map(({ location }) => location)).toEqual(
      ['model.onnx_data', 'model.onnx_data_1', 'model.onnx_data_2'].slice(0, names.length),
    );
    for (const { location, entries } of layout.files) {
      expect(entries[0]?.offset).toBe(0);
      for (const entry of entries) expect(entry.location).toBe(location);
    }
    expect(layout.bytes).toBe(layout.files.reduce((sum, file) => sum + file.bytes, 0));
  });
});

describe('placesOf', () => {
  const layout = layOutWeights(graphOf('float16', { linear: [3, 5], bias: [3] }), 40);

  it('finds the weights of a graph that asks in another order, or for some of them only', () => {
    const places = placesOf(graphOf('float16', { bias: [3], linear: [3, 5] }), layout);
    expect([...places.values()].map(({ name, location, offset }) => [name, location, offset])).toEqual([
      ['linear', 'model.onnx_data', 0],
      ['bias', 'model.onnx_data_1', 0],
    ]);
    expect(placesOf(graphOf('float16', { bias: [3] }), layout).get('bias')).toMatchObject({ offset: 0, length: 6 });
  });

  it.each([
    ['that is not there', graphOf('float16', { other: [3] }), /other, which is not there\.$/],
    ['of another type', graphOf('float32', { bias: [3] }), /bias, which has 6 bytes there and 12 in the graph\.$/],
  ])('refuses a weight %s', (_, graph, message) => {
    expect(() => placesOf(graph, layout)).toThrow(message);
  });

  it('refuses a weight of another layout', () => {
    const graph = createGraph('other');
    parameter(rootScope(graph, 'float16'), 'linear', [5, 3], 'as-is');
    expect(() => placesOf(graph, layout)).toThrow(/linear, which lies there transposed, not as-is\.$/);
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

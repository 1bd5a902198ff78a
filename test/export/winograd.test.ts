/** Winograd's convolution against onnxruntime's own, which ops.test.ts holds to PyTorch. */
import { describe, expect, it } from 'vitest';
import { type TileSize, winogradConv } from '../../src/export/targets/winograd.ts';
import { addInput, addOutput, createGraph, type Dim, rootScope, type Scope, type Value } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { type Numbers, runGraph } from '../helpers/sessions.ts';

const noise = (seed: number, ...shape: number[]): Numbers => ({
  type: 'float32',
  shape,
  data: Array.from(createGenerator(seed).randn(shape.reduce((n, dim) => n * dim, 1))),
});

/** ‖error‖ / ‖value‖ of sums of 9·24 products; the textbook's points for tiles of 4 would miss theirs. */
const LIMIT: Record<TileSize, number> = { 2: 4e-7, 4: 8e-7 };

const [INTO, OUT] = [24, 16];

/** Both convolutions of one image, channels last, as the outputs of one graph. */
function bothGraphs(images: Dim, height: number, width: number, convolve: (s: Scope, x: Value, w: Value) => Value) {
  const graph = createGraph('convolutions');
  const s = rootScope(graph, 'float32');
  const x = addInput(graph, 'x', 'float32', [images, height, width, INTO]);
  const weight = addInput(graph, 'weight', 'float32', [OUT, INTO, 3, 3]);
  addOutput(s, convolve(s, x, weight), 'found');
  const direct = op.Conv(s, op.Transpose(s, x, [0, 3, 1, 2]), weight, undefined, { pad: 1 });
  addOutput(s, op.Transpose(s, direct, [0, 2, 3, 1]), 'expected');
  return graph;
}

describe.each([2, 4] as const)('a convolution in tiles of %i', (size) => {
  it.each([
    ['whole tiles, many of them', 3, 24, 20],
    ['tiles that reach beyond the image', 2, 10, 7],
    ['an image smaller than a tile', 1, 1, 3],
    ['a product of weights by few tiles', 2, 8, 8],
  ] as const)('is the direct one: %s', async (_, images, height, width) => {
    const graph = bothGraphs(images, height, width, (s, x, w) => winogradConv(s, x, w, size));
    const feeds = { x: noise(1, images, height, width, INTO), weight: noise(2, OUT, INTO, 3, 3) };
    const [found, expected] = (await runGraph(graph, feeds)) as [Numbers, Numbers];
    expect(found.shape).toEqual([images, height, width, OUT]);
    expect(relativeRms(found.data, expected.data)).toBeLessThan(LIMIT[size]);
  });

  it('takes any number of images where that is symbolic', async () => {
    const graph = bothGraphs('images', 6, 9, (s, x, w) => winogradConv(s, x, w, size));
    for (const images of [1, 5]) {
      const feeds = { x: noise(3, images, 6, 9, INTO), weight: noise(4, OUT, INTO, 3, 3) };
      const [found, expected] = (await runGraph(graph, feeds)) as [Numbers, Numbers];
      expect(found.shape).toEqual([images, 6, 9, OUT]);
      expect(relativeRms(found.data, expected.data)).toBeLessThan(LIMIT[size]);
    }
  });
});

/** The sums of the cost model, against what PyTorch counts in diffusers' and transformers' models (test/oracle/cost.py). */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { STOCK_FOLDER } from '../../src/architecture/stock.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import type { Target } from '../../src/export/targets/target.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph, vaeEncoderGraph } from '../../src/export/vae.ts';
import { addInput, addOutput, createGraph, emit, parameter, rootScope } from '../../src/onnx/graph.ts';
import { type CostedGraph, costedGraph, graphCost, openLengths, sumUp, traffic } from '../../src/onnx/graph-cost.ts';
import * as op from '../../src/onnx/ops.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

interface UNetCase {
  readonly batch: number;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  readonly motion_mid: boolean;
  readonly flops: number;
  readonly motion: number;
  readonly cross_attention_keys_values: number;
  readonly time_projections: number;
  readonly time_embedding: number;
}

type VaeCases = Readonly<
  Record<'sd15' | 'tiny', readonly { images: number; height: number; width: number; flops: number }[]>
>;

const golden = JSON.parse(await readFile('test/golden/cost.json', 'utf8')) as {
  readonly random: object;
  readonly unet: Readonly<Record<'sd15' | 'tiny' | 'random', readonly UNetCase[]>>;
  readonly text_encoder: Readonly<Record<'sd15' | 'tiny', readonly { batch: number; flops: number }[]>>;
  readonly vae_decoder: VaeCases;
  readonly vae_encoder: VaeCases;
};

const FOLDER = { sd15: STOCK_FOLDER, tiny: 'models/tiny/base' } as const;

async function unetConfig(family: keyof typeof golden.unet) {
  if (family !== 'random') return readUNetConfig(join(FOLDER[family], 'unet/config.json'));
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(golden.random));
  return readUNetConfig(path);
}

describe('operations are those that PyTorch counts', () => {
  const targets = Object.values(TARGETS);
  const unets = Object.entries(golden.unet).flatMap(([family, cases]) =>
    cases.flatMap((each) =>
      targets.map((target) => ({ family: family as keyof typeof golden.unet, target, name: target.name, ...each })),
    ),
  );

  it.each(unets)('UNet $family, $batch × $frames × $height × $width, $name', async (each) => {
    const structure = unetStructure(await unetConfig(each.family), { mid: each.motion_mid });
    const { batch, frames, height, width, target } = each;
    // text keys and values once per prompt, not once per frame of it; time once per step, not once per prompt and frame (but for
    // its projections in the graph for CUDA, whose SkipGroupNorm takes a row for every frame)
    const once = (flops: number, times: number) => flops - flops / times;
    const shared =
      once(each.cross_attention_keys_values, frames) +
      once(each.time_projections, target.name === 'cuda' ? 1 : batch * frames) +
      once(each.time_embedding, batch);
    const open = { batch: 'batch', frames: 'frames', height: 'height', width: 'width' } as const;
    for (const lengths of [{ batch, frames, height, width }, open]) {
      const graph = costedGraph(
        unetMotionGraph(structure, {
          ...{ target, type: 'float16', tokens: 77, motionNorm: 'per-frame', positions: 32, ...lengths },
        }),
      );
      expect(openLengths(graph)).toEqual(lengths === open ? Object.keys(open) : []);
      const cost = graphCost(graph, { batch, frames, height, width });
      expect(cost).toMatchObject({ unknown_operators: {}, unsized_nodes: 0 });
      // Winograd's convolution, which needs to know the image's size, has fewer products
      const fewer = graph.nodes.some(({ opType }) => opType === 'Einsum');
      expect(fewer).toBe(target.name === 'cpu' && lengths !== open && each.family === 'sd15');
      // with channels last on the CPU, sums of a normalisation are products with ones
      const products = cost.nodes.filter(({ name }) => !/norm\w*\/MatMul/.test(name));
      const { matrix_flops } = sumUp(products);
      if (fewer) expect(matrix_flops).toBeLessThan(0.9 * (each.flops - shared));
      else expect(matrix_flops).toBe(each.flops - shared);
      const motion = sumUp(products.filter(({ name }) => name.includes('motion_modules.')));
      expect(motion.matrix_flops).toBe(each.motion);
    }
  });

  it.each(Object.entries(golden.text_encoder))('text encoder %s', async (family, cases) => {
    const config = await readClipTextConfig(join(FOLDER[family as 'sd15' | 'tiny'], 'text_encoder/config.json'));
    for (const { batch, flops } of cases) {
      const costOf = (target: Target) =>
        graphCost(costedGraph(clipTextGraph(config, { target, type: 'float16', batch: 'batch' })), { batch });
      for (const target of targets) {
        expect(costOf(target)).toMatchObject({
          unknown_operators: {},
          unsized_nodes: 0,
          total: { matrix_flops: flops },
        });
      }
    }
  });

  it.each([
    ['decoder', 'sd15', vaeDecoderGraph, golden.vae_decoder.sd15],
    ['decoder', 'tiny', vaeDecoderGraph, golden.vae_decoder.tiny],
    ['encoder', 'sd15', vaeEncoderGraph, golden.vae_encoder.sd15],
    ['encoder', 'tiny', vaeEncoderGraph, golden.vae_encoder.tiny],
  ] as const)('VAE %s %s', async (_, family, make, cases) => {
    const config = await readVaeConfig(join(FOLDER[family], 'vae/config.json'));
    const open = { images: 'images', height: 'height', width: 'width' } as const;
    for (const { flops, ...lengths } of cases) {
      for (const target of targets) {
        const cost = graphCost(costedGraph(make(config, { target, type: 'float32', ...open })), lengths);
        expect(cost).toMatchObject({ unknown_operators: {}, unsized_nodes: 0, total: { matrix_flops: flops } });
      }
    }
  });
});

/** `sigmoid(x·w) + x`, x float32 [2, 8], w float16 [8, 8] cast to float32: 64 bytes and 128 that become 256. */
function small(): CostedGraph {
  const graph = createGraph('small');
  const s = rootScope(graph, 'float16', 'layer');
  const x = addInput(graph, 'x', 'float32', [2, 8]);
  const w = op.Cast(s, parameter(s, 'weight', [8, 8]), { to: 'float32' });
  const product = op.MatMul(s, x, w);
  const gate = op.Sigmoid(s, op.Reshape(s, product, [4, 4]));
  addOutput(s, op.Add(s, op.Reshape(s, gate, [2, 8]), x), 'y');
  return costedGraph(graph);
}

describe('a graph', () => {
  it('costs the sum of its nodes, what hangs on weights alone being done at load', () => {
    const cost = graphCost(small());
    expect(cost.folded_nodes).toBe(1);
    expect(cost.total).toEqual({
      nodes: 6,
      matrix_flops: 2 * 2 * 8 * 8,
      other_flops: 4 * 16 + 16,
      activation_bytes_read: 64 + 64 + 128, // MatMul, Sigmoid, Add
      weight_bytes_read: 256,
      bytes_written: 3 * 64,
    });
    expect(traffic(cost.total)).toBe(64 + 64 + 128 + 256 + 192);
    expect(cost.least_bytes).toBe(256 + 64 + 64);
    expect(cost.operators['MatMul']).toEqual({
      nodes: 1,
      matrix_flops: 256,
      other_flops: 0,
      activation_bytes_read: 64,
      weight_bytes_read: 256,
      bytes_written: 64,
    });
    expect(Object.values(cost.operators).reduce((n, { nodes }) => n + nodes, 0)).toBe(cost.nodes.length);
  });

  it('needs memory for what is alive at a time: values until their last use, views with what they view', () => {
    // at Sigmoid: x, the product (seen through a Reshape) and the gate; at Add: x, the gate, the sum
    expect(graphCost(small()).peak_activations).toMatchObject({
      bytes: 3 * 64,
      node: expect.stringContaining('Sigmoid'),
    });
    const graph = createGraph('chain');
    const s = rootScope(graph, 'float32');
    let x = addInput(graph, 'x', 'float32', [10]);
    const kept = op.Sqrt(s, x);
    for (let i = 0; i < 5; i += 1) x = op.Sigmoid(s, x);
    addOutput(s, op.Concat(s, [x, kept], { axis: 0 }), 'y');
    // the input, the kept one and the last two; then at Concat: the input, both parts and the result of double length
    expect(graphCost(costedGraph(graph)).peak_activations.bytes).toBe(5 * 40);
  });

  it('says what it could not count', () => {
    const graph = createGraph('foreign');
    const s = rootScope(graph, 'float32');
    const x = addInput(graph, 'x', 'float32', ['n', 4]);
    const y = emit(s, 'Mystery', [x], {}, 'float32', ['n', 4], undefined, 'org.example');
    const z = emit(s, 'NonZero', [y], {}, 'int64', [2, 'found']);
    addOutput(s, op.Cast(s, op.Cast(s, z, { to: 'float32' }), { to: 'int64' }), 'z');
    const cost = graphCost(costedGraph(graph), { n: 3 });
    expect(cost.unknown_operators).toEqual({ 'org.example:Mystery': 1 });
    expect(cost.unsized_nodes).toBe(4); // NonZero, two Casts, Identity
    expect(cost.total.nodes).toBe(0);
    expect(graphCost(costedGraph(graph)).unsized_nodes).toBe(5);
  });
});

/**
 * The graphs for WebGPU without a GPU: the CPU has kernels for all that is in them, and computes with them what it computes with
 * the portable graphs, which golden values from diffusers hold. What a WebGPU device makes of them: webgpu-device.test.ts.
 */
import { describe, expect, it } from 'vitest';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import type { FloatType } from '../../src/export/targets/target.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph } from '../../src/export/vae.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { withRandomWeights } from '../helpers/random-weights.ts';
import { runGraph } from '../helpers/sessions.ts';
import { feedsFor, SMALL_MODELS, UNETS } from '../helpers/small-models.ts';

const { portable, webgpu } = TARGETS;

/** ‖error‖ / ‖value‖: only the order of sums differs in float32; fp16 rounds every value on the way. */
const LIMIT: Record<FloatType, number> = { float32: 3e-6, float16: 3e-3 };

const STATIC = { batch: 2, frames: 3, height: 6, width: 4 };
/** Those, and what the symbols of text states stand for. */
const LENGTHS = { ...STATIC, tokens: 7, 'batch * frames': 6 };
const SYMBOLS = { batch: 'batch', frames: 'frames', height: 'height', width: 'width' };

async function difference(of: Graph, own: Graph): Promise<number> {
  const [expected] = await runGraph(withRandomWeights(of), feedsFor(of, LENGTHS));
  const [found] = await runGraph(withRandomWeights(own), feedsFor(own, LENGTHS));
  return relativeRms(found?.data ?? [], expected?.data ?? []);
}

const operators = (graph: Graph) => new Set(graph.nodes.map(({ opType }) => opType));

describe.each(['float32', 'float16'] as const)('graphs for WebGPU in %s agree with the portable ones', (type) => {
  it.each(Object.keys(UNETS) as (keyof typeof UNETS)[])('UNet of %s', async (name) => {
    const structure = UNETS[name];
    for (const [motionNorm, lengths, promptPerFrame] of [
      ['per-frame', STATIC, false],
      ['pooled', SYMBOLS, false],
      ['per-frame', STATIC, true],
      ['pooled', SYMBOLS, true],
    ] as const) {
      const tokens = lengths === SYMBOLS ? 'tokens' : 7;
      const options = { ...lengths, type, tokens, promptPerFrame, motionNorm, positions: 8 };
      const [of, own] = [portable, webgpu].map((target) => unetMotionGraph(structure, { ...options, target }));
      expect(await difference(of as Graph, own as Graph), motionNorm).toBeLessThan(LIMIT[type]);
    }
  });

  it('text encoder', async () => {
    const [of, own] = [portable, webgpu].map((target) =>
      clipTextGraph(SMALL_MODELS.text_encoder, { target, type, batch: STATIC.batch }),
    );
    expect(await difference(of as Graph, own as Graph)).toBeLessThan(LIMIT[type]);
  });

  it('VAE decoder', async () => {
    const { height, width } = STATIC;
    const [of, own] = [portable, webgpu].map((target) =>
      vaeDecoderGraph(SMALL_MODELS.vae, { target, type, images: 'images', height, width }),
    );
    expect(await difference(of as Graph, own as Graph)).toBeLessThan(LIMIT[type]);
  });
});

describe('graphs for WebGPU', () => {
  const graphOf = (name: keyof typeof UNETS, type: FloatType = 'float16') =>
    unetMotionGraph(UNETS[name], {
      ...STATIC,
      target: webgpu,
      type,
      tokens: 7,
      motionNorm: 'per-frame',
      positions: 8,
    });

  it('attend in one kernel where it takes the heads, in operators of ONNX where it does not', () => {
    expect(operators(graphOf('heads of 8 and 12'))).toContain('MultiHeadAttention');
    expect(operators(graphOf('heads of 8 and 12'))).not.toContain('Softmax');
    expect(operators(graphOf('odd heads'))).toContain('Softmax');
    expect(operators(graphOf('odd heads'))).not.toContain('MultiHeadAttention');
  });

  it('have one head of 512 channels, as SD1.5’s VAE has, attend in operators of ONNX', () => {
    const vae = { ...SMALL_MODELS.vae, block_out_channels: [16, 512], norm_num_groups: 8 };
    const options = { type: 'float16', images: 1, height: 2, width: 2 } as const;
    expect(operators(vaeDecoderGraph(vae, { target: webgpu, ...options }))).not.toContain('MultiHeadAttention');
  });

  it('have 64-bit integers in nothing but shapes, which the CPU may work out', () => {
    const { height, width } = SYMBOLS;
    const options = { ...SYMBOLS, target: webgpu, type: 'float16', tokens: 7, positions: 8 } as const;
    const graphs = [
      ...(['per-frame', 'pooled'] as const).map((motionNorm) =>
        unetMotionGraph(UNETS['heads of 8 and 12'], { ...options, motionNorm }),
      ),
      vaeDecoderGraph(SMALL_MODELS.vae, { ...options, images: 'images', height, width }),
    ];
    for (const { inputs, nodes, shapeValues } of graphs) {
      expect(inputs.map(({ type }) => type)).not.toContain('int64');
      const shapes = new Set([...shapeValues.values()].map(({ name }) => name));
      const uses = nodes.flatMap(({ opType, inputs: names, outputs }) =>
        names.flatMap((name, at) => (shapes.has(name) && !shapes.has(outputs[0] ?? '') ? [`${opType} ${at}`] : [])),
      );
      expect(uses.length).toBeGreaterThan(0);
      expect(uses.filter((use) => !/^(Reshape 1|Expand 1|Slice 2|Resize 3)$/.test(use))).toEqual([]);
    }
  });

  it('and the portable ones that stand in for them bind no more than eight buffers to a Split', () => {
    for (const target of [portable, webgpu]) {
      const big = { batch: 2, frames: 16, height: 64, width: 64, target, type: 'float16', tokens: 7 } as const;
      const { nodes } = unetMotionGraph(UNETS['odd heads'], { ...big, motionNorm: 'per-frame', positions: 16 });
      const outputs = nodes.filter(({ opType }) => opType === 'Split').map((node) => node.outputs.length);
      expect(outputs.length).toBeGreaterThan(10);
      expect(Math.max(...outputs)).toBeLessThan(8);
    }
  });

  it('hold none of the kernels that the device lacks', () => {
    for (const name of Object.keys(UNETS) as (keyof typeof UNETS)[]) {
      for (const missing of ['BiasSplitGelu', 'GroupNorm', 'SkipGroupNorm', 'NhwcConv', 'GroupNormalization'])
        expect(operators(graphOf(name))).not.toContain(missing);
    }
  });
});

/**
 * The graphs for CUDA, without a GPU: onnxruntime accepts their nodes, and written out in ONNX's own operators
 * (helpers/without-cuda.ts) they compute what the portable graphs compute, which golden values from diffusers hold.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { feedForward } from '../../src/export/layers.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { type FloatType, layerScope, type Target } from '../../src/export/targets/target.ts';
import { type UNetGraphOptions, unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph, vaeEncoderGraph } from '../../src/export/vae.ts';
import { addInput, addOutput, createGraph, type Graph } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { withRandomWeights } from '../helpers/random-weights.ts';
import { type Numbers, runGraph } from '../helpers/sessions.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { knownValues, withoutCuda } from '../helpers/without-cuda.ts';

const { portable, cuda } = TARGETS;

/** ‖error‖ / ‖value‖: only the order of sums differs in float32; fp16 rounds every value on the way. */
const LIMIT: Record<FloatType, number> = { float32: 3e-6, float16: 3e-3 };

/** Small enough for a test; between them every limit of a kernel is kept here and passed there. */
const FAMILIES = {
  'models/tiny': JSON.parse(await readFile('models/tiny/base/unet/config.json', 'utf8')),
  'linear projections, heads of 8 and 20': {
    block_out_channels: [16, 40],
    layers_per_block: 1,
    cross_attention_dim: 24,
    attention_head_dim: 2,
    norm_num_groups: 4,
    use_linear_projection: true,
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  },
  'odd groups': {
    block_out_channels: [12, 24],
    layers_per_block: 1,
    cross_attention_dim: 16,
    attention_head_dim: 2,
    norm_num_groups: 4,
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  },
} as const;

/** A config as its reader makes it of a file. */
async function read<T>(reader: (file: string) => Promise<T>, config: object): Promise<T> {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(config));
  return await reader(path);
}

async function structureOf(family: keyof typeof FAMILIES) {
  return unetStructure(await read(readUNetConfig, FAMILIES[family]), { mid: true });
}

const SIZES = { batch: 1, frames: 3, height: 6, width: 4 };
const SYMBOLS = { batch: 'batch', frames: 'frames', height: 'height', width: 'width' };

function unetOptions(changes: Partial<UNetGraphOptions>): UNetGraphOptions {
  return {
    ...SIZES,
    target: portable,
    type: 'float32',
    tokens: 5,
    motionNorm: 'per-frame',
    positions: 8,
    ...changes,
  };
}

const noise = (seed: number, ...shape: number[]): Numbers => ({
  type: 'float32',
  shape,
  data: Array.from(createGenerator(seed).randn(shape.reduce((n, dim) => n * dim, 1))),
});

/** The written-out graph for CUDA in both types against the portable one in float32. */
async function expectAgreement(
  make: (target: Target, type: FloatType) => Graph,
  feeds: Readonly<Record<string, Numbers>>,
): Promise<void> {
  const run = async (graph: Graph) =>
    (await runGraph(withRandomWeights(graph), feeds, { graphOptimizationLevel: 'disabled' }))[0] as Numbers;
  const expected = await run(make(portable, 'float32'));
  for (const type of ['float32', 'float16'] as const) {
    const found = await run(withoutCuda(make(cuda, type), type));
    expect(found.shape).toEqual(expected.shape);
    expect(relativeRms(found.data, expected.data), type).toBeLessThan(LIMIT[type]);
  }
}

describe('a graph for CUDA computes in float32 and in fp16 what the portable one does', () => {
  const cases = [
    { family: 'models/tiny', motionNorm: 'per-frame', lengths: {} },
    { family: 'linear projections, heads of 8 and 20', motionNorm: 'per-frame', lengths: { batch: 2 } },
    { family: 'linear projections, heads of 8 and 20', motionNorm: 'pooled', lengths: SYMBOLS },
    { family: 'odd groups', motionNorm: 'pooled', lengths: {} },
    { family: 'models/tiny', motionNorm: 'per-frame', lengths: { batch: 2 }, promptPerFrame: true },
    { family: 'odd groups', motionNorm: 'per-frame', lengths: SYMBOLS, promptPerFrame: true },
  ] as const;
  it.each(cases)('UNet of $family, $motionNorm, $lengths, $promptPerFrame', async (entry) => {
    const { family, motionNorm, lengths, promptPerFrame } = { promptPerFrame: false, ...entry };
    const structure = await structureOf(family);
    const { batch, frames, height, width } = { ...SIZES, ...(lengths === SYMBOLS ? { batch: 2 } : lengths) };
    const feeds = {
      sample: noise(1, batch, 4, frames, height, width),
      timestep: { type: 'int64', shape: [], data: [731] } as const,
      encoder_hidden_states: noise(2, batch * (promptPerFrame ? frames : 1), 5, structure.config.cross_attention_dim),
    };
    const tokens = lengths === SYMBOLS ? 'tokens' : 5;
    const make = (target: Target, stored: FloatType) =>
      unetMotionGraph(structure, unetOptions({ target, type: stored, motionNorm, tokens, promptPerFrame, ...lengths }));
    await expectAgreement(make, feeds);
  });

  it('VAE decoder', async () => {
    const config = await readVaeConfig('models/tiny/base/vae/config.json');
    const make = (target: Target, stored: FloatType) =>
      vaeDecoderGraph(config, { target, type: stored, images: 'images', height: 4, width: 4 });
    await expectAgreement(make, { latent_sample: noise(3, 2, 4, 4, 4) });
  });

  it('VAE encoder', async () => {
    const config = await readVaeConfig('models/tiny/base/vae/config.json');
    const make = (target: Target, stored: FloatType) =>
      vaeEncoderGraph(config, { target, type: stored, images: 'images', height: 32, width: 32 });
    await expectAgreement(make, { sample: noise(5, 2, 3, 32, 32) });
  });

  it('text encoder', async () => {
    const config = await readClipTextConfig('models/tiny/base/text_encoder/config.json');
    const make = (target: Target, stored: FloatType) => clipTextGraph(config, { target, type: stored, batch: 1 });
    const data = Array.from({ length: 77 }, (_, i) => (i * 37) % config.vocab_size);
    const feeds = { input_ids: { type: 'int64', shape: [1, 77], data } as const };
    await expectAgreement(make, feeds);
  });

  it('feed-forward of a width that BiasSplitGelu is made for', async () => {
    const make = (target: Target, stored: FloatType) => {
      const graph = createGraph('feed_forward');
      const s = layerScope(graph, target, stored);
      const x = op.Cast(s, addInput(graph, 'x', 'float32', [2, 3, 320]), { to: s.type });
      addOutput(s, op.Cast(s, feedForward(s, x).product, { to: 'float32' }), 'y');
      return graph;
    };
    expect(make(cuda, 'float16').nodes.map(({ opType }) => opType)).toContain('BiasSplitGelu');
    await expectAgreement(make, { x: noise(4, 2, 3, 320) });
  });
});

/** Transpositions of activations, and of weights, which onnxruntime folds when it loads the graph. */
function transpositions(graph: Graph) {
  const known = knownValues(graph);
  const all = graph.nodes.filter(({ opType }) => opType === 'Transpose');
  const ofWeights = all.filter(({ inputs }) => known.has(inputs[0] as string)).length;
  return { ofActivations: all.length - ofWeights, ofWeights };
}

describe('a graph for CUDA', async () => {
  const golden = JSON.parse(await readFile('test/golden/parameters.json', 'utf8')) as {
    readonly unet: readonly { readonly name: string; readonly base: object }[];
  };
  const sd15 = golden.unet.find(({ name }) => name === 'SD1.5 with AnimateLCM');
  const structure = unetStructure(await read(readUNetConfig, sd15?.base as object), { mid: true });
  /** Of a square clip of 16 frames, `side` latents wide. */
  const graphOf = (side: number) =>
    unetMotionGraph(
      structure,
      unetOptions({
        target: cuda,
        type: 'float16',
        frames: 16,
        height: side,
        width: side,
        tokens: 77,
        positions: 32,
      }),
    );
  const full = graphOf(64);
  /** Operators that run at every step; views, which move nothing, are left out. */
  const count = (graph: Graph) => {
    const known = knownValues(graph);
    const counts: Record<string, number> = {};
    for (const { opType, outputs } of graph.nodes) {
      if (known.has(outputs[0] as string) || opType === 'Reshape' || opType === 'Identity') continue;
      counts[opType] = (counts[opType] ?? 0) + 1;
    }
    return counts;
  };

  it('turns images at its ends and around the attention over frames, and nowhere else', async () => {
    // SD1.5 has 21 motion modules: 2 for each of 4 levels down, 3 up, 1 in the middle
    expect(transpositions(full)).toEqual({ ofActivations: 2 + 2 * 21, ofWeights: 98 });
    const vae = await readVaeConfig('models/tiny/base/vae/config.json');
    const size = { images: 'images', height: 8, width: 8 };
    for (const graph of [vaeDecoderGraph, vaeEncoderGraph])
      expect(transpositions(graph(vae, { target: cuda, type: 'float16', ...size })).ofActivations).toBe(2);
    const text = await readClipTextConfig('models/tiny/base/text_encoder/config.json');
    expect(transpositions(clipTextGraph(text, { target: cuda, type: 'float16', batch: 1 })).ofActivations).toBe(0);
  });

  it('of SD1.5 adds and normalises in fused kernels', () => {
    // 22 resnets, 16 spatial transformers and 21 motion modules with 2 attentions each
    const transformers = 16 + 21;
    expect(count(full)).toEqual({
      NhwcConv: 2 * 22 + 8, // two in each resnet; first and last, 3 down, 3 up
      // 12 products each: in and out, 4 of each attention, 2 of feed-forward; 22 of the time embedding and 14 shortcuts, 2 at the start
      MatMul: 12 * transformers + 22 + 14 + 2,
      MultiHeadAttention: 2 * transformers,
      BiasSplitGelu: transformers,
      SkipLayerNormalization: 3 * transformers, // every one
      SkipGroupNorm: 66,
      GroupNorm: 16, // after the first convolution, 3 that halve, and 12 concatenations
      BiasAdd: transformers + 15, // feed-forward; what is concatenated or resized and not normalised before
      Add: 2 * 21 + 2, // positional encodings, biases of the time embedding
      Concat: 12 + 1,
      Resize: 3,
      Transpose: 2 + 2 * 21,
      // the time embedding, and what the boundary has in float32
      ...{ Cast: 5, Cos: 1, Sin: 1, Mul: 3, Sigmoid: 2, Expand: 1 },
    });
  });

  it('keeps within what launch grids and 32-bit counters hold', () => {
    // 256² pixels are one sequence too many: the 5 modules of the outermost level attend twice, each time in halves;
    // and what goes into GEGLU there, of 5 transformers and 5 modules, has 2.7 G elements
    const { MultiHeadAttention, BiasSplitGelu, Split, Concat } = count(graphOf(256));
    expect({ MultiHeadAttention, BiasSplitGelu }).toEqual({ MultiHeadAttention: 74 + 10, BiasSplitGelu: 37 - 10 });
    expect({ Split, Concat }).toEqual({ Split: 3 * 10 + 10, Concat: 13 + 10 });
  });

  it.each([
    ['static', {}],
    ['symbolic', SYMBOLS],
  ] as const)('has nodes that onnxruntime knows, with %s shapes', async (_, lengths) => {
    const tiny = await structureOf('models/tiny');
    const graph = withRandomWeights(unetMotionGraph(tiny, unetOptions({ target: cuda, type: 'float16', ...lengths })));
    const model = serializeModel(graph, { producerVersion: 'test' });
    // All nodes have been looked up and their types and shapes inferred when kernels are: of these the CPU has none.
    await expect(InferenceSession.create(model, { logSeverityLevel: 4 })).rejects.toThrow(
      /^Failed to find kernel for com.microsoft.NhwcConv\(1\) .* ep:'CPUExecutionProvider'/,
    );
  });
});

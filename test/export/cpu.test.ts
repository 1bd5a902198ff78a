/** The graphs for the CPU compute what the portable graphs compute, which golden values from diffusers hold. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import type { FloatType, Target } from '../../src/export/targets/target.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph } from '../../src/export/vae.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { withRandomWeights } from '../helpers/random-weights.ts';
import { type Numbers, runGraph } from '../helpers/sessions.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { portable, cpu } = TARGETS;

/** ‖error‖ / ‖value‖: of float32 sums in another order, and of the fp16 arithmetic that the portable graph has. */
const LIMIT: Record<FloatType, number> = { float32: 5e-6, float16: 3e-3 };

const FAMILIES = {
  'models/tiny': JSON.parse(await readFile('models/tiny/base/unet/config.json', 'utf8')),
  'wide enough for other convolutions': {
    block_out_channels: [128, 160],
    layers_per_block: 1,
    cross_attention_dim: 24,
    attention_head_dim: 4,
    norm_num_groups: 32,
    use_linear_projection: true,
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  },
} as const;

async function structureOf(family: keyof typeof FAMILIES) {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(FAMILIES[family]));
  return unetStructure(await readUNetConfig(path), { mid: true });
}

const noise = (seed: number, ...shape: number[]): Numbers => ({
  type: 'float32',
  shape,
  data: Array.from(createGenerator(seed).randn(shape.reduce((n, dim) => n * dim, 1))),
});

const SYMBOLS = { batch: 'batch', frames: 'frames', height: 'height', width: 'width' };

const operators = (graph: Graph) => new Set(graph.nodes.map(({ opType }) => opType));

async function expectAgreement(
  make: (target: Target) => Graph,
  feeds: Readonly<Record<string, Numbers>>,
  limit: number,
) {
  const run = async (graph: Graph) => (await runGraph(withRandomWeights(graph), feeds))[0] as Numbers;
  const [found, expected] = [await run(make(cpu)), await run(make(portable))];
  expect(found.shape).toEqual(expected.shape);
  expect(relativeRms(found.data, expected.data)).toBeLessThan(limit);
}

describe('a graph for the CPU computes what the portable one does', () => {
  const sizes = { batch: 1, frames: 3, height: 6, width: 4 };
  const cases = [
    { family: 'models/tiny', type: 'float32', motionNorm: 'per-frame', lengths: sizes, symbolic: false },
    { family: 'models/tiny', type: 'float16', motionNorm: 'pooled', lengths: sizes, symbolic: false },
    { family: 'models/tiny', type: 'float32', motionNorm: 'pooled', lengths: { ...sizes, batch: 2 }, symbolic: false },
    { family: 'models/tiny', type: 'float32', motionNorm: 'pooled', lengths: { ...sizes, batch: 2 }, symbolic: true },
    {
      family: 'wide enough for other convolutions',
      type: 'float32',
      motionNorm: 'per-frame',
      lengths: { batch: 1, frames: 2, height: 16, width: 9 },
      symbolic: false,
    },
  ] as const;
  it.each(cases)('UNet: $family, $type, $motionNorm, $lengths, symbolic $symbolic', async (entry) => {
    const { family, type, motionNorm, lengths, symbolic } = entry;
    const structure = await structureOf(family);
    const { batch, frames, height, width } = lengths;
    const feeds = {
      sample: noise(1, batch, 4, frames, height, width),
      timestep: { type: 'int64', shape: [], data: [731] } as const,
      encoder_hidden_states: noise(2, batch, 5, structure.config.cross_attention_dim),
    };
    const options = { ...(symbolic ? SYMBOLS : lengths), type, motionNorm, tokens: 5, positions: 8 };
    const make = (target: Target) => unetMotionGraph(structure, { ...options, target });
    expect(operators(make(cpu)).has('Einsum')).toBe(family !== 'models/tiny'); // Winograd's weights
    await expectAgreement(make, feeds, LIMIT[type]);
  });

  it('VAE decoder', async () => {
    const config = { ...(await readVaeConfig('models/tiny/base/vae/config.json')), block_out_channels: [32, 128] };
    const make = (target: Target) =>
      vaeDecoderGraph(config, { target, type: 'float32', images: 'images', height: 12, width: 11 });
    expect(operators(make(cpu))).toContain('Einsum');
    await expectAgreement(make, { latent_sample: noise(3, 2, config.latent_channels, 12, 11) }, LIMIT.float32);
  });
});

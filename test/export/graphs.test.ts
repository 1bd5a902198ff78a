import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import {
  clipTextParameters,
  type ModelParameter,
  unetParameters,
  vaeDecoderParameters,
  vaeEncoderParameters,
} from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { unetConfigJson } from '../../src/export/configs.ts';
import { layOutComponents } from '../../src/export/layouts.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph, vaeEncoderGraph } from '../../src/export/vae.ts';
import { layOutWeights } from '../../src/export/weight-file.ts';
import { plan } from '../../src/merge/plan.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

/** Configurations that diffusers knows: made by `python test/oracle/parameters.py`. */
interface Golden {
  readonly unet: readonly {
    readonly name: string;
    readonly base: object;
    readonly motion: { readonly motion_max_seq_length: number; readonly use_motion_mid_block: boolean };
  }[];
  readonly text_encoder: readonly { readonly name: string; readonly config: object }[];
  readonly vae_decoder: readonly { readonly name: string; readonly config: object }[];
  readonly vae_encoder: readonly { readonly name: string; readonly config: object }[];
}
const golden = JSON.parse(await readFile('test/golden/parameters.json', 'utf8')) as Golden;

async function configFile(config: object): Promise<string> {
  const path = join(await temporaryFolder(), 'config.json');
  await writeFile(path, JSON.stringify(config));
  return path;
}

async function structureOf({ base, motion }: Golden['unet'][number]) {
  return unetStructure(await readUNetConfig(await configFile(base)), { mid: motion.use_motion_mid_block });
}

/** The graph asks for exactly the table's parameters, Linear weights transposed, all in one type. */
function expectParameters(graph: Graph, table: readonly ModelParameter[], type: 'float32' | 'float16'): void {
  const expected = table.map(({ name, kind, shape }) =>
    kind === 'linear'
      ? { name, type, shape: shape.toReversed(), layout: 'transposed' }
      : { name, type, shape, layout: 'as-is' },
  );
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
  expect([...graph.parameters.values()].sort(byName)).toEqual(expected.sort(byName));
}

/** Every value is made once, before it is used, and every parameter is used. */
function expectSound(graph: Graph): void {
  const made = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.parameters.keys(),
    ...graph.constants.keys(),
  ]);
  expect(made.size).toBe(graph.inputs.length + graph.parameters.size + graph.constants.size);
  const early = graph.nodes.flatMap(({ inputs, outputs }) => {
    const missing = inputs.filter((name) => name !== '' && !made.has(name));
    const twice = outputs.filter((name) => made.has(name));
    for (const name of outputs) if (name !== '') made.add(name);
    return [...missing, ...twice];
  });
  expect(early).toEqual([]);
  const used = new Set(graph.nodes.flatMap(({ inputs }) => inputs));
  expect([...graph.parameters.keys()].filter((name) => !used.has(name))).toEqual([]);
  expect(graph.outputs.every(({ name }) => made.has(name))).toBe(true);
}

const SIZES = {
  static: { batch: 1, frames: 6, height: 10, width: 6 },
  dynamic: { batch: 'batch', frames: 'frames', height: 'height', width: 'width' },
} as const;

const EVERY = Object.values(TARGETS).flatMap((target) =>
  (['float16', 'float32'] as const).map((type) => ({ name: target.name, target, type })),
);

describe.each(EVERY)('graphs for $name in $type', ({ target, type }) => {
  describe.each(['static', 'dynamic'] as const)('with %s shapes', (shapes) => {
    it.each(golden.unet)('UNetMotionModel has the parameters of its table: $name', async (entry) => {
      const structure = await structureOf(entry);
      const positions = entry.motion.motion_max_seq_length;
      const sizes = SIZES[shapes];
      for (const motionNorm of ['per-frame', 'pooled'] as const) {
        const graph = unetMotionGraph(structure, { ...sizes, target, type, tokens: 77, motionNorm, positions });
        expectParameters(graph, unetParameters(structure, positions), type);
        expectSound(graph);
        const latents = [sizes.batch, 4, sizes.frames, sizes.height, sizes.width];
        const { cross_attention_dim: width } = structure.config;
        expect(graph.inputs).toEqual([
          { name: 'sample', type: 'float32', shape: latents },
          { name: 'timestep', type: target.timestep, shape: [] },
          { name: 'encoder_hidden_states', type: 'float32', shape: [sizes.batch, 77, width] },
        ]);
        expect(graph.outputs).toEqual([{ name: 'out_sample', type: 'float32', shape: latents }]);
      }
    });

    it('UNetMotionModel takes text states of every frame and of any length', async () => {
      const structure = await structureOf(golden.unet[0] as Golden['unet'][number]);
      const sizes = { ...SIZES[shapes], ...(shapes === 'static' && { batch: 2 }) };
      const options = { ...sizes, target, type, motionNorm: 'per-frame', positions: 32, promptPerFrame: true } as const;
      for (const tokens of [154, 'tokens']) {
        const graph = unetMotionGraph(structure, { ...options, tokens });
        expectSound(graph);
        const rows = shapes === 'static' ? 2 * SIZES.static.frames : 'batch * frames';
        expect(graph.inputs[2]?.shape).toEqual([rows, tokens, structure.config.cross_attention_dim]);
      }
    });

    it.each(golden.vae_decoder)(
      'AutoencoderKL’s decoder has the parameters of its table: $name',
      async ({ config }) => {
        const vae = await readVaeConfig(await configFile(config));
        const { height, width } = SIZES[shapes];
        const graph = vaeDecoderGraph(vae, { target, type, images: 'images', height, width });
        expectParameters(graph, vaeDecoderParameters(vae), type);
        expectSound(graph);
        expect(graph.inputs).toEqual([{ name: 'latent_sample', type: 'float32', shape: ['images', 4, height, width] }]);
        const pixels = shapes === 'static' ? [80, 48] : ['height * 2 * 2 * 2', 'width * 2 * 2 * 2'];
        expect(graph.outputs).toEqual([{ name: 'sample', type: 'float32', shape: ['images', 3, ...pixels] }]);
      },
    );

    it.each(golden.vae_encoder)(
      'AutoencoderKL’s encoder has the parameters of its table: $name',
      async ({ config }) => {
        const vae = await readVaeConfig(await configFile(config), { encoder: true });
        const [height, width] = shapes === 'static' ? [80, 48] : ['height', 'width'];
        const graph = vaeEncoderGraph(vae, { target, type, images: 'images', height, width });
        expectParameters(graph, vaeEncoderParameters(vae), type);
        expectSound(graph);
        expect(graph.inputs).toEqual([{ name: 'sample', type: 'float32', shape: ['images', 3, height, width] }]);
        const latents = shapes === 'static' ? [10, 6] : ['height // 2 // 2 // 2', 'width // 2 // 2 // 2'];
        expect(graph.outputs).toEqual([
          { name: 'latent_parameters', type: 'float32', shape: ['images', 8, ...latents] },
        ]);
      },
    );

    it.each(golden.text_encoder)('CLIPTextModel has the parameters of its table: $name', async ({ config }) => {
      const clip = await readClipTextConfig(await configFile(config));
      const { batch } = SIZES[shapes];
      const graph = clipTextGraph(clip, { target, type, batch });
      expectParameters(graph, clipTextParameters(clip), type);
      expectSound(graph);
      expect(graph.inputs).toEqual([{ name: 'input_ids', type: 'int64', shape: [batch, 77] }]);
      expect(graph.outputs).toEqual([
        { name: 'last_hidden_state', type: 'float32', shape: [batch, 77, clip.hidden_size] },
      ]);
    });
  });
});

describe('the graph of SD1.5', async () => {
  const [entry] = golden.unet as [Golden['unet'][number]];
  const structure = await structureOf(entry);
  const graph = unetMotionGraph(structure, {
    ...SIZES.static,
    target: TARGETS.portable,
    type: 'float16',
    tokens: 77,
    motionNorm: 'per-frame',
    positions: 32,
  });
  const { entries, bytes } = layOutWeights(graph);

  it('is a few MB without its weights, whose file is the published 2.6 GB', () => {
    const model = serializeModel(graph, { external: new Map(entries.map((e) => [e.name, e])), producerVersion: '1' });
    expect(model.length).toBeLessThan(3e6);
    const elements = 1_312_730_244 + 604_160; // weights and positional encodings
    expect(bytes).toBeGreaterThanOrEqual(elements * 2);
    expect(bytes).toBeLessThan(elements * 2 * 1.01);
  });

  it('makes attention scores in float32, from the product to the softmax', () => {
    const madeBy = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
    const float32 = 1; // TensorProto.FLOAT
    const scores = graph.nodes
      .filter(({ opType }) => opType === 'Softmax')
      .map(({ inputs }) => madeBy.get(inputs[0] ?? ''));
    expect(scores.length).toBeGreaterThanOrEqual(16 * 2 + 21 * 2);
    for (const product of scores) {
      expect(product?.opType).toBe('MatMul');
      const operands = product?.inputs.map((input) => madeBy.get(input));
      expect(operands).toMatchObject(Array(2).fill({ opType: 'Cast', attributes: { to: float32 } }));
    }
  });

  it('uses no operator beyond those every execution provider has', () => {
    const used = new Set(graph.nodes.map(({ opType }) => opType));
    const known =
      'Add Cast Concat Conv Cos Gelu Identity InstanceNormalization LayerNormalization MatMul Mul Reshape Resize Sigmoid Sin Slice Softmax Split Transpose';
    expect([...used].sort().join(' ')).toBe(known);
  });
});

describe('a package’s unet/config.json', () => {
  it.each(golden.unet)('is the config that diffusers makes this model of: $name', async (entry) => {
    const tiny = await plan(tinyRecipe());
    const { motion_max_seq_length: positions, use_motion_mid_block: mid } = entry.motion;
    const written = unetConfigJson({
      ...tiny,
      unet: await structureOf(entry),
      motion: { ...tiny.motion, mid, positions },
    });
    expect(written).toMatchObject(entry.motion);
  });
});

describe('the dimensions of a package', () => {
  const inputsOf = async (changes: Parameters<typeof tinyRecipe>[0]) => {
    const planned = await plan(tinyRecipe(changes));
    return Object.fromEntries(
      layOutComponents(planned).map(({ component, graphs }) => [component, graphs[0].make().inputs[0]?.shape]),
    );
  };

  it('are those of the recipe’s output', async () => {
    expect(await inputsOf({ output: { frames: 8, width: 128, height: 64 } })).toEqual({
      unet: [1, 4, 8, 8, 16],
      text_encoder: [1, 77],
      vae_decoder: ['images', 4, 8, 16],
    });
  });

  it('are pixels for a VAE encoder, which is there when the recipe asks for it', async () => {
    const output = { frames: 8, width: 128, height: 64, vae_encoder: true };
    expect(await inputsOf({ output })).toMatchObject({ vae_encoder: ['images', 3, 64, 128] });
    expect(await inputsOf({ output: { ...output, shapes: 'dynamic' } })).toMatchObject({
      vae_decoder: ['images', 4, 'height', 'width'],
      vae_encoder: ['images', 3, 'height', 'width'],
    });
  });

  it('have a batch of 2 where guidance needs both prompts', async () => {
    expect(await inputsOf({ sampler: { guidance: 1.5 } })).toMatchObject({
      unet: [2, 4, 16, 8, 8],
      text_encoder: [2, 77],
    });
  });

  it('are names where shapes are dynamic', async () => {
    expect(await inputsOf({ output: { shapes: 'dynamic' } })).toEqual({
      unet: ['batch', 4, 'frames', 'height', 'width'],
      text_encoder: ['batch', 77],
      vae_decoder: ['images', 4, 'height', 'width'],
    });
  });
});

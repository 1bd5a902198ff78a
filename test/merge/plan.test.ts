import { cp, mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { animateDiffName } from '../../src/architecture/names.ts';
import { clipTextParameters, unetParameters, vaeDecoderParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { plan } from '../../src/merge/plan.ts';
import { writeHollow } from '../helpers/hollow.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { recipeIn, type Section, tinyRecipe } from '../helpers/tiny.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('the plan of models/tiny', async () => {
  const tiny = await plan(tinyRecipe());

  it('accounts for every tensor of every file', () => {
    const nothing = { ignored: {}, allowed_unmatched: [] };
    expect(
      tiny.files.map(({ role, container, accounting, modules, ranks, alphas }) => ({
        role,
        container,
        accounting,
        modules,
        ranks,
        alphas,
      })),
    ).toEqual([
      { role: 'base.unet', container: 'safetensors', accounting: { tensors: 686, applied: 686, ...nothing } },
      { role: 'base.text_encoder', container: 'safetensors', accounting: { tensors: 36, applied: 36, ...nothing } },
      {
        role: 'base.vae_decoder',
        container: 'safetensors',
        accounting: { tensors: 188, applied: 110, ignored: { 'vae-encoder': 78 }, allowed_unmatched: [] },
      },
      {
        role: 'personalized[0]',
        container: 'safetensors',
        accounting: { tensors: 612, applied: 612, ...nothing },
        modules: { unet: 192, text_encoder: 12 },
        ranks: [8],
        alphas: [4],
      },
      {
        role: 'lcm',
        container: 'safetensors',
        accounting: { tensors: 834, applied: 834, ...nothing },
        modules: { unet: 278, text_encoder: 0 },
        ranks: [16],
        alphas: [2],
      },
      {
        role: 'motion',
        container: 'torch-zip',
        accounting: { tensors: 546, applied: 546, ...nothing },
        modules: { unet: 21 },
      },
    ]);
    expect(tiny.warnings).toEqual([]);
    expect(tiny.motion).toEqual({ mid: true, positions: 64, stored_positional_encodings: [] });
  });

  it('is data: a JSON text says all of it', () => {
    expect(JSON.parse(JSON.stringify(tiny))).toEqual(tiny);
  });

  it('says of each tensor where it comes from and what is added, in recipe order', () => {
    expect(tiny.tensors.unet).toHaveLength(1253);
    expect(tiny.tensors.text_encoder).toHaveLength(36);
    expect(tiny.tensors.vae_decoder).toHaveLength(110);
    const name = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight';
    const key = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
    const operands = (file: number) => ({
      up: { file, tensor: `${key}.lora_up.weight` },
      down: { file, tensor: `${key}.lora_down.weight` },
      alpha: { file, tensor: `${key}.alpha` },
    });
    const convention = 'alpha/rank';
    expect(tiny.tensors.unet.find((tensor) => tensor.name === name)).toEqual({
      name,
      component: 'unet',
      kind: 'linear',
      shape: [32, 32],
      source: { file: 0, tensor: name },
      gain: 1,
      terms: [
        { kind: 'lora', of: 'personalized[0]', operands: operands(3), rank: 8, alpha: 4, convention, scale: 0.4 },
        { kind: 'lora', of: 'lcm', operands: operands(4), rank: 16, alpha: 2, convention, scale: 0.125 },
      ],
    });
    const encodings = tiny.tensors.unet.filter(({ source }) => source === null);
    expect(encodings.map(({ kind }) => kind)).toEqual(Array(21).fill('positional-encoding'));
  });

  it('reads AnimateDiff’s training checkpoint with its stored encodings', async () => {
    const { files, motion } = await plan(tinyRecipe({ motion: { module: 'animatediff.ckpt' } }));
    expect(motion).toMatchObject({ mid: true, positions: 32 });
    expect(motion.stored_positional_encodings).toHaveLength(42);
    expect(files.at(-1)?.accounting).toEqual({
      tensors: 588,
      applied: 546,
      ignored: { 'positional-encoding': 42 },
      allowed_unmatched: [],
    });
  });
});

describe('strengths', () => {
  const scales = async (changes: Readonly<Record<string, Section>>) => {
    const { tensors } = await plan(tinyRecipe(changes));
    return (component: 'unet' | 'text_encoder', name: string) =>
      tensors[component].find((t) => t.name === name)?.terms.map((t) => t.scale);
  };
  const TO_Q = 'down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q.weight';
  const FC1 = 'text_model.encoder.layers.0.mlp.fc1.weight';

  it('count alpha and rank as the recipe says', async () => {
    const ink = { lora: 'ink.safetensors', alpha: 0.5 };
    for (const [scale, factor] of [
      ['alpha/rank', 4 / 8],
      ['raw', 1],
      ['rslora', 4 / Math.sqrt(8)],
    ] as const) {
      const of = await scales({ personalized: [{ ...ink, scale, text_encoder: 0.25 }] });
      expect(of('unet', TO_Q)?.[0]).toBeCloseTo(0.5 * factor, 12);
      expect(of('text_encoder', FC1)?.[0]).toBeCloseTo(0.25 * factor, 12);
    }
  });

  it('multiply with block weights, of adapters and of motion', async () => {
    const of = await scales({
      personalized: [{ lora: 'ink.safetensors', alpha: 1, blocks: { IN: 0.5, IN08: 0.25, BASE: 0 } }],
      lcm: { blocks: { IN: 2 } },
    });
    expect(of('unet', TO_Q)).toEqual([0.125, 0.25]);
    expect(of('unet', TO_Q.replace('attentions.1', 'attentions.0'))).toEqual([0.25, 0.25]);
    expect(of('text_encoder', FC1)).toEqual([0]);
  });

  it('of the motion module multiply what mode and blocks say', async () => {
    const gains = async (motion: Section) => {
      const { tensors } = await plan(tinyRecipe({ motion }));
      const distinct = Map.groupBy(tensors.unet, ({ gain }) => gain);
      return Object.fromEntries([...distinct].map(([gain, list]) => [gain, list.length]));
    };
    expect(await gains({ gamma: 0.5 })).toEqual({ 1: 1253 - 42, 0.5: 42 });
    expect(await gains({ gamma: 0.5, mode: 'weights' })).toEqual({ 1: 686 + 21, 0.5: 546 });
    expect(await gains({ gamma: 0.5, blocks: { M00: 0, OUT: 3 } })).toEqual({ 1: 1253 - 42, 0: 2, 0.5: 16, 1.5: 24 });
  });

  it('are warned of where nothing comes of them', async () => {
    const { warnings } = await plan(
      tinyRecipe({ personalized: [{ lora: 'ink.safetensors', alpha: 0, license: 'cc0-1.0' }], lcm: undefined }),
    );
    expect(warnings).toEqual([
      expect.stringMatching(/^personalized\[0\] \(.*ink\.safetensors\) has strength 0 everywhere/),
      expect.stringMatching(/no lcm LoRA/),
    ]);
    expect((await plan(tinyRecipe({ lcm: undefined, sampler: { kind: 'ddim' } }))).warnings).toEqual([]);
  });
});

describe('what is read', () => {
  it('is headers and alphas: SD1.5, AnimateLCM and their LoRA at full size', async () => {
    const folder = await temporaryFolder();
    const structure = unetStructure(
      {
        ...(await readUNetConfig('models/tiny/base/unet/config.json')),
        block_out_channels: [320, 640, 1280, 1280],
        cross_attention_dim: 768,
        norm_num_groups: 32,
      },
      { mid: true },
    );
    const clip = {
      vocab_size: 49408,
      hidden_size: 768,
      intermediate_size: 3072,
      num_hidden_layers: 12,
      num_attention_heads: 12,
      max_position_embeddings: 77,
      layer_norm_eps: 1e-5,
      hidden_act: 'quick_gelu',
    } as const;
    const vaeJson = JSON.parse(await readFile('models/tiny/base/vae/config.json', 'utf8'));
    const vae = { ...vaeJson, block_out_channels: [128, 256, 512, 512], layers_per_block: 2, norm_num_groups: 32 };
    const all = unetParameters(structure, 64).filter(({ kind }) => kind !== 'positional-encoding');
    const spatial = all.filter(({ motion }) => !motion);
    const motion = all
      .filter((parameter) => parameter.motion)
      .map(({ name, shape }) => ({ name: animateDiffName(name), shape }));
    const excluded = /^(conv_in|conv_out|time_embedding)/;
    const lora = spatial
      .filter(({ name, kind }) => (kind === 'linear' || kind === 'conv') && !excluded.test(name))
      .flatMap(({ name, shape }) => {
        const key = `lora_unet_${name.replace(/\.weight$/, '').replaceAll('.', '_')}`;
        const [out, ...into] = shape as [number, ...number[]];
        return [
          { name: `${key}.lora_down.weight`, shape: [64, ...into] },
          { name: `${key}.lora_up.weight`, shape: [out, 64, ...into.slice(1).map(() => 1)] },
          { name: `${key}.alpha`, shape: [] },
        ];
      });
    const configs = {
      unet: { ...JSON.parse(await readFile('models/tiny/base/unet/config.json', 'utf8')), ...structure.config },
      text_encoder: clip,
      vae,
    };
    for (const [part, config] of Object.entries(configs)) {
      await mkdir(join(folder, 'base', part), { recursive: true });
      await writeFile(
        join(folder, 'base', part, 'config.json'),
        JSON.stringify({ ...config, num_attention_heads: part === 'text_encoder' ? 12 : 8 }),
      );
    }
    await cp('models/tiny/base/tokenizer', join(folder, 'base', 'tokenizer'), { recursive: true });
    const sizes = await Promise.all([
      writeHollow(join(folder, 'base/unet/diffusion_pytorch_model.safetensors'), spatial),
      writeHollow(join(folder, 'base/text_encoder/model.safetensors'), clipTextParameters(clip)),
      writeHollow(join(folder, 'base/vae/diffusion_pytorch_model.safetensors'), vaeDecoderParameters(vae)),
      writeHollow(join(folder, 'lora.safetensors'), lora),
      writeHollow(join(folder, 'motion.safetensors'), motion),
    ]);
    expect(sizes.reduce((sum, size) => sum + size)).toBeGreaterThan(3e9);
    // AnimateLCM_sd15_t2v_lora.safetensors has 134,621,556 bytes; its header differs from ours by the order of its keys
    expect(Math.abs((sizes[3] as number) - 134_621_556)).toBeLessThan(1000);

    const document = {
      name: 'sd15',
      base: 'base',
      lcm: { lora: 'lora.safetensors', expect: { modules: 278 } },
      motion: { module: 'motion.safetensors', expect: { modules: 21 } },
    };
    await using probe = await open(join(folder, 'lora.safetensors'));
    const read = vi.spyOn(Object.getPrototypeOf(probe), 'read');
    const { tensors } = await plan(recipeIn(folder, document));
    let bytes = 0;
    for (const { value } of read.mock.settledResults) bytes += (value as { bytesRead: number }).bytesRead;
    expect(read.mock.calls.length).toBeGreaterThan(278);
    expect(bytes).toBeLessThan(1_000_000);
    expect(tensors.unet.filter(({ terms }) => terms.length === 1)).toHaveLength(278);
  });
});

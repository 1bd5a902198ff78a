import { cp, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { animateDiffName, kohyaTargets } from '../../src/architecture/names.ts';
import { clipTextParameters, unetParameters, vaeDecoderParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { FormatError, InputMissingError, MergeError } from '../../src/errors.ts';
import { plan } from '../../src/merge/plan.ts';
import { type FamilyOptions, filled, loraModule, type Tensors, writeFamily, writeTensors } from '../helpers/family.ts';
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
      { role: 'motion', container: 'torch-zip', accounting: { tensors: 546, applied: 546, ...nothing } },
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
    const [up, down] = [`${key}.lora_up.weight`, `${key}.lora_down.weight`];
    expect(tiny.tensors.unet.find((tensor) => tensor.name === name)).toEqual({
      name,
      component: 'unet',
      kind: 'linear',
      shape: [32, 32],
      source: { file: 0, tensor: name },
      gain: 1,
      terms: [
        { kind: 'lora', file: 3, up, down, rank: 8, alpha: 4, scale: 0.4 },
        { kind: 'lora', file: 4, up, down, rank: 16, alpha: 2, scale: 0.125 },
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
      tinyRecipe({ personalized: [{ lora: 'ink.safetensors', alpha: 0 }], lcm: undefined }),
    );
    expect(warnings).toEqual([
      expect.stringMatching(/^personalized\[0\] \(.*ink\.safetensors\) has strength 0 everywhere/),
      expect.stringMatching(/no lcm LoRA/),
    ]);
  });
});

describe('what is read', () => {
  /** Writes the header of a safetensors file and leaves its data a hole: the size of a model, the disk space of a page. */
  async function writeHollow(
    path: string,
    parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
  ): Promise<number> {
    let end = 0;
    const entries = parameters.map(({ name, shape }) => {
      const begin = end;
      end += shape.reduce((n, dim) => n * dim, 2);
      return [name, { dtype: 'F16', shape, data_offsets: [begin, end] }];
    });
    const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(BigInt(header.length));
    await using file = await open(path, 'w');
    await file.writeFile(Buffer.concat([prefix, header]));
    await file.truncate(8 + header.length + end);
    return 8 + header.length + end;
  }

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
    const lora = [...kohyaTargets('unet', spatial)]
      .filter(([, { parameter }]) => !excluded.test(parameter.name))
      .flatMap(([key, { parameter }]) => {
        const [out, ...into] = parameter.shape as [number, ...number[]];
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

describe('what does not fit', async () => {
  const sound = await writeFamily();
  const TO_Q = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q';
  const refusal = async (changes: Readonly<Record<string, Section>>, options?: FamilyOptions): Promise<MergeError> => {
    const family = options ? await writeFamily(options) : sound;
    const error = await plan(family.recipe(changes)).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MergeError);
    return error as MergeError;
  };
  /** What planning a LoRA with these tensors fails with. */
  const loraRefusal = async (tensors: Tensors, source: object = {}): Promise<MergeError> => {
    const path = join(await temporaryFolder(), 'style.safetensors');
    await writeTensors(path, tensors);
    const error = await refusal({ personalized: [{ lora: path, alpha: 1, ...source }] });
    expect(error.place.file).toBe(path);
    return error;
  };

  it('accepts the family that all of these are changes to', async () => {
    const family = await writeFamily({ positions: 24, mid: false });
    const path = join(family.folder, 'style.safetensors');
    await writeTensors(
      path,
      new Map([...loraModule(TO_Q, [8, 8], { alpha: 1 }), ...loraModule('lora_unet_conv_in', [8, 4, 3, 3])]),
    );
    const { files, motion } = await plan(
      family.recipe({
        personalized: [{ lora: path, alpha: 1, expect: { modules: 2 } }],
        motion: { expect: { modules: 6 } },
      }),
    );
    expect(motion).toMatchObject({ mid: false, positions: 24 });
    expect(files.find(({ role }) => role === 'personalized[0]')).toMatchObject({ alphas: [null, 1], ranks: [2] });
  });

  it('names a LoRA made for another width, with the shapes', async () => {
    const error = await loraRefusal(loraModule(TO_Q, [320, 320]));
    expect(error.message).toMatch(
      /does not fit down_blocks\.0\S+to_q\.weight: up \[320,2\] × down \[2,320\] cannot make \[8,8\]/,
    );
    expect(error.place.tensor).toBe(`${TO_Q}.lora_down.weight`);
  });

  it('names a LoRA whose halves have different ranks', async () => {
    const tensors = loraModule(TO_Q, [8, 8]);
    tensors.set(`${TO_Q}.lora_up.weight`, filled([8, 4]));
    expect((await loraRefusal(tensors)).message).toMatch(/up \[8,4\] × down \[2,8\] cannot make \[8,8\]/);
  });

  it('names an incomplete module', async () => {
    const tensors = loraModule(TO_Q, [8, 8], { alpha: 1 });
    tensors.delete(`${TO_Q}.lora_up.weight`);
    const { message } = await loraRefusal(tensors);
    expect(message).toContain(`2 of 2 tensors fit nothing`);
    expect(message).toContain(
      `${TO_Q}.lora_down.weight (its module is incomplete: lora_down and lora_up belong together)`,
    );
  });

  it.each([
    ['dora_scale', 'DoRA'],
    ['lora_mid.weight', 'LoCon with a Tucker core'],
    ['hada_w1_a', 'LoHa'],
    ['lokr_w1', 'LoKr'],
    ['oft_blocks', 'OFT'],
    ['on_input', 'IA3'],
    ['a1.weight', 'GLoRA'],
    ['diff', 'full difference'],
    ['w_norm', 'norm difference'],
  ])('refuses %s by name: %s', async (suffix, kind) => {
    const tensors = loraModule(TO_Q, [8, 8]).set(`${TO_Q}.${suffix}`, filled([8, 1]));
    const { message } = await loraRefusal(tensors);
    expect(message).toContain(`${TO_Q}.${suffix} (${kind}, which this version does not merge)`);
  });

  it.each([
    [
      'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight',
      /PEFT LoRA, which this version does not merge/,
    ],
    [
      'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora.down.weight',
      /diffusers LoRA, which this version does not merge/,
    ],
    ['bundle_emb.style.string_to_param.*', /an embedded textual inversion/],
    [
      'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_p.alpha',
      /did you mean lora_unet_down_blocks_0\S+to_[kqv]\.alpha\?/,
    ],
  ])('explains %s', async (name, reason) => {
    expect((await loraRefusal(new Map([...loraModule(TO_Q, [8, 8]), [name, filled([1])]]))).message).toMatch(reason);
  });

  it('lets unmatched tensors pass that the recipe names, and no others', async () => {
    const family = await writeFamily();
    const path = join(family.folder, 'style.safetensors');
    await writeTensors(path, new Map([...loraModule(TO_Q, [8, 8]), ['extra.one', filled([1])]]));
    const { files } = await plan(
      family.recipe({ personalized: [{ lora: path, alpha: 1, allow_unmatched: ['extra.*'] }] }),
    );
    expect(files.find(({ role }) => role === 'personalized[0]')?.accounting).toEqual({
      tensors: 3,
      applied: 2,
      ignored: {},
      allowed_unmatched: ['extra.one'],
    });
    await expect(
      plan(family.recipe({ personalized: [{ lora: path, alpha: 1, allow_unmatched: ['extra.t*'] }] })),
    ).rejects.toThrow(/1 of 3 tensors/);
  });

  it('refuses a LoRA of which nothing is left', async () => {
    const error = await loraRefusal(new Map([['extra.one', filled([1])]]), { allow_unmatched: ['*'] });
    expect(error.message).toMatch(/changes nothing: none of its 1 tensors belongs to a LoRA module/);
  });

  it('refuses another number of modules than expected', async () => {
    expect((await loraRefusal(loraModule(TO_Q, [8, 8]), { expect: { modules: 2 } })).message).toMatch(
      /the recipe expects 2 modules, 1 were matched/,
    );
  });

  it('refuses an alpha that is no finite number', async () => {
    expect((await loraRefusal(loraModule(TO_Q, [8, 8], { alpha: Number.NaN }))).message).toMatch(
      /alpha should be one finite number; it is \[\] with the value NaN/,
    );
    const two = loraModule(TO_Q, [8, 8]).set(`${TO_Q}.alpha`, filled([2]));
    expect((await loraRefusal(two)).message).toMatch(/alpha should be one finite number; it is \[2\]/);
  });

  it('refuses a module that a file holds twice, under two names', async () => {
    const shape = [8, 8];
    const [one, two] = ['lora_te_text_model', 'lora_te1_text_model'].map((prefix) =>
      loraModule(`${prefix}_encoder_layers_0_self_attn_q_proj`, shape),
    );
    expect((await loraRefusal(new Map([...(one as Tensors), ...(two as Tensors)]))).message).toMatch(
      /lora_te1_text_model_encoder_layers_0_self_attn_q_proj/,
    );
  });

  it('names what a base lacks, has too much of, or has in another shape', async () => {
    const lacking = await refusal(
      {},
      { alter: { unet: (tensors) => tensors.delete('mid_block.resnets.1.conv2.bias') } },
    );
    expect(lacking.message).toMatch(
      /diffusion_pytorch_model\.safetensors lacks mid_block\.resnets\.1\.conv2\.bias \[16\], which config\.json/,
    );
    expect(lacking.place).toMatchObject({ tensor: 'mid_block.resnets.1.conv2.bias' });
    const extra = await refusal(
      {},
      { alter: { unet: (tensors) => tensors.set('time_embedding.cond_proj.weight', filled([8, 4])) } },
    );
    expect(extra.message).toMatch(/1 of \d+ tensors fit nothing in this model:\n {2}time_embedding\.cond_proj\.weight/);
    const shape = await refusal(
      {},
      { alter: { unet: (tensors) => tensors.set('conv_in.weight', filled([8, 9, 3, 3])) } },
    );
    expect(shape.message).toMatch(
      /conv_in\.weight has the shape \[8,9,3,3\]; config\.json beside it calls for \[8,4,3,3\]/,
    );
    const text = await refusal({}, { text_encoder: { hidden_size: 16 } });
    expect(text.message).toMatch(/The text encoder is 16 wide, but the UNet's cross_attention_dim is 8/);
  });

  it('takes a 1×1 convolution and a Linear for the same matrix, in either direction', async () => {
    const reshape = (shape: readonly number[]) => (tensors: Tensors) =>
      void tensors.set('mid_block.attentions.0.proj_in.weight', filled(shape));
    await expect(plan((await writeFamily({ alter: { unet: reshape([16, 16]) } })).recipe())).resolves.toBeDefined();
    const linear = { use_linear_projection: true };
    await expect(
      plan((await writeFamily({ unet: linear, alter: { unet: reshape([16, 16, 1, 1]) } })).recipe()),
    ).resolves.toBeDefined();
    expect((await refusal({}, { alter: { unet: reshape([16, 16, 3, 3]) } })).message).toMatch(
      /\[16,16,3,3\]; config\.json beside it calls for \[16,16,1,1\]/,
    );
  });

  it('names what a motion module lacks, has too much of, or has in another shape', async () => {
    const name = 'mid_block.motion_modules.0.temporal_transformer.proj_out.bias';
    expect((await refusal({}, { alter: { motion: (tensors) => tensors.delete(name) } })).message).toContain(
      `motion.safetensors lacks ${name} [16]`,
    );
    const extra = await refusal({}, { alter: { motion: (tensors) => tensors.set(`${name}_extra`, filled([1])) } });
    expect(extra.message).toContain(`${name}_extra (did you mean ${name}?)`);
    const shape = await refusal({}, { alter: { motion: (tensors) => tensors.set(name, filled([320])) } });
    expect(shape.message).toMatch(
      /proj_out\.bias has the shape \[320\], the base's UNet calls for \[16\].*another width/,
    );
    expect((await refusal({ motion: { module: 'base/unet/diffusion_pytorch_model.safetensors' } })).message).toMatch(
      /holds no motion modules/,
    );
    expect((await refusal({ motion: { expect: { modules: 20 } } })).message).toMatch(
      /the recipe expects 20 modules, 7 were matched/,
    );
  });

  it('refuses more frames than there are positions', async () => {
    const output = (frames: number) => ({ output: { frames } });
    expect((await refusal(output(25), { positions: 24 })).message).toMatch(
      /output\.frames is 25, but \S+motion\.safetensors has positional encodings for 24 frames/,
    );
    await expect(plan((await writeFamily({ positions: 24 })).recipe(output(24)))).resolves.toBeDefined();
    expect((await refusal(output(65))).message).toMatch(/for 64 frames/);
  });

  it('refuses a base that is one file, and one without weights, tokenizer or config', async () => {
    expect((await refusal({ base: 'motion.safetensors' })).message).toMatch(
      /is a single file\. This version reads diffusers folders/,
    );
    for (const missing of ['unet/diffusion_pytorch_model.safetensors', 'vae/config.json', 'tokenizer/merges.txt']) {
      const family = await writeFamily();
      await rm(join(family.folder, 'base', missing));
      const error = await plan(family.recipe()).catch((thrown: unknown) => thrown);
      expect(error, missing).toBeInstanceOf(InputMissingError);
      expect((error as Error).message).toContain(join(family.folder, 'base', missing.split('/')[0] as string));
    }
  });

  it('finds weights under any of their names, and the recipe’s own VAE and text encoder', async () => {
    const family = await writeFamily();
    const unet = join(family.folder, 'base', 'unet');
    await rename(
      join(unet, 'diffusion_pytorch_model.safetensors'),
      join(unet, 'diffusion_pytorch_model.fp16.safetensors'),
    );
    await rename(
      join(family.folder, 'base/vae/diffusion_pytorch_model.safetensors'),
      join(family.folder, 'vae.safetensors'),
    );
    const { files } = await plan(family.recipe({ base: { model: 'base', vae: 'vae.safetensors' } }));
    expect(files.slice(0, 3).map(({ path }) => path)).toEqual([
      join(unet, 'diffusion_pytorch_model.fp16.safetensors'),
      join(family.folder, 'base/text_encoder/model.safetensors'),
      join(family.folder, 'vae.safetensors'),
    ]);
  });

  it('says what a file is that is no weight file', async () => {
    const family = await writeFamily();
    await writeFile(
      join(family.folder, 'style.safetensors'),
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
    );
    const planning = plan(family.recipe({ personalized: [{ lora: 'style.safetensors', alpha: 1 }] }));
    await expect(planning).rejects.toThrow(FormatError);
    await expect(planning).rejects.toThrow(/style\.safetensors.*Git LFS pointer/);
  });
});

import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, InputMissingError, MergeError } from '../../src/errors.ts';
import { plan } from '../../src/merge/plan.ts';
import { type FamilyOptions, filled, loraModule, type Tensors, writeFamily, writeTensors } from '../helpers/family.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import type { Section } from '../helpers/tiny.ts';

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

  it.each([
    ['unet', 'conv_in.weight', 'base/unet/diffusion_pytorch_model.safetensors'],
    ['motion', 'mid_block.motion_modules.0.temporal_transformer.norm.weight', 'motion.safetensors'],
  ] as const)('refuses weights of the %s that are no floats', async (_, name, file) => {
    const family = await writeFamily();
    const path = join(family.folder, file);
    const bytes = await readFile(path);
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString());
    header[name].dtype = 'I32'; // as long as before
    const changed = JSON.stringify(header).padEnd(length);
    await writeFile(path, Buffer.concat([bytes.subarray(0, 8), Buffer.from(changed), bytes.subarray(8 + length)]));
    const error = await plan(family.recipe()).catch((thrown: unknown) => thrown);
    expect((error as Error).message).toContain(
      `${path}: ${name} holds I32 numbers, but weights are F16, BF16, F32 or F64.`,
    );
  });

  it.each([
    ['unet', 'UNet (diffusers)', 'base/unet/diffusion_pytorch_model.safetensors'],
    ['motion', 'motion module (AnimateDiff layout)', 'motion.safetensors'],
  ])('says that a LoRA is a %s', async (_, title, lora) => {
    const error = await refusal({ personalized: [{ lora, alpha: 1 }] });
    expect(error.message).toContain(`personalized[0] wants a LoRA for SD1.5's UNet or text encoder`);
    expect(error.message).toContain(`this is something else: ${title}.`);
  });

  it('holds stored positional encodings to the shape that the other tensors call for', async () => {
    const PE = 'mid_block.motion_modules.0.temporal_transformer.transformer_blocks.0.attention_blocks.0.pos_encoder.pe';
    const shaped = (shape: readonly number[]) => ({
      positions: 24,
      alter: { motion: (tensors: Tensors) => void tensors.set(PE, filled(shape)) },
    });
    expect((await refusal({}, shaped([1, 8, 16]))).message).toMatch(
      /pos_encoder\.pe has the shape \[1,8,16\]; beside the other tensors of the file it should be \[1,24,16\]/,
    );
    const only = (shape: readonly number[]) => ({
      alter: { motion: (tensors: Tensors) => void tensors.set(PE, filled(shape)) },
    });
    for (const shape of [[], [16], [1, 0, 16], [1, 24, 0]])
      expect((await refusal({}, only(shape))).message).toContain(
        `has the shape [${shape}], which should be [1, frames, channels].`,
      );
  });

  it('refuses more original steps than the base was trained on, at the line that asks for them', async () => {
    const family = await writeFamily();
    await mkdir(join(family.folder, 'base/scheduler'), { recursive: true });
    await writeFile(join(family.folder, 'base/scheduler/scheduler_config.json'), '{"num_train_timesteps":40}');
    await expect(plan(family.recipe())).rejects.toThrow(
      /recipe\.yaml:1:\d+: sampler\.original_steps is 50, but the base was trained on 40 timesteps/,
    );
    const others = (sampler: Section) => plan(family.recipe({ sampler }));
    expect((await others({ kind: 'ddim', steps: 4 })).sampler).toMatchObject({ kind: 'ddim', num_train_timesteps: 40 });
    await expect(others({ kind: 'ddim', steps: 41 })).rejects.toThrow(
      /recipe\.yaml:1:\d+: 41 sampling steps cannot be taken: DDIMScheduler takes .* from 1 to the 40 timesteps/,
    );
    await expect(others({ kind: 'euler', steps: 5, timestep_spacing: 'linspace' })).rejects.toThrow(
      /recipe\.yaml:1:\d+: 5 steps of EulerDiscreteScheduler with timestep_spacing linspace would ask the model at timestep 29\.250/,
    );
  });

  it('names a LoRA made for another width, with the shapes', async () => {
    const error = await loraRefusal(loraModule(TO_Q, [320, 320]));
    expect(error.message).toMatch(
      /does not fit down_blocks\.0\S+to_q\.weight: up \[320,2\] × down \[2,320\] cannot make \[8,8\]/,
    );
    expect(error.place.tensor).toBe(TO_Q);
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
    expect(message).toContain(`${TO_Q}.* (2 tensors: no kind of adapter is made of its module's parts: alpha, down)`);
  });

  it.each([
    ['hada_w1_a', /made of its module's parts: down, hada_w1_a, up/],
    ['lokr_w1', /made of its module's parts: down, lokr_w1, up/],
    ['oft_blocks', /made of its module's parts: down, oft_blocks, up/],
    ['a1.weight', /made of its module's parts: a1, down, up/],
    ['oft_diag', /kohya's diagonal OFT, which is no rotation of weights, which this version does not merge/],
    ['reshape_weight', /a weight of another shape/],
    ['something', /its name ends like no part of an adapter/],
  ])('refuses a %s that is left over', async (suffix, reason) => {
    const tensors = loraModule(TO_Q, [8, 8]).set(`${TO_Q}.${suffix}`, filled([8, 1]));
    const { message } = await loraRefusal(tensors);
    expect(message).toContain(`1 of 3 tensors fit nothing`);
    expect(message).toContain(`${TO_Q}.${suffix} (`);
    expect(message).toMatch(reason);
  });

  it.each([
    [
      'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight',
      /no kind of adapter is made of its module's parts: down\)/,
    ],
    [
      'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_p.lora.down.weight',
      /did you mean down_blocks\.0\S+to_[kqv]\.lora\.down\.weight\?/,
    ],
    [
      'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_p.alpha',
      /did you mean lora_unet_down_blocks_0\S+to_[kqv]\.alpha\?/,
    ],
  ])('explains %s', async (name, reason) => {
    expect((await loraRefusal(new Map([...loraModule(TO_Q, [8, 8]), [name, filled([1])]]))).message).toMatch(reason);
  });

  it('refuses a weight that two modules of one file change', async () => {
    const dotted = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q';
    const twice = new Map([
      ...loraModule(TO_Q, [8, 8]),
      [`${dotted}.lora_A.weight`, filled([2, 8])],
      [`${dotted}.lora_B.weight`, filled([8, 2])],
    ]);
    expect((await loraRefusal(twice)).message).toContain(
      `changes down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight twice, as ${TO_Q} and as ${dotted}. Remove one of them.`,
    );
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
    expect(error.message).toMatch(/changes nothing: none of its 1 tensors belongs to a module of this model/);
  });

  it('refuses another number of modules than expected', async () => {
    const path = join(await temporaryFolder(), 'style.safetensors');
    await writeTensors(path, loraModule(TO_Q, [8, 8]));
    const error = await refusal({ personalized: [{ lora: path, alpha: 1, expect: { modules: 2 } }] });
    expect(error.message).toMatch(/recipe\.yaml:1:\d+: the recipe expects 2 modules, 1 were matched in \S+style/);
    // the recipe is one line of JSON
    expect(error.place).toMatchObject({ file: sound.recipe().file, line: 1, column: expect.any(Number) });
  });

  it('refuses an alpha that is no finite number', async () => {
    expect((await loraRefusal(loraModule(TO_Q, [8, 8], { alpha: Number.NaN }))).message).toMatch(
      /alpha should be one finite number; it has the shape \[\] and the value NaN\./,
    );
    const two = loraModule(TO_Q, [8, 8]).set(`${TO_Q}.alpha`, filled([2]));
    expect((await loraRefusal(two)).message).toMatch(/alpha should be one finite number; it has the shape \[2\]\./);
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
      /diffusion_pytorch_model\.safetensors lacks mid_block\.resnets\.1\.conv2\.bias \[16\], which \S+unet\/config\.json calls for/,
    );
    expect(lacking.place).toMatchObject({ tensor: 'mid_block.resnets.1.conv2.bias' });
    const extra = await refusal(
      {},
      { alter: { unet: (tensors) => tensors.set('time_embedding.con_proj.weight', filled([8, 4])) } },
    );
    expect(extra.message).toMatch(/1 of \d+ tensors fit nothing in this model:\n {2}time_embedding\.con_proj\.weight/);
    const shape = await refusal(
      {},
      { alter: { unet: (tensors) => tensors.set('conv_in.weight', filled([8, 5, 3, 3])) } },
    );
    expect(shape.message).toMatch(
      /conv_in\.weight has the shape \[8,5,3,3\]; \S+unet\/config\.json calls for \[8,4,3,3\]/,
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
      /\[16,16,3,3\]; \S+config\.json calls for \[16,16,1,1\]/,
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
      /motion\.module wants a motion module such as .*, and this is something else: UNet \(diffusers\)\. Name its folder as the base\./,
    );
    expect((await refusal({ motion: { expect: { modules: 20 } } })).message).toMatch(
      /the recipe expects 20 modules, 7 were matched/,
    );
  });

  it('refuses more frames than there are positions', async () => {
    const output = (frames: number) => ({ output: { frames } });
    expect((await refusal(output(25), { positions: 24 })).message).toMatch(
      /recipe\.yaml:1:\d+: output\.frames is 25, but \S+motion\.safetensors has positional encodings for 24 frames/,
    );
    await expect(plan((await writeFamily({ positions: 24 })).recipe(output(24)))).resolves.toBeDefined();
    expect((await refusal(output(65))).message).toMatch(/for 64 frames/);
  });

  it('refuses block names in a UNet with other layers than SD1.5', async () => {
    const error = await refusal({ motion: { blocks: { IN03: 0.5 } } });
    expect(error.message).toMatch(
      /blocks by name, which are made for 4 blocks of 2 layers; \S+config\.json has 2 of 1/,
    );
  });

  it('takes paths and patterns in any UNet, and refuses those that describe nothing, where they stand', async () => {
    const gains = async (blocks: object, mode = 'residual') => {
      const { tensors } = await plan(sound.recipe({ motion: { blocks, mode } }));
      return new Set(tensors.unet.filter(({ gain }) => gain === 0.5).map(({ name }) => name));
    };
    expect([...(await gains({ 'down.1': 0.5 }))]).toEqual([
      'down_blocks.1.motion_modules.0.proj_out.weight',
      'down_blocks.1.motion_modules.0.proj_out.bias',
    ]);
    expect((await gains({ '*.attn2.to_q.weight': 0.5 }, 'weights')).size).toBe(7);
    const message = async (blocks: object) => (await refusal({ motion: { blocks } })).message;
    expect(await message({ 'down_blocks.2': 0.5 })).toMatch(
      /recipe\.yaml:1:\d+: "down_blocks\.2" describes no parameter that γ multiplies .*\. Did you mean "down_blocks\.[01]"\?$/,
    );
    // in the default mode γ has no say in the attentions
    expect(await message({ '*.attn2.*': 0.5 })).toMatch(/"\*\.attn2\.\*" describes no parameter that γ multiplies/);
    expect(await message(Array(12).fill(1))).toMatch(/blocks by name, which are made for 4 blocks of 2 layers/);
    const lora = (blocks: object) => refusal({ personalized: [{ lora: 'motion.safetensors', alpha: 1, blocks }] });
    expect((await lora({ BASE: 1, 'text_model.encoder.layers.3': 0 })).message).toMatch(
      /"text_model\.encoder\.layers\.3" describes no parameter of the UNet or the text encoder\. Did you mean "text_model\.encoder\.layers\.0"\?/,
    );
    expect((await lora({ '*.motion_modules.*': 0 })).message).toMatch(/describes no parameter of the UNet or/);
  });

  it('refuses a base without weights, tokenizer or config', async () => {
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

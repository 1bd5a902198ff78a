import { createHash } from 'node:crypto';
import { cp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { animateDiffName } from '../../src/architecture/names.ts';
import {
  clipTextParameters,
  type ModelParameter,
  unetParameters,
  vaeDecoderParameters,
} from '../../src/architecture/parameters.ts';
import { STOCK_FOLDER } from '../../src/architecture/stock.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { FormatError, InputMissingError, type LcmMergeError, MergeError } from '../../src/errors.ts';
import { LOCK_METADATA } from '../../src/merge/double-merge.ts';
import { plan } from '../../src/merge/plan.ts';
import { writeHollow } from '../helpers/hollow.ts';
import { ldmGolden, readAll, type Stored, TINY_LDM_IGNORED, tinyLdm, writeLdm, writeTorch } from '../helpers/ldm.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, recipeIn, type Section, tinyRecipe } from '../helpers/tiny.ts';

const TINY = resolve('models/tiny/base');
const WEIGHTS = ['unet', 'text_encoder', 'vae_decoder'].map((folder) => `${folder}/model.onnx_data`);

let folder: string;
/** SHA-256 of the weights that a bake of models/tiny gives. */
let expected: readonly (string | undefined)[];
beforeAll(async () => {
  folder = await temporaryFolder();
  const { lock } = await bakeAndCheck(tinyRecipe(), join(folder, 'from-folder'));
  expected = WEIGHTS.map((file) => lock.outputs[file]?.sha256);
});

/** What a bake of models/tiny with another base gives, which must be the same. */
async function expectSame(base: Section, name: string) {
  const baked = await bakeAndCheck(tinyRecipe({ base }), join(folder, name));
  expect(WEIGHTS.map((file) => baked.lock.outputs[file]?.sha256)).toEqual(expected);
  return baked;
}

const planned = (base: Section) => plan(tinyRecipe({ base }));
const refusal = async (base: Section, changes: Readonly<Record<string, Section>> = {}): Promise<LcmMergeError> => {
  const error = await plan(tinyRecipe({ ...changes, base })).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(Error);
  return error as LcmMergeError;
};
/** A single file with these tensors, made of tiny's. */
const single = async (
  name: string,
  alter: (tensors: Stored[]) => readonly Stored[] = (tensors) => tensors,
  metadata?: Readonly<Record<string, string>>,
) => ({
  model: await writeLdm(join(folder, name), alter(await tinyLdm()), metadata),
  config: TINY,
});
const zeros = (name: string, shape: readonly number[]): Stored => ({
  name,
  dtype: 'F16',
  shape,
  data: new Uint8Array(2 * shape.reduce((n, dim) => n * dim, 1)),
});

describe('an LDM single file', () => {
  it('gives byte for byte the weights that its diffusers folder gives', async () => {
    const base = await single('checkpoint.safetensors');
    const { lock } = await expectSame(base, 'from-safetensors');
    expect(lock.inputs[0]).toMatchObject({
      role: 'base',
      file: 'checkpoint.safetensors',
      accounting: { applied: 686 + 36 + 110, ignored: TINY_LDM_IGNORED, allowed_unmatched: [] },
    });
    expect(lock.rules.unet).toMatchObject({ 'base + lora of personalized[0] + lora of lcm': 192 });
  });

  it.each([
    ['flat, with the old names of the text encoder', { textModel: false }, { wrapped: false }],
    [
      'under state_dict, with projections as Linear and the VAE as vae.',
      { linear: true, vae: 'vae.' },
      { wrapped: true },
    ],
  ])('does so as a torch checkpoint %s', async (name, options, torch) => {
    const model = await writeTorch(join(folder, `${name}.ckpt`), await tinyLdm(options), torch);
    const { lock } = await expectSame({ model, config: TINY }, `from-torch-${torch.wrapped}`);
    expect(lock.inputs[0]).toMatchObject({ container: 'torch-zip', accounting: { ignored: TINY_LDM_IGNORED } });
  });

  it('gives and takes parts', async () => {
    const whole = await single('whole.safetensors');
    const tensors = await tinyLdm();
    const autoencoder = tensors
      .filter(({ name }) => name.startsWith('first_stage_model.'))
      .map((stored) => ({ ...stored, name: stored.name.replace('first_stage_model.', '') }));
    const vae = await writeLdm(join(folder, 'vae.safetensors'), [
      ...autoencoder,
      zeros('loss.logvar', [1]),
      zeros('loss.discriminator.main.0.weight', [2, 2]),
    ]);
    const unet = await writeLdm(
      join(folder, 'unet.safetensors'),
      tensors.flatMap((t) =>
        t.name.startsWith('model.') ? [{ ...t, name: t.name.replace('model.diffusion_model.', '') }] : [],
      ),
    );
    const parts = { model: unet, config: TINY, vae, text_encoder: whole.model };
    const { lock } = await expectSame(parts, 'from-parts');
    expect(
      lock.inputs.slice(0, 3).map(({ role, accounting }) => [role, accounting.applied, accounting.ignored]),
    ).toEqual([
      ['base.unet', 686, {}],
      ['base.text_encoder', 36, { ...without(TINY_LDM_IGNORED, 'vae-encoder'), 'other-component': 686 + 188 }],
      ['base.vae_decoder', 110, { 'vae-encoder': 78, 'training-buffers': 2 }],
    ]);
    await expectSame({ model: TINY, vae: whole.model, text_encoder: TINY }, 'from-folders');
  });

  it('takes the VAE encoder as well where the recipe asks for it, to the same bytes from everywhere', async () => {
    const output = { vae_encoder: true };
    const bytes = async (base: Section, name: string) => {
      const { lock } = await bakeAndCheck(tinyRecipe({ base, output }), join(folder, name));
      expect(WEIGHTS.map((file) => lock.outputs[file]?.sha256)).toEqual(expected);
      return [lock, lock.outputs['vae_encoder/model.onnx_data']?.sha256] as const;
    };
    const [fromFolder, sha256] = await bytes(TINY, 'encoder-from-folder');
    expect(fromFolder.inputs[2]).toMatchObject({ role: 'base.vae', accounting: { applied: 188, ignored: {} } });
    expect(fromFolder.rules).toMatchObject({ vae_decoder: { 'base.vae': 110 }, vae_encoder: { 'base.vae': 78 } });

    const whole = await single('whole-with-encoder.safetensors');
    const [fromFile, again] = await bytes(whole, 'encoder-from-file');
    expect(again).toBe(sha256);
    expect(fromFile.inputs[0]).toMatchObject({
      role: 'base',
      accounting: { applied: 686 + 36 + 188, ignored: without(TINY_LDM_IGNORED, 'vae-encoder') },
    });
    expect(fromFile.rules).toMatchObject({ vae_encoder: { base: 78 } });

    const vae = await writeLdm(
      join(folder, 'vae-with-encoder.safetensors'),
      (await tinyLdm({ vae: '' })).filter(({ name }) => /^(encoder|decoder|quant_conv|post_quant_conv)\./.test(name)),
    );
    const [fromPart, third] = await bytes({ model: TINY, vae }, 'encoder-from-part');
    expect(third).toBe(sha256);
    expect(fromPart.inputs[2]).toMatchObject({ role: 'base.vae', file: 'vae-with-encoder.safetensors' });
  });

  it('says what to do about a VAE without an encoder, and takes no half of one', async () => {
    const isEncoder = ({ name }: Stored) => /^first_stage_model\.(encoder|quant_conv)\./.test(name);
    const decoder = await single('decoder.safetensors', (all) => all.filter((stored) => !isEncoder(stored)));
    expect((await refusal(decoder, { output: { vae_encoder: true } })).message).toMatch(
      /holds no SD1\.5 VAE encoder, which the recipe takes from it\..*leave output\.vae_encoder out/,
    );
    await expect(planned(decoder)).resolves.toMatchObject({ components: ['unet', 'text_encoder', 'vae_decoder'] });
    const half = await single('half.safetensors', (all) =>
      all.filter(({ name }) => name !== 'first_stage_model.quant_conv.bias'),
    );
    expect((await refusal(half, { output: { vae_encoder: true } })).message).toMatch(
      /lacks first_stage_model\.quant_conv\.bias \[8\]/,
    );
    const extra = await single('extra-encoder.safetensors', (all) => [
      ...all,
      zeros('first_stage_model.encoder.down.0.block.7.conv1.bias', [16]),
    ]);
    expect((await refusal(extra, { output: { vae_encoder: true } })).message).toMatch(
      /1 of \d+ tensors fit nothing.*\n.*encoder\.down\.0\.block\.7\.conv1\.bias/,
    );
  });

  it('takes the text encoder out of a whole CLIP', async () => {
    const clip = await writeLdm(join(folder, 'clip.safetensors'), [
      ...(await readAll(join(TINY, 'text_encoder/model.safetensors'))),
      ...['vision_model.post_layernorm.bias', 'visual_projection.weight', 'text_projection.weight', 'logit_scale'].map(
        (name) => zeros(name, [2]),
      ),
    ]);
    expect((await planned({ model: TINY, text_encoder: clip })).files[1]).toMatchObject({
      role: 'base.text_encoder',
      accounting: { applied: 36, ignored: { 'clip-vision': 2, 'text-projection': 2 } },
    });
  });

  it('takes components’ own folders, whose config counts', async () => {
    const own = join(folder, 'own-vae');
    await cp(join(TINY, 'vae'), own, { recursive: true });
    const config = JSON.parse(await readFile(join(own, 'config.json'), 'utf8'));
    await writeFile(join(own, 'config.json'), JSON.stringify({ ...config, scaling_factor: 0.5 }));
    const { vae, configs } = await planned({ model: TINY, vae: own, text_encoder: join(TINY, 'text_encoder') });
    expect(vae.scaling_factor).toBe(0.5);
    expect(configs.vae_decoder).toBe(join(own, 'config.json'));
    expect(configs.text_encoder).toBe(join(TINY, 'text_encoder', 'config.json'));
  });

  it('is stock SD1.5 where the recipe names no config, and says so when it is not', async () => {
    const { model } = await single('tiny.safetensors');
    expect((await refusal({ model })).message).toMatch(
      /input_blocks\.0\.0\.weight has the shape \[32,4,3,3\]; \S+sd15\/unet\/config\.json calls for \[320,4,3,3\]\. .*base\.config/,
    );
  });

  it('names what is missing as the file would, and what is left over', async () => {
    const missing = 'model.diffusion_model.middle_block.1.transformer_blocks.0.attn1.to_q.weight';
    const lacking = await single('lacking.safetensors', (all) => all.filter(({ name }) => name !== missing));
    expect((await refusal(lacking)).message).toMatch(
      new RegExp(`lacking\\.safetensors lacks ${missing.replaceAll('.', '\\.')} \\[96,96\\], which \\S+ calls for`),
    );
    const noVae = await single('no-vae.safetensors', (all) => all.filter(({ name }) => !name.startsWith('first_')));
    expect((await refusal(noVae)).message).toMatch(/holds no SD1\.5 VAE.*LDM single-file checkpoint.*base\.vae/);
    const extra = await single('extra.safetensors', (all) => [
      ...all,
      zeros('model.diffusion_model.input_blocks.0.0.weigth', [1]),
    ]);
    expect((await refusal(extra)).message).toMatch(
      /1 of \d+ tensors fit nothing.*\n.*weigth \(did you mean model\.diffusion_model\.input_blocks\.0\.0\.weight\?/,
    );
    const twice = await single('twice.safetensors', (all) => [
      ...all,
      ...all
        .filter(({ name }) => name.includes('final_layer_norm'))
        .map((t) => ({ ...t, name: t.name.replace('.text_model', '') })),
    ]);
    expect((await refusal(twice)).message).toMatch(/final_layer_norm\.weight is there twice/);
  });
});

describe('a diffusers folder', () => {
  const copy = async (name: string): Promise<string> => {
    const base = join(folder, name);
    await cp(TINY, base, { recursive: true });
    return base;
  };
  /** Puts the UNet of `base` into two shards beside an index. */
  const shard = async (
    base: string,
    { index, shards, torch }: { index: string; shards: readonly string[]; torch?: boolean },
  ) => {
    const whole = join(base, 'unet/diffusion_pytorch_model.safetensors');
    const tensors = await readAll(whole);
    await rm(whole);
    const weightMap: Record<string, string> = {};
    for (const [i, file] of shards.entries()) {
      const part = tensors.filter((_, n) => n % shards.length === i);
      await (torch ? writeTorch : writeLdm)(join(base, 'unet', file), part);
      for (const { name } of part) weightMap[name] = file;
    }
    await writeFile(join(base, 'unet', index), JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }));
    return weightMap;
  };
  const of = (name: string) => [1, 2].map((n) => name.replace('#', `-0000${n}-of-00002`));

  it.each([
    ['diffusion_pytorch_model.safetensors.index.json', of('diffusion_pytorch_model#.safetensors')],
    ['diffusion_pytorch_model.safetensors.index.fp16.json', of('diffusion_pytorch_model.fp16#.safetensors')],
    ['diffusion_pytorch_model.safetensors.fp16.index.json', of('diffusion_pytorch_model#.fp16.safetensors')],
    ['diffusion_pytorch_model.bin.index.json', of('diffusion_pytorch_model#.bin')],
  ])('may be in shards: %s', async (index, shards) => {
    const base = await copy(`shards-${index}`);
    await shard(base, { index, shards, torch: index.includes('.bin.') });
    const { files } = index.includes('fp16') ? await planned(base) : (await expectSame(base, `from-${index}`)).plan;
    expect(files.slice(0, 2).map(({ role, path, accounting }) => [role, path, accounting.applied])).toEqual(
      shards.map((file) => ['base.unet', join(base, 'unet', file), 343]),
    );
  });

  it.each([
    ['unet', 'diffusion_pytorch_model.fp16.safetensors'],
    ['unet', 'diffusion_pytorch_model.non_ema.safetensors'],
    ['text_encoder', 'model.fp16.safetensors'],
    ['vae', 'diffusion_pytorch_model.bin'],
    ['text_encoder', 'pytorch_model.fp16.bin'],
  ])('may hold %s as %s', async (part, file) => {
    const base = await copy(`variant-${part}-${file}`);
    const whole = join(
      base,
      part,
      part === 'text_encoder' ? 'model.safetensors' : 'diffusion_pytorch_model.safetensors',
    );
    if (file.endsWith('.bin')) await writeTorch(join(base, part, file), await readAll(whole));
    else await cp(whole, join(base, part, file));
    expect((await planned(base)).files.map(({ path }) => path)).toContain(whole); // the plain name is preferred
    await rm(whole);
    expect((await planned(base)).files.map(({ path }) => path)).toContain(join(base, part, file));
  });

  it('may be a Hugging Face cache, whose files are links', async () => {
    const base = await copy('snapshot');
    const file = join(base, 'unet/diffusion_pytorch_model.safetensors');
    await rename(file, join(folder, 'blob'));
    await symlink(join(folder, 'blob'), file);
    expect((await planned(base)).files[0]).toMatchObject({ path: file, accounting: { applied: 686 } });
  });

  it.each([
    ['a parent folder', '../text_encoder/model.safetensors'],
    ['an absolute path', '/etc/model.safetensors'],
    ['a Windows path', 'C:model.safetensors'],
    ['a backslash', '..\\model.safetensors'],
    ['another kind of file', 'config.json'],
    ['a NUL', 'a\0.safetensors'],
  ])('is refused when its index names %s', async (_, name) => {
    const base = await copy(`escape-${createHash('md5').update(name).digest('hex')}`);
    const index = join(base, 'unet/diffusion_pytorch_model.safetensors.index.json');
    await rm(join(base, 'unet/diffusion_pytorch_model.safetensors'));
    await writeFile(index, JSON.stringify({ weight_map: { 'conv_in.weight': name } }));
    const error = await refusal(base);
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(`${index} names ${JSON.stringify(name)} as a shard; a shard is`);
  });

  it('is refused when its index is damaged, or a shard is missing or holds what another holds', async () => {
    const base = await copy('damaged');
    const names = of('diffusion_pytorch_model#.safetensors');
    const index = 'diffusion_pytorch_model.safetensors.index.json';
    await shard(base, { index, shards: names });
    const second = join(base, 'unet', names[1] as string);
    const bytes = await readFile(second);
    await rm(second);
    const missing = await refusal(base);
    expect(missing).toBeInstanceOf(InputMissingError);
    expect(missing.message).toMatch(
      /index\.json names the shard \S+-00002-of-00002\.safetensors, which is not beside it/,
    );
    await writeLdm(second, await readAll(join(TINY, 'unet/diffusion_pytorch_model.safetensors')));
    expect((await refusal(base)).message).toMatch(/is there twice: as \S+ in \S+00001\S+ and as \S+ in \S+00002/);
    await writeFile(second, bytes);
    await writeFile(join(base, 'unet', index), '{"weight_map":[]}');
    expect((await refusal(base)).message).toMatch(/index\.json is no index of shards: weight_map/);
    await writeFile(join(base, 'unet', index), '{"weight_map":{}}');
    expect((await refusal(base)).message).toMatch(/names 0 shards/);
  });

  it('says what it looked for', async () => {
    const base = await copy('empty');
    await rm(join(base, 'vae/diffusion_pytorch_model.safetensors'));
    expect((await refusal(base)).message).toMatch(
      /empty\/vae holds no weights: looked for diffusion_pytorch_model\.safetensors and diffusion_pytorch_model\.bin, their variants \(fp32, fp16/,
    );
  });

  it('takes the attention of an old VAE, also as 1×1 convolutions of one or two dimensions', async () => {
    const base = await copy('old-vae');
    const path = join(base, 'vae/diffusion_pytorch_model.safetensors');
    const old: Readonly<Record<string, string>> = {
      to_q: 'query',
      to_k: 'key',
      to_v: 'value',
      'to_out.0': 'proj_attn',
    };
    const renamed = (await readAll(path)).map((stored) => {
      const [, before, piece, leaf] = /^(.*\.attentions\.0\.)(to_\w+(?:\.0)?)\.(\w+)$/.exec(stored.name) ?? [];
      if (piece === undefined) return stored;
      const ones = piece === 'to_q' ? [1] : [1, 1];
      const shape = leaf === 'weight' ? [...stored.shape, ...ones] : stored.shape;
      return { ...stored, name: `${before}${old[piece]}.${leaf}`, shape };
    });
    expect(renamed.filter(({ name }) => name.includes('.proj_attn.'))).toHaveLength(4);
    await writeLdm(path, renamed);
    await expectSame(base, 'from-old-vae');
  });
});

describe('what looks like a base and is none', () => {
  const reshaped = (name: RegExp, shape: readonly number[]) => (tensors: Stored[]) =>
    tensors.map((stored) => (name.test(stored.name) ? zeros(stored.name, shape) : stored));

  it.each<
    [what: string, alter: (tensors: Stored[]) => readonly Stored[], reason: RegExp, metadata?: Record<string, string>]
  >([
    ['inpainting', reshaped(/input_blocks\.0\.0\.weight$/, [32, 9, 3, 3]), /is an inpainting model.*9 input channels/],
    ['InstructPix2Pix', reshaped(/input_blocks\.0\.0\.weight$/, [32, 8, 3, 3]), /an InstructPix2Pix model/],
    ['SD2', reshaped(/input_blocks\.1\.1\.\S+attn2\.to_k\.weight$/, [32, 1024]), /an SD2 model.*1024/],
    [
      'SD2 by its text encoder',
      (all) => [...all, zeros('cond_stage_model.model.ln_final.weight', [2])],
      /an SD2 model/,
    ],
    ['SDXL', (all) => [...all, zeros('conditioner.embedders.0.x', [2])], /an SDXL model/],
    [
      'SDXL by its labels',
      (all) => [...all, zeros('model.diffusion_model.label_emb.0.0.weight', [2])],
      /an SDXL model/,
    ],
    [
      'a full LCM',
      (all) => [...all, zeros('model.diffusion_model.time_embedding.cond_proj.weight', [32, 16])],
      /a full LCM.*cond_proj/,
    ],
    ['v-prediction', (all) => all, /a model that predicts v.*epsilon/, { 'modelspec.prediction_type': 'v' }],
    ['v-prediction by a flag', (all) => [...all, zeros('v_pred', [])], /a model that predicts v/],
  ])('is refused by name: %s', async (what, alter, reason, metadata) => {
    const base = await single(`${what}.safetensors`, alter, metadata);
    const error = await refusal(base);
    expect(error).toBeInstanceOf(MergeError);
    expect(error.message).toMatch(reason);
    expect(error.place.file).toBe(base.model);
  });

  it('is not refused for saying that it predicts epsilon', async () => {
    const base = await single('epsilon.safetensors', (all) => all, { 'modelspec.prediction_type': 'epsilon' });
    expect((await planned(base)).files[0]).toMatchObject({ role: 'base' });
  });

  it('is refused by name in a folder as well', async () => {
    const base = join(folder, 'diffusers-inpainting');
    await cp(TINY, base, { recursive: true });
    const path = join(base, 'unet/diffusion_pytorch_model.safetensors');
    await writeLdm(path, reshaped(/^conv_in\.weight$/, [32, 9, 3, 3])(await readAll(path)));
    expect((await refusal(base)).message).toMatch(/an inpainting model/);
  });

  it.each([
    ['ink.safetensors', /no SD1\.5 UNet.*LoRA \(kohya names\)/],
    ['animatelcm.ckpt', /no SD1\.5 UNet.*motion module \(AnimateDiff layout\)/],
    ['base/vae/diffusion_pytorch_model.safetensors', /no SD1\.5 UNet.*VAE \(diffusers\)/],
  ])('is said to be what it is: %s', async (file, reason) => {
    const error = await refusal({ model: resolve('models/tiny', file), config: TINY });
    expect(error).toBeInstanceOf(MergeError);
    expect(error.message).toMatch(reason);
  });
});

describe('a base that lcm-merge has made', async () => {
  const ink = resolve('models/tiny/ink.safetensors');
  const sha256 = createHash('sha256')
    .update(await readFile(ink))
    .digest('hex');
  const lock = { lock_version: 1, inputs: [{ role: 'personalized[3]', file: 'tusche.safetensors', sha256 }] };

  it('is refused with a LoRA that its lock lists, wherever the lock is', async () => {
    const locked = join(folder, 'locked');
    await cp(TINY, locked, { recursive: true });
    await writeFile(join(locked, 'lcm-merge.lock.json'), JSON.stringify(lock));
    const reason =
      /ink\.safetensors \(personalized\[0\]\) is merged into the base already: \S+locked\/lcm-merge\.lock\.json lists .*personalized\[3\] \(tusche\.safetensors/;
    expect((await refusal(locked)).message).toMatch(reason);
    expect((await refusal({ model: TINY, vae: locked }))?.message).toMatch(reason);

    const file = await single('locked.safetensors', (all) => all, { [LOCK_METADATA]: JSON.stringify(lock) });
    expect((await refusal(file)).message).toMatch(/locked\.safetensors \(metadata lcm_merge\.lock\) lists/);
  });

  it('is taken with others', async () => {
    const others = { ...lock, inputs: lock.inputs.map((input) => ({ ...input, sha256: sha256.replace(/^./, 'x') })) };
    const file = await single('others.safetensors', (all) => all, { [LOCK_METADATA]: JSON.stringify(others) });
    expect((await planned(file)).files[0]).toMatchObject({ role: 'base' });
  });

  it('is refused when its lock cannot be read', async () => {
    const broken = join(folder, 'broken-lock');
    await cp(TINY, broken, { recursive: true });
    for (const [text, reason] of [
      ['{', /lcm-merge\.lock\.json is not valid JSON/],
      ['{"inputs":[{"role":1}]}', /is not a lock that lcm-merge wrote: inputs\.0\.role/],
    ] as const) {
      await writeFile(join(broken, 'lcm-merge.lock.json'), text);
      const error = await refusal(broken);
      expect(error).toBeInstanceOf(FormatError);
      expect(error.message).toMatch(reason);
    }
  });
});

describe('stock SD1.5 as one file of 4 GB with its EMA weights', async () => {
  const part = (name: string) => join(STOCK_FOLDER, name, 'config.json');
  const structure = unetStructure(await readUNetConfig(part('unet')), { mid: true });
  const parameters = unetParameters(structure, 64).filter(({ kind }) => kind !== 'positional-encoding');
  const vae = vaeDecoderParameters(await readVaeConfig(part('vae')));
  const text = clipTextParameters(await readClipTextConfig(part('text_encoder')));
  const named = (list: readonly ModelParameter[], names: ReadonlyMap<string, string> | undefined, prefix: string) =>
    list.map(({ name, shape }) => ({ name: prefix + (names ? names.get(name) : name), shape }));

  it('is planned in a second, from headers, with the configs and the tokenizer that ship with the tool', async () => {
    const spatial = parameters.filter(({ motion }) => !motion);
    expect(spatial.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0)).toBe(859_520_964);
    const unet = named(spatial, ldmGolden.unets[0]?.names, 'model.diffusion_model.');
    const size = await writeHollow(join(folder, 'v1-5-pruned.safetensors'), [
      ...unet,
      ...unet.map(({ name, shape }) => ({ name: `model_ema.${name.slice(6).replaceAll('.', '')}`, shape })),
      ...named(vae, ldmGolden.vaes[0]?.names, 'first_stage_model.'),
      ...named(text, undefined, 'cond_stage_model.transformer.'),
      { name: 'cond_stage_model.transformer.text_model.embeddings.position_ids', shape: [1, 77] },
      { name: 'alphas_cumprod_prev', shape: [1000] },
      { name: 'lvlb_weights', shape: [1000] },
    ]);
    expect(size).toBeGreaterThan(3.7e9);
    const motion = parameters.filter((parameter) => parameter.motion);
    await writeHollow(
      join(folder, 'mm.safetensors'),
      motion.map(({ name, shape }) => ({ name: animateDiffName(name), shape })),
    );
    const recipe = recipeIn(folder, {
      name: 'stock',
      base: 'v1-5-pruned.safetensors',
      motion: { module: 'mm.safetensors', expect: { modules: 21 } },
    });
    const times: number[] = [];
    for (let run = 0; run < 3; run += 1) {
      const started = process.cpuUsage();
      const { files, configs, tensors } = await plan(recipe);
      times.push(process.cpuUsage(started).user / 1000);
      expect(files[0]).toMatchObject({
        role: 'base',
        accounting: {
          applied: 686 + 196 + 140,
          ignored: { ema: 686, 'position-ids': 1, 'training-buffers': 2 },
        },
      });
      expect(tensors.unet.filter(({ source }) => source?.file === 0)).toHaveLength(686);
      expect(configs.tokenizer).toBe(join(STOCK_FOLDER, 'tokenizer'));
    }
    expect(Math.min(...times)).toBeLessThan(1000); // of CPU time, which others on the machine do not take
  });
});

function without<Key extends string>(record: Readonly<Record<Key, number>>, key: Key): Record<string, number> {
  return Object.fromEntries(Object.entries<number>(record).filter(([name]) => name !== key));
}

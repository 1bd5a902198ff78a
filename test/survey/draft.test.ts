import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { ldmUNetName, ldmVaeName } from '../../src/architecture/ldm-names.ts';
import { animateDiffName } from '../../src/architecture/names.ts';
import { clipTextParameters, unetParameters, vaeDecoderParameters } from '../../src/architecture/parameters.ts';
import { STOCK_FOLDER } from '../../src/architecture/stock.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { InputMissingError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import { draftRecipe } from '../../src/survey/draft.ts';
import { surveyFiles } from '../../src/survey/survey.ts';
import { writeFamily } from '../helpers/family.ts';
import { writeHollow } from '../helpers/hollow.ts';
import { tinyLdm, writeLdm } from '../helpers/ldm.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const put = (from: string, to = from) => cp(`models/tiny/${from}`, join(folder, 'files', to), { recursive: true });

async function draft(name = 'drafted'): Promise<string> {
  return draftRecipe(await drain(surveyFiles(join(folder, 'files'))), { file: join(folder, 'recipe.yaml'), name });
}

/** Writes the text as a recipe and plans it as it stands. */
async function planned(text: string) {
  await writeFile(join(folder, 'recipe.yaml'), text);
  const recipe = await loadRecipe(join(folder, 'recipe.yaml'));
  return { recipe, plan: await plan(recipe) };
}

describe('draftRecipe', () => {
  it('makes of the tiny family the recipe that comes with it, and says what else is there', async () => {
    await cp('models/tiny', join(folder, 'files'), { recursive: true });
    const text = await draft();
    const { recipe, plan: made } = await planned(text);
    const files = resolve(folder, 'files');
    expect(recipe).toMatchObject({
      name: 'drafted',
      base: { model: join(files, 'base') },
      personalized: [{ lora: join(files, 'ink.safetensors'), alpha: 0.8 }],
      lcm: { lora: join(files, 'lcm.safetensors'), beta: 1, expect: { modules: 278 } },
      motion: { module: join(files, 'animatelcm.ckpt'), gamma: 1 },
      sampler: { kind: 'lcm', steps: 4, guidance: 1 },
      output: { frames: 16, width: 64, height: 64 },
    });
    expect(made.warnings).toEqual([expect.stringMatching(/^The licence of .* is not known/)]); // files alone do not tell
    expect(text.split('\n')[0]).toBe('# yaml-language-server: $schema=./recipe.schema.json');
    expect(text).toMatch(/^ {2}# module: files\/animatediff\.ckpt # .*32 rows$/m);
    expect(text).toMatch(/^# {3}files\/reference\.safetensors: tensors of no kind/m);
  });

  it('writes lines that need no more than their # removed', async () => {
    for (const name of ['base', 'ink.safetensors', 'animatelcm.ckpt', 'animatediff.ckpt']) await put(name);
    for (const name of ['other: style #2.safetensors', 'null', '- x.safetensors']) {
      await put('ink.safetensors', name.includes('.') ? name : `${name}.pt`);
    }
    await put('base/vae/diffusion_pytorch_model.safetensors', 'vae.safetensors');
    const text = await draft();
    await planned(text);
    const more = text.replace(/^( *)# (?=- lora: | {2}alpha: )/gm, '$1');
    const { recipe, plan: made } = await planned(more);
    expect(recipe.personalized).toHaveLength(4);
    expect(made.files.filter(({ role }) => role.startsWith('personalized'))).toHaveLength(4);
    const otherVae = text.replace(/^base: .*\n/m, '').replace(/^# (?=base:$| {2}model: | {2}vae: )/gm, '');
    expect((await planned(otherVae)).recipe.base.vae).toBe(resolve(folder, 'files', 'vae.safetensors'));
  });

  it('takes many steps where there is no LCM LoRA, and then the module that was not distilled', async () => {
    for (const name of ['base', 'ink.safetensors', 'animatelcm.ckpt', 'animatediff.ckpt']) await put(name);
    const { recipe } = await planned(await draft());
    expect(recipe.motion.module).toBe(resolve(folder, 'files', 'animatediff.ckpt'));
    expect(recipe.sampler).toMatchObject({ kind: 'ddim', steps: 25, guidance: 7.5 });
    expect(recipe.lcm).toBeUndefined();
  });

  it('takes the base that most of the files were made for, and leaves the rest with the reason', async () => {
    const other = await writeFamily();
    await symlink(join(other.folder, 'base'), join(await files(), 'a-base'));
    await symlink(join(other.folder, 'motion.safetensors'), join(folder, 'files', 'a-motion.safetensors'));
    for (const name of ['base', 'ink.safetensors', 'lcm.safetensors', 'animatelcm.ckpt']) await put(name);
    const text = await draft();
    const { recipe } = await planned(text);
    expect(recipe.base.model).toBe(resolve(folder, 'files', 'base'));
    expect(text).toMatch(/^# base: files\/a-base # /m);
    expect(text).toMatch(
      /a-motion\.safetensors: .* It was made for another base: its blocks are 8, 16 wide, the base's 32, 64, 96\.$/m,
    );
  });

  it('makes no more frames than the motion module has positions', async () => {
    const small = await writeFamily({ positions: 8 });
    await symlink(small.folder, join(folder, 'files'));
    expect((await planned(await draft())).recipe.output.frames).toBe(8);
  });

  it('takes a single file of SD1.5, with the VAE that lies beside it where it has none', async () => {
    const structure = unetStructure(await readUNetConfig(join(STOCK_FOLDER, 'unet', 'config.json')), { mid: true });
    const unet = unetParameters(structure, 32);
    const clip = clipTextParameters(await readClipTextConfig(join(STOCK_FOLDER, 'text_encoder', 'config.json')));
    const vaeConfig = await readVaeConfig(join(STOCK_FOLDER, 'vae', 'config.json'));
    const spatial = unet.filter(({ motion }) => !motion);
    const motion = unet.filter((p) => p.motion && p.kind !== 'positional-encoding');
    await writeHollow(join(await files(), 'model.safetensors'), [
      ...spatial.map(({ name, shape }) => ({ name: `model.diffusion_model.${ldmUNetName(name, structure)}`, shape })),
      ...clip.map(({ name, shape }) => ({ name: `cond_stage_model.transformer.${name}`, shape })),
    ]);
    await writeHollow(
      join(folder, 'files', 'motion.safetensors'),
      motion.map(({ name, shape }) => ({ name: animateDiffName(name), shape })),
    );
    await expect(draft()).rejects.toThrow(/lacks a base.*\n.*\n.*It has no VAE, and none was found/);
    await writeHollow(
      join(folder, 'files', 'vae.safetensors'),
      vaeDecoderParameters(vaeConfig).map(({ name, shape }) => ({ name: ldmVaeName(name, vaeConfig), shape })),
    );
    const { recipe } = await planned(await draft());
    expect(recipe.base).toEqual({
      model: resolve(folder, 'files', 'model.safetensors'),
      vae: resolve(folder, 'files', 'vae.safetensors'),
    });
    expect(recipe.output).toMatchObject({ width: 512, height: 512 });
  });

  it('lends a single file of another width the configs of a folder that has them', async () => {
    await writeLdm(join(await files(), 'fine-tuned.safetensors'), await tinyLdm());
    for (const name of ['ink.safetensors', 'animatelcm.ckpt']) await put(name);
    await expect(draft()).rejects.toThrow(/Its blocks are 32, 64, 96 wide, not as SD1\.5's, and no folder/);
    await put('base', 'z-base');
    const text = await draft();
    expect((await planned(text)).recipe.base.model).toBe(resolve(folder, 'files', 'z-base'));
    const other = text.replace(/^base: .*\n/m, '').replace(/^# (?=base:| {2}(model|config):)/gm, '');
    expect((await planned(other)).recipe.base).toEqual({
      model: resolve(folder, 'files', 'fine-tuned.safetensors'),
      config: resolve(folder, 'files', 'z-base'),
    });
  });

  it('says what is lacking, and why what is there does not do', async () => {
    await put('animatelcm.ckpt');
    await put('reference.safetensors');
    await writeFile(join(folder, 'files', 'cut.safetensors'), '');
    const error = await draft().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputMissingError);
    const { message } = error as Error;
    expect(message).toMatch(/lacks a base\. A recipe needs .*Found: a motion module\.\n/);
    expect(message).toMatch(/reference\.safetensors: tensors of no kind that lcm-merge knows\. None of/);
    expect(message).toMatch(/cut\.safetensors: not to be read\. an empty file/);
    await put('base');
    await put('ink.safetensors');
    await expect(draft()).resolves.toContain('base: files/base');
  });

  it('needs a motion module that was made for the base', async () => {
    const other = await writeFamily();
    await symlink(join(other.folder, 'motion.safetensors'), join(await files(), 'motion.safetensors'));
    await put('base');
    await expect(draft()).rejects.toThrow(/lacks a motion module that was made for base.*/);
  });

  it.each([
    ['a/b: c', 'ab: c'],
    ['...', 'recipe'],
    ['', 'recipe'],
    ['null', 'null'],
    ['true\n', 'true'],
  ])('calls it %j as far as a recipe can be called so', async (name, expected) => {
    for (const file of ['base', 'animatelcm.ckpt']) await put(file);
    expect((await planned(await draft(name))).recipe.name).toBe(expected);
  });

  it('keeps file names with line ends in one line', async () => {
    for (const file of ['base', 'animatelcm.ckpt']) await put(file);
    await put('ink.safetensors', 'a\nbase: evil.safetensors');
    await put('reference.safetensors', 'b\nmotion: evil.safetensors');
    const { recipe } = await planned(await draft());
    expect(recipe.personalized[0]?.lora).toBe(resolve(folder, 'files', 'a\nbase: evil.safetensors'));
  });
});

async function files(): Promise<string> {
  await mkdir(join(folder, 'files'), { recursive: true });
  return join(folder, 'files');
}

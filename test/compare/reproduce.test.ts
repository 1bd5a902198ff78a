import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { findSources, localSources } from '../../src/compare/find-sources.ts';
import { lockOfPackage, recipeOfLock, reproducePackage } from '../../src/compare/reproduce.ts';
import { linkSources } from '../../src/compare/source-links.ts';
import { InputMissingError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { plan } from '../../src/merge/plan.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, recipeIn, tinyRecipe } from '../helpers/tiny.ts';
import { lockOf } from '../publish/handmade.ts';

const RECIPE = { output: { targets: ['portable'], frames: 4 } };

let baked: string;
let lock: Lock;

beforeAll(async () => {
  baked = join(await temporaryFolder(), 'package');
  await mkdir(baked);
  ({ lock } = await bakeAndCheck(tinyRecipe(RECIPE), baked));
});

async function copy(): Promise<string> {
  const folder = join(await temporaryFolder(), 'package');
  await cp(baked, folder, { recursive: true });
  return folder;
}

const leftovers = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('lcm-merge-reproduce-'));

describe('reproducePackage', () => {
  it('finds a package the same to the last bit, lock and provenance too, and leaves nothing', async () => {
    const before = await leftovers();
    // how it is to be proved may have changed since
    const planned = await plan(tinyRecipe({ ...RECIPE, verify: { prompt: 'a blue square', seed: 7 } }));
    const files = Object.keys(lock.outputs).length + 2;
    expect(await drain(reproducePackage(baked, planned))).toMatchObject({
      ...{ identical: true, files, altered: [], missing: [], added: [], sources: [] },
    });
    expect(await leftovers()).toEqual(before);
  });

  it('names what differs, leaves verification and signature aside, and keeps what was made where it is told to', async () => {
    const folder = await copy();
    await appendFile(join(folder, 'unet/model.onnx_data'), 'x');
    await rm(join(folder, 'model_index.json'));
    await writeFile(join(folder, 'run.py'), '');
    await writeFile(join(folder, 'model.sig'), '');
    await mkdir(join(folder, 'verification'));
    await writeFile(join(folder, 'verification/report.json'), '{}');
    const keep = join(await temporaryFolder(), 'again');
    const found = await drain(reproducePackage(folder, await plan(tinyRecipe(RECIPE)), { keep }));
    // as seen from the package: what was made anew has one file more and one less
    expect(found).toMatchObject({
      ...{ identical: false, kept: keep, sources: [] },
      ...{ altered: ['unet/model.onnx_data'], missing: ['run.py'], added: ['model_index.json'] },
    });
    expect(await digestPackage(keep)).toEqual(await digestPackage(baked));
  });

  it('says that a source is another, and what came of it', async () => {
    const models = join(await temporaryFolder(), 'models');
    await cp('models/tiny', models, { recursive: true });
    const file = join(models, 'ink.safetensors');
    const data = await readFile(file);
    data[data.length - 1] = (data.at(-1) as number) ^ 1;
    await writeFile(file, data);
    const { file: _, text, ...rest } = tinyRecipe(RECIPE);
    const planned = await plan(recipeIn(models, JSON.parse(text as string) as typeof rest));
    const { identical, sources, altered } = await drain(reproducePackage(baked, planned));
    const expected = lock.inputs.find(({ role }) => role === 'personalized[0]')?.sha256;
    const found = createHash('sha256').update(data).digest('hex');
    expect({ identical, sources }).toEqual({
      identical: false,
      sources: [{ role: 'personalized[0]', expected, found }],
    });
    expect(altered).toContain(LOCK_FILE);
  });
});

describe('the sources of a lock', () => {
  const find = async (folders: readonly string[], of: Lock = lock) => drain(findSources(localSources(of), folders));

  /** The tiny family elsewhere, under other names and in other folders. */
  async function scattered(): Promise<string> {
    const folder = await temporaryFolder();
    await cp('models/tiny/base', join(folder, 'deep/sd'), { recursive: true });
    await mkdir(join(folder, 'loras'));
    await cp('models/tiny/ink.safetensors', join(folder, 'blob'));
    await symlink('../blob', join(folder, 'loras/a.safetensors')); // as huggingface_hub's cache has it
    await cp('models/tiny/lcm.safetensors', join(folder, 'loras/b.safetensors'));
    await cp('models/tiny/animatelcm.ckpt', join(folder, 'm.ckpt'));
    return folder;
  }

  it('are found by their hashes, wherever they lie, and make the same package under the names that it knows', async () => {
    const folder = await scattered();
    const found = await find([folder]);
    expect(Object.fromEntries(found)).toEqual({
      'base.model': join(folder, 'deep/sd'),
      'personalized[0].lora': join(folder, 'blob'),
      'lcm.lora': join(folder, 'loras/b.safetensors'),
      'motion.module': join(folder, 'm.ckpt'),
    });
    await using linked = await linkSources(localSources(lock), found);
    const planned = await plan(recipeOfLock(lock, baked, linked.paths));
    expect(await drain(reproducePackage(baked, planned))).toMatchObject({ identical: true, altered: [], sources: [] });
  });

  it('leave no links, and lead out of nowhere', async () => {
    const before = await readdir(tmpdir());
    const found = await find([await scattered()]);
    {
      await using linked = await linkSources(localSources(lock), found);
      expect(linked.paths.size).toBe(4);
    }
    const links = (await readdir(tmpdir())).filter((name) => name.startsWith('lcm-merge-sources-'));
    expect(links.filter((name) => !before.includes(name))).toEqual([]);
    const evil = { ...lock, recipe: { ...lock.recipe, motion: { ...lock.recipe.motion, module: '../../x' } } };
    const sources = localSources(evil as Lock);
    await expect(linkSources(sources, found)).rejects.toThrow('by a name that must not become a path');
  });

  it('that are not there are all named, and nothing else of the same length is taken for them', async () => {
    const folder = await scattered();
    const [ink, unet] = [join(folder, 'blob'), join(folder, 'deep/sd/unet/diffusion_pytorch_model.safetensors')];
    const data = await readFile(ink);
    data[data.length - 1] = (data.at(-1) as number) ^ 1;
    await writeFile(ink, data);
    await rename(unet, join(folder, 'unet.safetensors'));
    const { sha256, bytes } = lock.inputs.find(({ role }) => role === 'personalized[0]') as Lock['inputs'][number];
    const error = await find([folder]).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(InputMissingError);
    expect(String(error)).toContain(
      `personalized[0].lora ("ink.safetensors"): "ink.safetensors", ${bytes} bytes, SHA-256 ${sha256}`,
    );
    expect(String(error)).toContain(
      `which is ${join(folder, 'unet.safetensors')}, but the rest of its folder is not with it`,
    );
    expect(String(error)).not.toContain('lcm.lora');
    await expect(find([join(folder, 'nowhere')])).rejects.toThrow(/The folder .*nowhere" does not exist/);
  });

  it('that share a folder are all in the one that is taken, and configs of a folder of their own have no hash', async () => {
    const folder = await scattered();
    await cp(join(folder, 'deep/sd/unet'), join(folder, 'aa/unet'), { recursive: true }); // no whole model
    expect((await find([folder])).get('base.model')).toBe(join(folder, 'deep/sd'));
    const { recipe } = lock;
    const parts = { ...lock, recipe: { ...recipe, base: { ...recipe.base, config: 'sd15', vae: 'base' } } };
    expect(localSources(parts).map(({ field, inputs }) => [field, inputs.map(({ role }) => role)])).toEqual([
      ['base.model', ['base.unet', 'base.text_encoder']],
      ['base.config', []],
      ['base.vae', ['base.vae_decoder']],
      ['personalized[0].lora', ['personalized[0]']],
      ['lcm.lora', ['lcm']],
      ['motion.module', ['motion']],
    ]);
    await expect(find([folder], parts)).rejects.toThrow(/base\.config \("sd15"\): a folder of configs/);
  });
});

describe('the recipe of a lock', () => {
  it('is the recipe, where all that it names is on the Hub', () => {
    const names = { model: 'hf://o/base@v1', lora: 'hf://o/r/a.safetensors', module: 'hf://o/motion/m.ckpt' };
    const { recipe } = lock;
    const [first] = recipe.personalized;
    const fetched = {
      ...recipe,
      base: { model: names.model },
      personalized: [{ ...first, lora: names.lora }],
      lcm: { ...recipe.lcm, lora: names.lora },
      motion: { ...recipe.motion, module: names.module },
    } as Lock['recipe'];
    const { file: _, text: __, ...read } = recipeOfLock({ ...lock, recipe: fetched }, 'package');
    expect(JSON.parse(JSON.stringify(read))).toEqual(JSON.parse(JSON.stringify(fetched)));
  });

  it('is not enough for files of a machine, whose names it has', () => {
    expect(() => recipeOfLock(lock, 'package')).toThrow(InputMissingError);
    expect(() => recipeOfLock(lock, 'package')).toThrow(
      /base\.model \(base\), personalized\[0\]\.lora \(ink\.safetensors\).* Say where they are: --sources FOLDER/,
    );
  });

  it('of a lock that somebody has made up is told to be none', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'lcm-merge.lock.json'), lockOf('ink'));
    await expect(lockOfPackage(folder)).rejects.toThrow(/lcm-merge\.lock\.json.*base/s);
  });

  it('needs a lock', async () => {
    await expect(lockOfPackage(await temporaryFolder())).rejects.toThrow(/nothing says what .* was made of/);
  });
});

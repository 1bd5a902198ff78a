import { createHash } from 'node:crypto';
import { appendFile, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { lockOfPackage, recipeOfLock, reproducePackage } from '../../src/compare/reproduce.ts';
import { InputMissingError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { LOCK_FILE, type Lock } from '../../src/export/lock.ts';
import { plan } from '../../src/merge/plan.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, recipeIn, tinyRecipe } from '../helpers/tiny.ts';

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
      /base\.model \(base\), personalized\[0\]\.lora \(ink\.safetensors\).* Give the recipe whose paths lead to them: --recipe/,
    );
  });

  it('needs a lock', async () => {
    await expect(lockOfPackage(await temporaryFolder())).rejects.toThrow(/nothing says what .* was made of/);
  });
});

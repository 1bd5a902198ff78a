import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LcmMergeError } from '../../src/errors.ts';
import { loadRecipe } from '../../src/recipe/load.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'recipe-'));
  for (const name of ['models/base', 'models/config', 'recipes']) await mkdir(join(folder, name), { recursive: true });
  for (const name of ['ink', 'lcm', 'vae', 'te']) await writeFile(join(folder, `models/${name}.safetensors`), '');
  await writeFile(join(folder, 'models/animatelcm.ckpt'), '');
});

afterAll(() => rm(folder, { recursive: true }));

/** Writes a recipe and returns its path. */
async function recipe(content: string | Uint8Array): Promise<string> {
  const path = join(folder, 'recipes/r.yaml');
  await writeFile(path, content);
  return path;
}

/** How loading fails, with the temporary folder shown as ROOT. */
async function failure(path: string) {
  const error: LcmMergeError = await loadRecipe(path).then(
    () => expect.unreachable('the recipe was accepted'),
    (reason) => reason,
  );
  const { kind, message, place } = error;
  return { kind, lines: message.replaceAll(folder, 'ROOT').split('\n'), line: place.line, column: place.column };
}

const WHOLE = `name: x
base: { model: ../models/base, config: ../models/config, vae: ../models/vae.safetensors, text_encoder: ../models/te.safetensors }
personalized: [{ lora: ../models/ink.safetensors, alpha: 1 }]
lcm: { lora: ../models/lcm.safetensors }
motion: { module: ../models/animatelcm.ckpt }
publish: { to: ../not/yet/there }
`;

describe('loadRecipe', () => {
  it('accepts a recipe whose files are all there', async () => {
    const path = await recipe(WHOLE);
    const loaded = await loadRecipe(path);
    expect(loaded.file).toBe(path);
    expect(loaded.text).toBe(WHOLE);
    expect(loaded.base.vae).toBe(join(folder, 'models/vae.safetensors'));
    expect(loaded.publish?.to).toBe(join(folder, 'not/yet/there'));
  });

  it('takes a file or a folder as the base', async () => {
    const text = WHOLE.replace('model: ../models/base,', 'model: ../models/vae.safetensors,');
    expect((await loadRecipe(await recipe(text))).base.model).toBe(join(folder, 'models/vae.safetensors'));
  });

  it('reads UTF-8 with a byte order mark', async () => {
    const loaded = await loadRecipe(await recipe(`\uFEFF${WHOLE.replace('name: x', 'name: インク')}`));
    expect(loaded.name).toBe('インク');
  });

  it('reports a malformed recipe with file, line and column', async () => {
    const path = await recipe(`${WHOLE}sampler: { steps: many }\n`);
    expect(await failure(path)).toEqual({
      kind: 'recipe',
      lines: ['ROOT/recipes/r.yaml:7:19: sampler.steps must be a number, but the text "many" was found.'],
      line: 7,
      column: 19,
    });
  });
});

describe('files that are missing', () => {
  it('are all listed, each at its line, with a name that is there', async () => {
    const path = await recipe(`name: x
base: ../modles/base
personalized:
  - lora: ../models/inkk.safetensors
    alpha: 1
  - { lora: ../models/lcm, alpha: 1 }
lcm: { lora: ../models/nothing-like-it.bin }
motion: { module: ../models/vae.safetensors/animatelcm.ckpt }
`);
    expect(await failure(path)).toEqual({
      kind: 'input-missing',
      lines: [
        'ROOT/recipes/r.yaml:2:7: The file or folder "ROOT/modles/base" does not exist, nor does "ROOT/modles". Did you mean "models"?',
        'ROOT/recipes/r.yaml:4:11: The file "ROOT/models/inkk.safetensors" does not exist. Did you mean "ink.safetensors"?',
        'ROOT/recipes/r.yaml:6:13: The file "ROOT/models/lcm" does not exist. Did you mean "lcm.safetensors"?',
        'ROOT/recipes/r.yaml:7:14: The file "ROOT/models/nothing-like-it.bin" does not exist.',
        'ROOT/recipes/r.yaml:8:19: The file or folder "ROOT/models/vae.safetensors/animatelcm.ckpt" does not exist: "ROOT/models/vae.safetensors" is not a folder that can be read.',
      ],
      line: 2,
      column: 7,
    });
  });

  it('include those of a detailed base', async () => {
    const path = await recipe(WHOLE.replace('/config', '/confg').replace('/te.', '/et.').replace('/vae.', '/vea.'));
    expect((await failure(path)).lines).toEqual([
      'ROOT/recipes/r.yaml:2:40: The folder "ROOT/models/confg" does not exist. Did you mean "config"?',
      'ROOT/recipes/r.yaml:2:62: The file or folder "ROOT/models/vea.safetensors" does not exist. Did you mean "vae.safetensors"?',
      'ROOT/recipes/r.yaml:2:103: The file or folder "ROOT/models/et.safetensors" does not exist. Did you mean "te.safetensors"?',
    ]);
  });

  it('include the recipe itself', async () => {
    await recipe(WHOLE);
    expect(await failure(join(folder, 'recipes/r.yml'))).toMatchObject({
      kind: 'input-missing',
      lines: ['The file "ROOT/recipes/r.yml" does not exist. Did you mean "r.yaml"?'],
    });
  });

  it('include a name longer than the file system takes', async () => {
    const path = await recipe(WHOLE.replace('ink.', `${'k'.repeat(300)}.`));
    expect(await failure(path)).toMatchObject({ kind: 'input-missing', line: 3, column: 24 });
  });
});

describe('links', () => {
  it.each([
    ['to nothing', 'gone'],
    ['to itself', 'link.safetensors'],
  ])('%s are named as such', async (_, target) => {
    const link = join(folder, 'models', 'link.safetensors');
    await symlink(target, link);
    const { kind, lines } = await failure(await recipe(WHOLE.replace('ink.safetensors', 'link.safetensors')));
    await rm(link);
    expect(kind).toBe('input-missing');
    expect(lines.join()).toContain('/link.safetensors" does not exist: it is a symbolic link that leads nowhere.');
  });
});

describe('things of the wrong kind', () => {
  it('a folder for a file, a file for a folder, a device for either; what is missing is listed with them', async () => {
    const path = await recipe(
      WHOLE.replace('../models/config', '../models/vae.safetensors')
        .replace('../models/ink.safetensors', '../models')
        .replace('../models/lcm.safetensors', '/dev/null')
        .replace('animatelcm', 'animate'),
    );
    expect(await failure(path)).toEqual({
      kind: 'recipe',
      lines: [
        'ROOT/recipes/r.yaml:2:40: A folder is needed here, but "ROOT/models/vae.safetensors" is a file.',
        'ROOT/recipes/r.yaml:3:24: A file is needed here, but "ROOT/models" is a folder.',
        'ROOT/recipes/r.yaml:4:14: A file is needed here, but "/dev/null" is a device, socket or pipe.',
        'ROOT/recipes/r.yaml:5:19: The file or folder "ROOT/models/animate.ckpt" does not exist. Did you mean "animatelcm.ckpt"?',
      ],
      line: 2,
      column: 40,
    });
  });

  it('a folder or a device for the recipe', async () => {
    expect(await failure(folder)).toMatchObject({
      kind: 'recipe',
      lines: ['ROOT:1:1: A recipe is a file, but this is a folder.'],
    });
    expect(await failure('/dev/zero')).toMatchObject({
      kind: 'recipe',
      lines: ['/dev/zero:1:1: A recipe is a file, but this is a device, socket or pipe.'],
    });
  });

  it('a weight file for the recipe', async () => {
    expect(await failure(await recipe(new Uint8Array(1_000_001)))).toMatchObject({
      kind: 'recipe',
      lines: [
        'ROOT/recipes/r.yaml:1:1: A recipe has at most 1000000 bytes, but this file has 1000001. Is it a recipe?',
      ],
    });
  });

  it.each([
    ['Latin-1', Buffer.from('name: x\nbase: caf\xe9\n', 'latin1'), [2, 10]],
    ['UTF-16', Buffer.from('\uFEFFname: x\n', 'utf16le'), [1, 1]],
    ['a sequence cut off by the end', Buffer.from([0x61, 0x0a, 0xe3, 0x82]), [2, 1]],
  ])('%s text', async (_, bytes, [line, column]) => {
    expect(await failure(await recipe(bytes))).toEqual({
      kind: 'recipe',
      lines: [`ROOT/recipes/r.yaml:${line}:${column}: This is not UTF-8 text. Save the recipe as UTF-8.`],
      line,
      column,
    });
  });
});

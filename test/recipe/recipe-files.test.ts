import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { duplicateRecipe, listRecipes, renameRecipe } from '../../src/recipe/recipe-files.ts';
import { createRecipe } from '../../src/recipe/save.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const at = (name: string) => join(folder, name);
const write = (name: string, text: string) => writeFile(at(name), text);
const read = (name: string) => readFile(at(name), 'utf8');

const RECIPE = `# mine
name:   "ink"   # what it is called
base: base
motion: { module: animatelcm.ckpt }
personalized: [{ lora: styles/ink.safetensors, alpha: 0.8 }]
`;

describe('listRecipes', () => {
  it('says what each recipe comes to, without the files that it names', async () => {
    expect(await listRecipes(['recipes', 'nowhere', './recipes'])).toEqual(
      [
        [
          'animatelcm-compat',
          'realistic2 + personalized α 0.8 + AnimateLCM_sd15_t2v_lora β 0.8 + AnimateLCM_sd15_t2v γ 1 · 16×512×512',
        ],
        [
          'animatelcm',
          'stable-diffusion-v1-5 + personalized α 0.8 + AnimateLCM_sd15_t2v_lora β 0.8 + AnimateLCM_sd15_t2v γ 1 · 16×512×512',
        ],
        ['tiny-reference', 'base + ink α 0.8 + lcm β 1 + animatelcm γ 1 · 16×64×64'],
        ['tiny-teacher', 'base + ink α 0.8 + animatediff γ 1 · 16×64×64'],
        ['tiny', 'base + ink α 0.8 + lcm β 1 + animatelcm γ 1 · 16×64×64'],
      ].map(([name, summary]) => ({ file: `recipes/${name}.yaml`, name, summary })),
    );
  });

  it('tells a recipe with a mistake from YAML that is none', async () => {
    await write('typo.yaml', RECIPE.replace('motion:', 'motions:'));
    await write('broken.yml', `${RECIPE}  - [`);
    await write('started.yaml', '# yaml-language-server: $schema=./recipe.schema.json\n');
    await write('flow.yaml', '{ name: flow, base: b, motion: { module: m } }');
    await write('docker-compose.yaml', 'name: app\nservices:\n  web: { image: nginx }\n');
    await write('ci.yml', 'name: CI\non: push\njobs: {}\n');
    await write('list.yaml', '- name: x\n- base: y\n');
    await write('empty.yaml', '');
    await write('.hidden.yaml', RECIPE);
    await write('notes.txt', RECIPE);
    await writeFile(at('latin1.yaml'), Buffer.from([0x6e, 0xe9, 0x0a]));
    await writeFile(at('large.yaml'), 'name: x\nbase: y\n'.padEnd(1_000_001, '#'));
    await mkdir(at('folder.yaml'));
    await symlink('nowhere', at('lost.yaml'));
    const listed = await listRecipes([folder]);
    expect(listed.map(({ file, ...rest }) => [file.slice(folder.length + 1), rest])).toEqual([
      ['broken.yml', { problem: expect.stringMatching(/^\d+:\d+: This is not valid YAML/) }],
      ['flow.yaml', { name: 'flow', summary: 'b + m γ 1 · 16×512×512' }],
      ['started.yaml', { problem: expect.stringContaining('The recipe is empty') }],
      ['typo.yaml', { problem: '4:1: Unknown key motions. Did you mean "motion"?' }],
    ]);
  });
});

describe('duplicateRecipe', () => {
  it('puts the copy beside it under the next free number, and changes nothing but the name', async () => {
    await write('ink.yaml', RECIPE);
    expect(await duplicateRecipe(at('ink.yaml'))).toBe(at('ink-2.yaml'));
    expect(await duplicateRecipe(at('ink-2.yaml'))).toBe(at('ink-3.yaml'));
    await write('ink-4.yaml', 'mine');
    expect(await duplicateRecipe(at('ink-3.yaml'))).toBe(at('ink-5.yaml'));
    expect(await read('ink.yaml')).toBe(RECIPE);
    expect(await read('ink-2.yaml')).toBe(RECIPE.replace('"ink"', '"ink-2"'));
    expect(await read('ink-5.yaml')).toBe(RECIPE.replace('"ink"', '"ink-5"'));
    expect(await read('ink-4.yaml')).toBe('mine');
    expect((await readdir(folder)).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('copies a recipe that is not right yet as it is', async () => {
    await write('typo.yaml', RECIPE.replace('motion:', 'motions:'));
    await write('broken.yml', `name: [\n${RECIPE}`);
    expect(await read((await duplicateRecipe(at('typo.yaml'))).slice(folder.length + 1))).toContain(
      'name:   "typo-2" ',
    );
    expect(await read((await duplicateRecipe(at('broken.yml'))).slice(folder.length + 1))).toBe(`name: [\n${RECIPE}`);
    await expect(duplicateRecipe(at('none.yaml'))).rejects.toThrow('does not exist');
  });
});

describe('renameRecipe', () => {
  it('renames file and key, and says so', async () => {
    await write('ink.yaml', RECIPE);
    expect(await renameRecipe(at('ink.yaml'), 'red: ink')).toEqual({
      file: at('red: ink.yaml'),
      sentence: `${at('ink.yaml')} is ${at('red: ink.yaml')} now, and its key name is "red: ink".`,
    });
    expect(await readdir(folder)).toEqual(['red: ink.yaml']);
    const text = await read('red: ink.yaml');
    expect(text).toBe(RECIPE.replace('"ink"', '"red: ink"'));
    expect(parseRecipe(text, at('red: ink.yaml')).name).toBe('red: ink');
  });

  it.each(['null', '12', 'yes', 'a, b', '*x', 'ü'])('writes the name %j so that it is read as that', async (name) => {
    await write('ink.yaml', `{ name: ink, base: b, motion: { module: m } }`);
    const { file } = await renameRecipe(at('ink.yaml'), name);
    expect(parseRecipe(await readFile(file, 'utf8'), file).name).toBe(name);
  });

  it('changes the key alone where the file has the name already', async () => {
    await write('red.yaml', RECIPE);
    const { file, sentence } = await renameRecipe(at('red.yaml'), 'red');
    expect([file, sentence]).toEqual([at('red.yaml'), `The key name of ${at('red.yaml')} is "red" now.`]);
    expect(await read('red.yaml')).toBe(RECIPE.replace('"ink"', '"red"'));
    expect((await renameRecipe(at('red.yaml'), 'red')).sentence).toContain('has that name already');
    expect(await readdir(folder)).toEqual(['red.yaml']);
  });

  it('writes over nothing', async () => {
    await write('ink.yaml', RECIPE);
    await write('red.yaml', 'mine');
    await expect(renameRecipe(at('ink.yaml'), 'red')).rejects.toThrow(/red\.yaml exists already/);
    expect([await read('ink.yaml'), await read('red.yaml')]).toEqual([RECIPE, 'mine']);
  });

  it.each(['', '.x', 'a/b', 'a\\b', 'a\nb', 'x'.repeat(129)])('refuses the name %j', async (name) => {
    await write('ink.yaml', RECIPE);
    await expect(renameRecipe(at('ink.yaml'), name)).rejects.toThrow(UsageError);
    expect(await readdir(folder)).toEqual(['ink.yaml']);
  });
});

describe('createRecipe', () => {
  it('writes a new file whole, or says why not and leaves nothing', async () => {
    await createRecipe(at('new.yaml'), RECIPE);
    expect(await read('new.yaml')).toBe(RECIPE);
    await expect(createRecipe(at('new.yaml'), '')).rejects.toThrow(UsageError);
    await expect(createRecipe(at('none/new.yaml'), '')).rejects.toThrow(/new\.yaml: cannot write it/);
    expect(await read('new.yaml')).toBe(RECIPE);
    expect(await readdir(folder)).toEqual(['new.yaml']);
  });
});

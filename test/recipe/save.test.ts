import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { IoError, RecipeError } from '../../src/errors.ts';
import { loadRecipe } from '../../src/recipe/load.ts';
import { saveRecipe } from '../../src/recipe/save.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

it('replaces the text and keeps the mode, whatever the umask', async () => {
  const file = join(await temporaryFolder(), 'x.yaml');
  writeFileSync(file, 'name: x\n');
  chmodSync(file, 0o626);
  await saveRecipe(file, 'name: y\r\n', { replaces: 'name: x\n' });
  expect(readFileSync(file, 'utf8')).toBe('name: y\r\n');
  expect(statSync(file).mode & 0o777).toBe(0o626);
});

it('keeps a byte order mark, which texts do not have', async () => {
  const file = join(await temporaryFolder(), 'x.yaml');
  writeFileSync(file, '\uFEFFname: x\n');
  await saveRecipe(file, 'name: y\n', { replaces: 'name: x\n' });
  expect(readFileSync(file, 'utf8')).toBe('\uFEFFname: y\n');
});

it('writes where a link leads to', async () => {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, 'there'));
  writeFileSync(join(folder, 'there', 'x.yaml'), 'a');
  symlinkSync('there/x.yaml', join(folder, 'link.yaml'));
  await saveRecipe(join(folder, 'link.yaml'), 'b', { replaces: 'a' });
  expect(lstatSync(join(folder, 'link.yaml')).isSymbolicLink()).toBe(true);
  expect(readFileSync(join(folder, 'there', 'x.yaml'), 'utf8')).toBe('b');
  expect(readdirSync(folder).sort()).toEqual(['link.yaml', 'there']);
});

it('can be asked twice at once, as two keys are pressed: one of them saves, or both do', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, 'x.yaml');
  writeFileSync(file, 'a');
  const saved = await Promise.allSettled(['b', 'b'].map((text) => saveRecipe(file, text, { replaces: 'a' })));
  const failures = saved.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));
  expect(failures.length).toBeLessThan(2);
  for (const failure of failures) expect(failure).toBeInstanceOf(RecipeError);
  expect(readdirSync(folder)).toEqual(['x.yaml']);
  expect(readFileSync(file, 'utf8')).toBe('b');
});

it.each([
  ['another text', 'c', 'has been changed by something else since it was read, so it is not overwritten.'],
  ['nothing', undefined, 'is not there any more, so it is not saved.'],
])('refuses to replace %s', async (_, found, sentence) => {
  const folder = await temporaryFolder();
  const file = join(folder, 'x.yaml');
  if (found !== undefined) writeFileSync(file, found);
  const saving = saveRecipe(file, 'b', { replaces: 'a' });
  await expect(saving).rejects.toThrow(RecipeError);
  await expect(saving).rejects.toThrow(sentence);
  expect(readdirSync(folder)).toEqual(found === undefined ? [] : ['x.yaml']);
  if (found !== undefined) expect(readFileSync(file, 'utf8')).toBe(found);
});

it.skipIf(process.getuid?.() === 0)('leaves a file alone that may not be written', async () => {
  const file = join(await temporaryFolder(), 'x.yaml');
  writeFileSync(file, 'a', { mode: 0o444 });
  await expect(saveRecipe(file, 'b', { replaces: 'a' })).rejects.toThrow(IoError);
  expect(readFileSync(file, 'utf8')).toBe('a');
});

it('leaves everything as it was where writing fails', async () => {
  const folder = await temporaryFolder();
  const file = join(folder, `${'x'.repeat(240)}.yaml`); // what stands beside it would have too long a name
  writeFileSync(file, 'a');
  const saving = saveRecipe(file, 'b', { replaces: 'a' });
  await expect(saving).rejects.toThrow(IoError);
  await expect(saving).rejects.toThrow(`The recipe ${file} cannot be saved: the name is too long`);
  expect(readFileSync(file, 'utf8')).toBe('a');
  expect(readdirSync(folder)).toHaveLength(1);
});

it('loads a text that has not been saved, and says of every problem which key it is about', async () => {
  const file = join(await temporaryFolder(), 'x.yaml');
  const draft = (text: string) => loadRecipe(file, { text });
  await expect(draft('name: x\nbase: b\nmotion: { module: m, gama: 1 }\n')).rejects.toMatchObject({
    problems: [expect.stringContaining(`${file}:3:22: Unknown key motion.gama.`)],
    located: [
      {
        path: ['motion', 'gama'],
        line: 3,
        column: 22,
        sentence: 'Unknown key motion.gama. Did you mean "gamma"?',
      },
    ],
  });
  await expect(draft('name: x\nbase: b\nmotion: { module: m }\n')).rejects.toMatchObject({
    name: 'InputMissingError',
    located: [
      { path: ['base', 'model'], line: 2, column: 7, sentence: expect.stringContaining('does not exist') },
      { path: ['motion', 'module'], line: 3, column: 19 },
    ],
  });
  await expect(draft('name: x\nname: y\nbase: b\nmotion: { module: m }\n')).rejects.toMatchObject({
    located: [{ path: ['name'], line: 2, sentence: 'The key name is given twice. Keep one.' }],
  });
  await expect(draft('name: [')).rejects.toMatchObject({ located: [{ path: [], line: 1 }] });
});

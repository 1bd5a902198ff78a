/** What a file system may refuse, and what no test can make the one that it runs on refuse: hard links, removing a file. */
import type * as Files from 'node:fs/promises';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, it, vi } from 'vitest';
import { IoError, UsageError } from '../../src/errors.ts';
import { renameRecipe } from '../../src/recipe/recipe-files.ts';
import { createRecipe } from '../../src/recipe/save.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const refused = vi.hoisted(() => ({ link: false, rm: '' }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof Files>();
  const refusal = (code: string, syscall: string) => Object.assign(new Error(`${code}: refused`), { code, syscall });
  return {
    ...real,
    link: async (from: string, to: string) => {
      if (refused.link) throw refusal('EPERM', 'link');
      return real.link(from, to);
    },
    rm: async (path: string, options: object) => {
      if (path === refused.rm) throw refusal('EACCES', 'unlink');
      return real.rm(path, options);
    },
  };
});

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  Object.assign(refused, { link: false, rm: '' });
});

it('makes a recipe where there are no hard links, and writes over none there either', async () => {
  refused.link = true;
  const file = join(folder, 'new.yaml');
  await createRecipe(file, 'name: mine\n');
  await expect(createRecipe(file, 'name: yours\n')).rejects.toThrow(UsageError);
  expect(await readFile(file, 'utf8')).toBe('name: mine\n');
  expect(await readdir(folder)).toEqual(['new.yaml']);
});

it('leaves one recipe, the old one, where that cannot be removed', async () => {
  const file = join(folder, 'old.yaml');
  await writeFile(file, 'name: old\n');
  refused.rm = file;
  await expect(renameRecipe(file, 'new')).rejects.toThrow(IoError);
  expect(await readdir(folder)).toEqual(['old.yaml']);
  expect(await readFile(file, 'utf8')).toBe('name: old\n');
});

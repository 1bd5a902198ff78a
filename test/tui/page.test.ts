/** docs/tui.md against the program that it is about. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { PAGE, withKeys } from '../../tools/generate-key-tables.ts';

const page = await readFile(PAGE, 'utf8');

it('has the keys of the key table: else run node tools/generate-key-tables.ts', () => {
  expect(page).toBe(withKeys(page));
});

it('shows pictures that are there', () => {
  const pictures = [...page.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map(([, path = '']) => path);
  expect(pictures.length).toBeGreaterThan(0);
  expect(pictures.filter((path) => !existsSync(new URL(path, PAGE)))).toEqual([]);
});

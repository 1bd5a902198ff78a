/** Links of the pages to each other, to their headings and to files: what GitHub would not find, a reader does not either. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const pages = [
  ...(await readdir('.')).filter((name) => name.endsWith('.md')),
  ...(await readdir('docs')).filter((name) => name.endsWith('.md')).map((name) => join('docs', name)),
];

const withoutCode = (text: string) => text.replace(/^```[\s\S]*?^```/gm, '');

/** As GitHub makes them: small letters, no punctuation, dashes for blanks. */
async function headings(page: string): Promise<ReadonlySet<string>> {
  const titles = withoutCode(await readFile(page, 'utf8')).matchAll(/^#{1,6} (.*)$/gm);
  return new Set(
    titles.map(([, title = '']) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

async function isThere(page: string, link: string): Promise<boolean> {
  const [path = '', heading] = link.split('#');
  const target = path === '' ? page : join(dirname(page), path);
  if (!existsSync(target)) return false;
  return heading === undefined || (await headings(target)).has(heading);
}

describe('every relative link', () => {
  it.each(pages)('of %s leads somewhere', async (page) => {
    const found = withoutCode(await readFile(page, 'utf8')).matchAll(/\]\(([^)\s]+)[^)]*\)/g);
    const links = found.map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link));
    const dead: string[] = [];
    for (const link of links) if (!(await isThere(page, link))) dead.push(link);
    expect(dead).toEqual([]);
  });
});

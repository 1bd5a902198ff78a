/** Writes the keys of src/tui/keys.ts into docs/tui.md, between two comments. Run: node tools/generate-key-tables.ts */
import { readFile, writeFile } from 'node:fs/promises';
import { helpSections } from '../src/tui/keys.ts';

export const PAGE = new URL('../docs/tui.md', import.meta.url);

const BETWEEN = /(?<=<!-- keys: node tools\/generate-key-tables\.ts -->\n).*(?=<!-- end of keys -->)/s;

/** `page` with the keys as they are now. @throws Error where the page has no place for them. */
export function withKeys(page: string): string {
  if (!BETWEEN.test(page)) throw new Error('docs/tui.md has no comments between which the keys stand.');
  const tables = helpSections().map(({ title, rows }) => {
    const lines = rows.map(([keys, help]) => `| ${keys.split(' ').map(code).join(' ')} | ${help} |`);
    return `| ${title} | |\n|---|---|\n${lines.join('\n')}\n`;
  });
  return page.replace(BETWEEN, () => `\n${tables.join('\n')}\n`);
}

const code = (key: string): string => `\`${key}\``;

if (import.meta.main) await writeFile(PAGE, withKeys(await readFile(PAGE, 'utf8')));

/**
 * Text from elsewhere, for Markdown as CommonMark, GitHub and the Hugging Face Hub read it: nothing in it is markup. Characters that could be become
 * numeric references, which never stand for structure (CommonMark 0.31, section 2.5) and mean the same in HTML and in the cells of a table.
 */
import { printable } from './quote.ts';

/** More than a name or a reason needs. */
const MAX_LENGTH = 1000;

/** Everything of ASCII that Markdown, HTML, mentions, links or the Hub's formulas give a meaning; full stops and hyphens of names stay readable. */
const MARKUP = /[\\`*{}[\]()<>#+!|~&"'$@:=^]|(?<![A-Za-z0-9])[_-]|_(?![A-Za-z0-9])|(?<=www)\./gi;

const reference = (character: string): string => `&#${character.codePointAt(0)};`;

/** An index in brackets, which is no link where nothing follows that could be its place. */
const INDEX = /\[\d+\](?![[(:])/g;

/** On one line. */
export function markdownText(text: string): string {
  const line = printable(text.replaceAll(/\s+/g, ' ').trim(), MAX_LENGTH);
  const escaped = line.split(INDEX).map((part) => part.replace(MARKUP, reference));
  return String.raw({ raw: escaped }, ...(line.match(INDEX) ?? []));
}

/** A block of code that nothing in `code` ends. */
export function fenced(code: string, language = ''): string {
  const longest = Math.max(0, ...[...code.matchAll(/`+/g)].map(([run]) => run.length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return `${fence}${language}\n${code.replace(/\n$/, '')}\n${fence}`;
}

/** A table of cells that are Markdown already. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${'---|'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}

/** A link to an http(s) address; of anything else the text alone. `text` is escaped here. */
export function markdownLink(text: string, address: string): string {
  const url = URL.parse(address);
  if (!url || !/^https?:$/.test(url.protocol)) return markdownText(text);
  return `[${markdownText(text)}](<${url.href.replace(/[<>\\&|`$*_[\]]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)}>)`;
}

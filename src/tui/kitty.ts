/**
 * Pictures by the graphics protocol of kitty, as text: a picture is sent once with a number, and shown wherever the placeholder U+10EEEE
 * stands in that number's colour, each with its row and column in diacritics. Source of truth: kitty's docs/graphics-protocol.rst
 * ("Unicode placeholders") and its rowcolumn-diacritics.txt.
 */
import { deflateSync } from 'node:zlib';
import type { Cells, Picture } from './pixels.ts';

const ESC = '\u001b';
/** APC and ST, the ends of a command. */
const [APC, ST] = [`${ESC}_G`, `${ESC}\\`];
const command = (keys: string, payload = '') => `${APC}${keys}${payload && `;${payload}`}${ST}`;

/** The longest piece of base64 in one command. */
const CHUNK = 4096;

/** A placeholder's colour has room for so many numbers: 24 bits, and none is 0. */
export const MAX_ID = 0xff_ff_ff;

/** Sends `picture` as image `id`, to be shown in `cells`; nothing appears until there are placeholders. The terminal answers nothing (`q=2`). */
export function transmit(id: number, { width, height, data }: Picture, { columns, rows }: Cells): string {
  const pixels = deflateSync(data, { level: 1 }).toString('base64');
  const keys = `a=T,U=1,i=${id},f=24,s=${width},v=${height},o=z,c=${columns},r=${rows},q=2`;
  const chunks = pixels.match(new RegExp(`.{1,${CHUNK}}`, 'g')) ?? [];
  return chunks
    .map((chunk, i) =>
      command(`${i === 0 ? `${keys},` : ''}m=${i === chunks.length - 1 ? 0 : 1}${i === 0 ? '' : ',q=2'}`, chunk),
    )
    .join('');
}

/** Removes images with their data. */
export function remove(ids: readonly number[]): string {
  return ids.map((id) => command(`a=d,d=I,i=${id},q=2`)).join('');
}

const PLACEHOLDER = '\u{10EEEE}';

/** Row or column 0, 1, 2, …: the combining marks above of Unicode 6.0 that do not fuse with another character, up to U+082D. */
const DIACRITICS = [
  '305 30d 30e 310 312 33d 33e 33f 346 34a 34b 34c 350 351 352 357 35b 363 364 365 366 367 368 369 36a 36b 36c 36d 36e 36f',
  '483 484 485 486 487 592 593 594 595 597 598 599 59c 59d 59e 59f 5a0 5a1 5a8 5a9 5ab 5ac 5af 5c4 610 611 612 613 614 615',
  '616 617 657 658 659 65a 65b 65d 65e 6d6 6d7 6d8 6d9 6da 6db 6dc 6df 6e0 6e1 6e2 6e4 6e7 6e8 6eb 6ec 730 732 733 735 736',
  '73a 73d 73f 740 741 743 745 747 749 74a 7eb 7ec 7ed 7ee 7ef 7f0 7f1 7f3 816 817 818 819 81b 81c 81d 81e 81f 820 821 822',
  '823 825 826 827 829 82a 82b 82c 82d',
].flatMap((line) => line.split(' ').map((code) => String.fromCodePoint(Number.parseInt(code, 16))));

/** The most columns, or rows, that can be told apart. */
export const MAX_SPAN = DIACRITICS.length;

/** One line of text per row of cells. Each cell says its row and column: a line may be drawn from its middle on. */
export function placeholders(id: number, { columns, rows }: Cells): string[] {
  const colour = `${ESC}[38;2;${id >> 16};${(id >> 8) & 255};${id & 255}m`;
  return DIACRITICS.slice(0, rows).map(
    (row) =>
      `${colour}${DIACRITICS.slice(0, columns)
        .map((column) => PLACEHOLDER + row + column)
        .join('')}${ESC}[39m`,
  );
}

/** Asks for a picture of one pixel without having it shown, and then for what every terminal answers (DA1): who says only that has no pictures. */
export const QUERY = `${command('i=31,s=1,v=1,a=q,t=d,f=24', 'AAAA')}${ESC}[c`;

const ANSWER = new RegExp(`${ESC}_Gi=31;([^${ESC}]*)${ESC}\\\\`);
const ATTRIBUTES = new RegExp(`${ESC}\\[\\?[\\d;]*c`);

/** What `input` has of the answers to QUERY, and what is left of it without them: keys. Undefined until the last one is there. */
export function readAnswer(input: string): { readonly able: boolean; readonly keys: string } | undefined {
  if (!ATTRIBUTES.test(input)) return undefined;
  const able = ANSWER.exec(input)?.[1] === 'OK';
  return { able, keys: input.replace(ANSWER, '').replace(ATTRIBUTES, '') };
}

/** For the terminal that tmux runs in (`allow-passthrough on`): each command in a DCS of its own, its escapes doubled. */
export function throughTmux(commands: string): string {
  return commands
    .split(ST)
    .slice(0, -1)
    .map((text) => `${ESC}Ptmux;${`${text}${ST}`.replaceAll(ESC, ESC + ESC)}${ST}`)
    .join('');
}

/**
 * How many cells a character takes in a terminal of today: two for East Asian wide ones (Unicode Standard Annex 11) and for emoji, none for
 * what combines. Like tmux and most terminals it joins no emoji into one. xterm's own table is Unicode 6's, where emoji are narrow.
 */
import type { IUnicodeVersionProvider } from '@xterm/headless';

const NONE = /[\p{Mn}\p{Me}\p{Cf}]/u;
const EMOJI = /\p{Emoji_Presentation}/u;
/** Blocks whose characters are all wide or unassigned, first and last. */
const WIDE = [
  [0x1100, 0x115f],
  [0x2e80, 0x303e],
  [0x3041, 0xa4cf],
  [0xa960, 0xa97c],
  [0xac00, 0xd7a3],
  [0xf900, 0xfaff],
  [0xfe30, 0xfe6f],
  [0xff01, 0xff60],
  [0xffe0, 0xffe6],
  [0x20000, 0x3fffd],
] as const;

function widthOf(codepoint: number): 0 | 1 | 2 {
  if (codepoint < 0x300) return 1;
  const character = String.fromCodePoint(codepoint);
  if (NONE.test(character)) return 0;
  return EMOJI.test(character) || WIDE.some(([first, last]) => codepoint >= first && codepoint <= last) ? 2 : 1;
}

/** xterm packs what it keeps of a character into a number: bit 0 whether it joins the one before, bits 1 and 2 the width of both. */
const JOINS = 1;

export const WIDTHS: IUnicodeVersionProvider = {
  version: '15',
  wcwidth: widthOf,
  charProperties(codepoint, preceding) {
    const width = widthOf(codepoint);
    const before = (preceding >> 1) & 3;
    return width === 0 && before > 0 ? (before << 1) | JOINS : width << 1;
  },
};

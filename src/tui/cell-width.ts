/** How many cells a text takes in a terminal (Unicode TR 11: wide and full-width characters take two). */
import { sanitise } from '../text/terminal.ts';
import { plainEmoji } from './emoji.ts';

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const NONE = /\p{Mark}/u;

/** Of one line, as `Words` writes it. */
export function cellWidth(text: string): number {
  return [...plainEmoji(sanitise(text))].reduce(
    (sum, character) => sum + (NONE.test(character) ? 0 : WIDE.test(character) ? 2 : 1),
    0,
  );
}

/**
 * Emoji of several characters, without what makes them one: terminals do not agree how wide they are, and a row that turns out wider than it
 * was laid out for breaks the whole screen. (Joiners are format characters, which `sanitise` has written out before.)
 */

/** U+FE0F asks for a picture, a modifier for a skin, U+20E3 for a key around a digit. */
const JOINED = /[\ufe0f\u20e3\p{Emoji_Modifier}]/gu;
const REGIONS = /\p{Regional_Indicator}/gu;
const REGION_A = 0x1f1e6;

/** `text` with such emoji as their first characters, and flags as the letters of their country. */
export function plainEmoji(text: string): string {
  return text
    .replace(JOINED, '')
    .replace(REGIONS, (region) => String.fromCharCode(65 + region.codePointAt(0)! - REGION_A));
}

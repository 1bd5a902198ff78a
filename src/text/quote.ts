/**
 * Text from a file, made fit for a message: on one line, without anything a terminal would obey, and not longer than a
 * reader wants.
 */

/** Control and format characters (escape sequences, bidirectional overrides) and the two Unicode line separators. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

const shorten = (text: string, limit: number): string => (text.length > limit ? `${text.slice(0, limit)}…` : text);

const escapeUnprintable = (text: string): string =>
  text.replace(UNPRINTABLE, (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`);

/** `text` with unprintable characters as escapes; what exceeds `limit` characters becomes "…". */
export function printable(text: string, limit = 80): string {
  return escapeUnprintable(shorten(text, limit));
}

/** The same in quotes, as a JSON string. */
export function quote(text: string, limit = 80): string {
  return escapeUnprintable(JSON.stringify(shorten(text, limit)));
}

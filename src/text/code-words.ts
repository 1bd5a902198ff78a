/** Text as a literal of a program that somebody will copy: on one line, and without characters that hide. */

/** Control and format characters, as far as a \u escape of four digits reaches, and Unicode's separators of lines. */
const HIDDEN = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** A string as JavaScript and Python both read it. */
export function codeString(text: string): string {
  return JSON.stringify(text).replace(HIDDEN, (character) =>
    character.length > 1 ? '' : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** One word for a POSIX shell, which has no escapes: what hides becomes a space. */
export function shellWord(text: string): string {
  return `'${text.replace(HIDDEN, ' ').replaceAll("'", "'\\''")}'`;
}

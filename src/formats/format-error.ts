/** How the readers say that a file is wrong: "path: sentence.", with every name from the file quoted and cut to length. */

import { FormatError } from '../errors.ts';
import { quote } from '../text/quote.ts';

/** The longest key of an SD1.5 family file has about 130 characters; names beyond this are cut in messages. */
const LONGEST_NAME = 160;

export function formatError(
  file: string,
  sentence: string,
  place: { readonly tensor?: string; readonly offset?: number } = {},
  cause?: unknown,
): FormatError {
  return new FormatError(`${file}: ${sentence}`, { file, ...place }, cause === undefined ? undefined : { cause });
}

/** A name that the file chose (tensor, key, entry, class), fit for a message. */
export function quoteName(name: string): string {
  return quote(name, LONGEST_NAME);
}

/**
 * The alphabet of byte-level byte-pair encoding, and CLIP's vocabulary, which follows from its merges: every symbol, every
 * symbol at the end of a word, the product of every merge, then the two special tokens.
 * Source: OpenAI CLIP clip/simple_tokenizer.py (`bytes_to_unicode` is GPT-2's).
 */

/** Marks the last symbol of a word. */
export const END_OF_WORD = '</w>';

/** GPT-2's byte alphabet: a printable byte is its own Latin-1 character, the others are numbered from U+0100. */
export const BYTE_ALPHABET: readonly string[] = (() => {
  const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let unprintable = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + unprintable++));
})();

/** vocab.json of the tokenizer with these merges ("left right", in order), its tokens in the order of their ids. */
export function vocabularyJson(merges: readonly string[]): string {
  const symbols = [...BYTE_ALPHABET].sort();
  const tokens = [
    ...symbols,
    ...symbols.map((symbol) => symbol + END_OF_WORD),
    ...merges.map((merge) => merge.replace(' ', '')),
    '<|startoftext|>',
    '<|endoftext|>',
  ];
  // an object would move the digits to the front
  return `{${tokens.map((token, id) => `${JSON.stringify(token)}:${id}`).join(',')}}`;
}

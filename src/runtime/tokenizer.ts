/**
 * CLIP's byte-pair tokenizer, made of the files of a diffusers `tokenizer/` folder.
 * Source of truth: transformers 5 `CLIPTokenizer` (models/clip/tokenization_clip.py) on the `tokenizers` library; the ids are equal to its ids,
 * but for letters new in Unicode 17, which Node's tables know and those of `tokenizers` 0.23 do not.
 */
import { BYTE_ALPHABET, END_OF_WORD } from '../architecture/clip-vocabulary.ts';
import { parseTokenizer } from '../architecture/tokenizer-tables.ts';

export interface Tokenizer {
  /** Positions of the text encoder: 77 in every CLIP that Stable Diffusion uses. */
  readonly maxLength: number;
  /** The largest id that it can give: a row of the text encoder's embeddings. */
  readonly highestId: number;
  /** Ids with bos and eos, neither padded nor truncated. */
  encode(text: string): number[];
  /** `input_ids` [maxLength]: truncated with eos kept, padded at the end with the pad token. */
  encodePadded(text: string): BigInt64Array;
  /** The same of ids without bos and eos, of which there is room for maxLength − 2. */
  padded(content: readonly number[]): BigInt64Array;
  /** The text of ids as the model reads them: in lower case, a space after each word. */
  decode(ids: readonly number[]): string;
}

const utf8 = new TextEncoder();

/** Oniguruma's `\s`, which is Unicode White_Space (with U+0085, without U+FEFF), not the `\s` of JavaScript. */
const WHITE_SPACE = /\p{White_Space}+/gu;
/** The words of CLIP; a run of letters, one digit, or a run of anything else. */
const CLIP_WORD =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** The byte-level step splits once more, by GPT-2's words; only a special token that was typed in capitals notices. */
const GPT2_WORD = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}+|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * The tokenizer that these files make, by name: vocab.json, merges.txt and, where they are there, tokenizer_config.json and
 * special_tokens_map.json; `pathOf` says what errors call a file. Needs nothing of Node, so that it runs in browsers too.
 * @throws FormatError naming the file that is damaged.
 */
export function createTokenizer(files: ReadonlyMap<string, Uint8Array>, pathOf: (name: string) => string): Tokenizer {
  const { vocab, ranks, special, ids, maxLength, highestId } = parseTokenizer(files, pathOf);
  const { bos_token: bos, eos_token: eos, unk_token: unk, pad_token: pad } = ids;
  const [normalized, raw] = [special.filter((token) => token.normalized), special.filter((token) => !token.normalized)];
  const splitRaw = splitter(raw.map((token) => token.content));
  const splitNormalized = splitter(normalized.map(({ content }) => normalize(content)));
  const normalizedIds = new Map(normalized.map(({ content }) => [normalize(content), vocab.get(content)]));

  const encodeWords = (text: string): number[] =>
    (text.match(CLIP_WORD) ?? [])
      .flatMap((word) => word.match(GPT2_WORD) ?? [])
      .flatMap((word) => mergeWord(word, ranks).map((symbol) => vocab.get(symbol) ?? unk));
  const encodeContent = (text: string): number[] =>
    splitRaw(text).flatMap((raw) =>
      raw.isToken
        ? [vocab.get(raw.text) as number]
        : splitNormalized(normalize(raw.text)).flatMap(({ isToken, text }) =>
            isToken ? [normalizedIds.get(text) as number] : encodeWords(text),
          ),
    );
  const padded = (content: readonly number[]) => {
    const ids = [bos, ...content.slice(0, maxLength - 2), eos];
    return BigInt64Array.from({ length: maxLength }, (_, i) => BigInt(ids[i] ?? pad));
  };
  return {
    maxLength,
    highestId,
    encode: (text) => [bos, ...encodeContent(text), eos],
    encodePadded: (text) => padded(encodeContent(text)),
    padded,
    decode: (ids) => decode(ids, vocab),
  };
}

/** NFC, runs of white space to one space, lower case code point by code point (so a final Σ becomes σ, as in Rust). */
function normalize(text: string): string {
  let lower = '';
  for (const character of text.normalize('NFC').replace(WHITE_SPACE, ' ')) lower += character.toLowerCase();
  return lower;
}

/** Cuts a text at every occurrence of one of `tokens`: the leftmost first, the longest where several begin. */
function splitter(tokens: readonly string[]): (text: string) => { text: string; isToken: boolean }[] {
  if (tokens.length === 0) return (text) => [{ text, isToken: false }];
  const longestFirst = [...tokens].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(`(${longestFirst.map((token) => RegExp.escape(token)).join('|')})`, 'u');
  return (text) => text.split(pattern).map((part, i) => ({ text: part, isToken: i % 2 === 1 }));
}

const bytesOf = new Map([...BYTE_ALPHABET].map((character, byte) => [character, byte]));

/** Bytes that are no UTF-8, of a character that the ids cut in two, become U+FFFD. */
function decode(ids: readonly number[], vocab: ReadonlyMap<string, number>): string {
  if (ids.length === 0) return '';
  const wanted = new Set(ids);
  const symbols = new Map([...vocab].flatMap(([symbol, id]) => (wanted.has(id) ? [[id, symbol] as const] : [])));
  const text = ids
    .map((id) => symbols.get(id) ?? '')
    .join('')
    .replaceAll(END_OF_WORD, ' ')
    .trim();
  const bytes = [...text].flatMap((character) => bytesOf.get(character) ?? [...utf8.encode(character)]);
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

/**
 * Byte-pair encoding of one word: the lowest rank first, the leftmost of equals, until no known pair is left.
 * The ranks of the pairs are kept beside the symbols, so that a long word costs one scan of numbers per merge.
 */
function mergeWord(word: string, ranks: ReadonlyMap<string, number>): string[] {
  const symbols = Array.from(utf8.encode(word), (byte) => BYTE_ALPHABET[byte] as string);
  symbols.push(`${symbols.pop()}${END_OF_WORD}`);
  const rankAt = (i: number) => ranks.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Number.POSITIVE_INFINITY;
  const pairRanks = symbols.slice(1).map((_, i) => rankAt(i));
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    pairRanks.forEach((rank, i) => {
      if (rank < bestRank) [best, bestRank] = [i, rank];
    });
    if (best < 0) return symbols;
    symbols.splice(best, 2, `${symbols[best]}${symbols[best + 1]}`);
    pairRanks.splice(best, 1);
    if (best > 0) pairRanks[best - 1] = rankAt(best - 1);
    if (best < pairRanks.length) pairRanks[best] = rankAt(best);
  }
}

/**
 * CLIP's byte-pair tokenizer, read from the files of a diffusers `tokenizer/` folder.
 * Source of truth: transformers 5 `CLIPTokenizer` (models/clip/tokenization_clip.py) on the `tokenizers` library; the ids are equal to its ids,
 * but for letters new in Unicode 17, which Node's tables know and those of `tokenizers` 0.23 do not.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, InputMissingError, IoError } from '../errors.ts';

export interface Tokenizer {
  /** Positions of the text encoder: 77 in every CLIP that Stable Diffusion uses. */
  readonly maxLength: number;
  /** Ids with bos and eos, neither padded nor truncated. */
  encode(text: string): number[];
  /** `input_ids` [maxLength]: truncated with eos kept, padded at the end with the pad token. */
  encodePadded(text: string): BigInt64Array;
}

/** A token that is cut out of the text before byte-pair encoding; `normalized` ones are looked for after lower-casing. */
interface SpecialToken {
  readonly content: string;
  readonly normalized: boolean;
}

interface SpecialTokens {
  readonly roles: Readonly<Record<Role, string>>;
  /** By content; a later declaration of the same content has overwritten the earlier one, as in transformers. */
  readonly declared: ReadonlyMap<string, SpecialToken>;
}

type JsonObject = Readonly<Record<string, unknown>>;
type Role = keyof typeof ROLE_DEFAULTS;

/** In the order in which transformers adds them to the vocabulary; the values are the defaults of `CLIPTokenizer`. */
const ROLE_DEFAULTS = {
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
} as const;
const ROLES = Object.keys(ROLE_DEFAULTS) as readonly Role[];

/** CLIP's `max_position_embeddings`; used where the config states no length (transformers then writes 1e30). */
const CLIP_MAX_LENGTH = 77;
/** Longest `model_max_length` believed; text encoders of diffusion models have 77 to 512 positions. */
const MAX_MODEL_LENGTH = 4096;
/** CLIP's vocab.json has 1.06 MB and merges.txt 0.5 MB; a file beyond this is not one of them. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;
/** Ids index an embedding table; CLIP has 49,408 rows, the largest multilingual vocabularies some 256,000. */
const MAX_TOKEN_ID = 2 ** 24;

const END_OF_WORD = '</w>';
/** Oniguruma's `\s`, which is Unicode White_Space (with U+0085, without U+FEFF), not the `\s` of JavaScript. */
const WHITE_SPACE = /\p{White_Space}+/gu;
/** The words of CLIP; a run of letters, one digit, or a run of anything else. */
const CLIP_WORD =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{White_Space}\p{L}\p{N}]+/gu;
/** The byte-level step splits once more, by GPT-2's words; only a special token that was typed in capitals notices. */
const GPT2_WORD = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}+|[^\p{White_Space}\p{L}\p{N}]+/gu;

/**
 * Reads vocab.json, merges.txt and, where they exist, tokenizer_config.json and special_tokens_map.json.
 * Throws InputMissingError without the first two, FormatError (naming the file) when one is damaged.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const [vocabFile, mergesFile] = [join(folder, 'vocab.json'), join(folder, 'merges.txt')];
  const configFile = join(folder, 'tokenizer_config.json');
  const [vocabText, mergesText, config, map] = await Promise.all([
    readRequired(vocabFile),
    readRequired(mergesFile),
    readOptionalObject(configFile),
    readOptionalObject(join(folder, 'special_tokens_map.json')),
  ]);
  const vocab = parseVocabulary(vocabText, vocabFile);
  const ranks = parseMerges(mergesText, mergesFile, vocab);
  const special = specialTokens(config, map, configFile);
  const idOf = (token: string): number => {
    const id = vocab.get(token);
    if (id !== undefined) return id;
    throw new FormatError(
      `${vocabFile} has no entry for the special token "${token}", which ${configFile} or its defaults ask for. ` +
        'The files do not belong together; copy the whole tokenizer folder of the base model.',
      { file: vocabFile },
    );
  };
  const maxLength = modelMaxLength(config, configFile);
  const [bos, eos, unk, pad] = ROLES.map((role) => idOf(special.roles[role])) as [number, number, number, number];

  const declared = [...special.declared.values()];
  declared.forEach(({ content }) => {
    idOf(content);
  });
  const splitRaw = splitter(declared.filter((token) => !token.normalized).map((token) => token.content));
  const splitNormalized = splitter(
    declared.filter((token) => token.normalized).map(({ content }) => normalize(content)),
  );
  const normalizedIds = new Map(
    declared.filter((t) => t.normalized).map((t) => [normalize(t.content), idOf(t.content)]),
  );

  const encodeWords = (text: string): number[] =>
    (text.match(CLIP_WORD) ?? [])
      .flatMap((word) => word.match(GPT2_WORD) ?? [])
      .flatMap((word) => mergeWord(word, ranks).map((symbol) => vocab.get(symbol) ?? unk));
  const encodeContent = (text: string): number[] =>
    splitRaw(text).flatMap((raw) =>
      raw.isToken
        ? [idOf(raw.text)]
        : splitNormalized(normalize(raw.text)).flatMap(({ isToken, text }) =>
            isToken ? [normalizedIds.get(text) as number] : encodeWords(text),
          ),
    );
  return {
    maxLength,
    encode: (text) => [bos, ...encodeContent(text), eos],
    encodePadded(text) {
      const ids = [bos, ...encodeContent(text).slice(0, maxLength - 2), eos];
      return BigInt64Array.from({ length: maxLength }, (_, i) => BigInt(ids[i] ?? pad));
    },
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

/** GPT-2's byte alphabet: a printable byte is its own Latin-1 character, the others are numbered from U+0100. */
const BYTE_ALPHABET: readonly string[] = (() => {
  const isPrintable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte !== 173);
  let unprintable = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : 256 + unprintable++));
})();

/**
 * Byte-pair encoding of one word: the lowest rank first, the leftmost of equals, until no known pair is left.
 * The ranks of the pairs are kept beside the symbols, so that a long word costs one scan of numbers per merge.
 */
function mergeWord(word: string, ranks: ReadonlyMap<string, number>): string[] {
  const symbols = Array.from(Buffer.from(word, 'utf8'), (byte) => BYTE_ALPHABET[byte] as string);
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

function parseVocabulary(text: string, file: string): ReadonlyMap<string, number> {
  const vocab = new Map<string, number>();
  for (const [token, id] of Object.entries(parseObject(text, file))) {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > MAX_TOKEN_ID) {
      throw new FormatError(
        `${file} gives the token "${token}" the id ${JSON.stringify(id)}; an id is an integer from 0 to ${MAX_TOKEN_ID}. ` +
          'The file is damaged or not a CLIP vocabulary.',
        { file },
      );
    }
    vocab.set(token, id);
  }
  return vocab;
}

/** "left right" → rank; a pair that is listed twice keeps its last rank, as in `tokenizers`. */
function parseMerges(text: string, file: string, vocab: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  const ranks = new Map<string, number>();
  let rank = 0;
  for (const [index, line] of lines.entries()) {
    if (line.startsWith('#version')) continue;
    const parts = line.split(' ');
    const problem =
      parts.length !== 2
        ? `has ${parts.length} ${parts.length === 1 ? 'part' : 'parts'} where a merge is two symbols with one space between`
        : [...parts, parts.join('')]
            .filter((symbol) => !vocab.has(symbol))
            .map((symbol) => `uses "${symbol}", which vocab.json does not have`)[0];
    if (problem !== undefined) {
      throw new FormatError(
        `${file}:${index + 1}: the line ${JSON.stringify(line.slice(0, 80))} ${problem}. ` +
          'The file is damaged or belongs to another vocabulary.',
        { file, line: index + 1 },
      );
    }
    ranks.set(line, rank++);
  }
  return ranks;
}

/**
 * What transformers makes of the two configs. `added_tokens_decoder`, where there is one, describes every token and
 * special_tokens_map.json is not read; otherwise special_tokens_map.json beats tokenizer_config.json.
 */
function specialTokens(config: JsonObject, map: JsonObject, file: string): SpecialTokens {
  const { added_tokens_decoder: added } = config;
  if (added !== undefined && !isObject(added)) throw malformedToken('added_tokens_decoder', added, file);
  const declared = new Map<string, SpecialToken>();
  const byId = Object.entries(added ?? {}).sort(([a], [b]) => Number(a) - Number(b));
  for (const [id, value] of byId) {
    const token = toSpecialToken(`added_tokens_decoder.${id}`, value, file);
    declared.set(token.content, token);
  }
  const named: JsonObject = added === undefined ? { ...config, ...map } : config;
  const roles: Record<Role, string> = { ...ROLE_DEFAULTS };
  for (const role of ROLES) {
    const token = toSpecialToken(role, named[role] ?? ROLE_DEFAULTS[role], file);
    roles[role] = token.content;
    if (added === undefined || !declared.has(token.content)) declared.set(token.content, token);
  }
  return { roles, declared };
}

/** A special token is a string, or an object as `AddedToken` serializes itself. */
function toSpecialToken(key: string, value: unknown, file: string): SpecialToken {
  if (typeof value === 'string' && value !== '') return { content: value, normalized: false };
  if (!isObject(value)) throw malformedToken(key, value, file);
  const { content, normalized, lstrip, rstrip, single_word } = value;
  if (typeof content !== 'string' || content === '') throw malformedToken(key, value, file);
  if (lstrip === true || rstrip === true || single_word === true) {
    throw new FormatError(
      `${file}: ${key} ("${content}") sets lstrip, rstrip or single_word, which no CLIP tokenizer does and lcm-merge does ` +
        'not support. Set them to false, or take the tokenizer folder of the base model.',
      { file },
    );
  }
  return { content, normalized: normalized === true };
}

function malformedToken(key: string, value: unknown, file: string): FormatError {
  const found = JSON.stringify(value).slice(0, 80);
  return new FormatError(
    `${file}: ${key} is ${found}; expected a token as a non-empty string or as an object with "content". ` +
      'Correct it here or in special_tokens_map.json beside it.',
    { file },
  );
}

function modelMaxLength(config: JsonObject, file: string): number {
  const { model_max_length: value = CLIP_MAX_LENGTH } = config;
  if (typeof value === 'number' && value >= 1e29) return CLIP_MAX_LENGTH;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 2 && value <= MAX_MODEL_LENGTH) return value;
  throw new FormatError(
    `${file}: model_max_length is ${JSON.stringify(value)}; expected an integer from 2 to ${MAX_MODEL_LENGTH} ` +
      '(77 for the text encoder of Stable Diffusion).',
    { file },
  );
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

async function readOptionalObject(file: string): Promise<JsonObject> {
  const text = await readText(file);
  return text === undefined ? {} : parseObject(text, file);
}

async function readRequired(file: string): Promise<string> {
  const text = await readText(file);
  if (text !== undefined) return text;
  throw new InputMissingError(
    `${file} is not there. A tokenizer folder holds vocab.json and merges.txt beside tokenizer_config.json; ` +
      'a lone tokenizer.json cannot be used.',
    { file },
  );
}

/** The file as text; undefined where there is none. */
async function readText(file: string): Promise<string | undefined> {
  try {
    const { size } = await stat(file);
    if (size > MAX_FILE_BYTES) {
      throw new FormatError(
        `${file} has ${size} bytes; a tokenizer file has at most ${MAX_FILE_BYTES}. It is not what its name says.`,
        { file },
      );
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof FormatError) throw error;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
      throw new FormatError(`${file} is not UTF-8 text; the file is damaged.`, { file }, { cause: error });
    }
    throw new IoError(`${file} could not be read: ${(error as Error).message}.`, { file }, { cause: error });
  }
}

function parseObject(text: string, file: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new FormatError(`${file} is not valid JSON: ${(error as Error).message}.`, { file }, { cause: error });
  }
  if (isObject(value)) return value;
  throw new FormatError(`${file} is not a JSON object; the file is damaged.`, { file });
}

/**
 * What the files of a CLIP tokenizer say, checked: vocabulary, ranks of the merges, special tokens, length. Planning reads them to
 * find what is wrong before baking, the runtime to encode prompts.
 * Source of truth: transformers 5 `CLIPTokenizer` (models/clip/tokenization_clip.py).
 */
import { FormatError } from '../errors.ts';

/** A token that is cut out of the text before byte-pair encoding; `normalized` ones are looked for after lower-casing. */
export interface SpecialToken {
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
export const ROLES = Object.keys(ROLE_DEFAULTS) as readonly Role[];

/** CLIP's `max_position_embeddings`; used where the config states no length (transformers then writes 1e30). */
const CLIP_MAX_LENGTH = 77;
/** Longest `model_max_length` believed; text encoders of diffusion models have 77 to 512 positions. */
const MAX_MODEL_LENGTH = 4096;
/** Ids index an embedding table; CLIP has 49,408 rows, the largest multilingual vocabularies some 256,000. */
const MAX_TOKEN_ID = 2 ** 24;

export interface TokenizerTables {
  readonly vocab: ReadonlyMap<string, number>;
  /** "left right" → rank; the lowest is merged first. */
  readonly ranks: ReadonlyMap<string, number>;
  /** The tokens that are cut out of a text before anything else; later declarations of a content have replaced earlier ones. */
  readonly special: readonly SpecialToken[];
  readonly ids: Readonly<Record<Role, number>>;
  /** Positions of the text encoder: 77 in every CLIP that Stable Diffusion uses. */
  readonly maxLength: number;
  readonly highestId: number;
}

/**
 * Parses vocab.json, merges.txt and, where they are there, tokenizer_config.json and special_tokens_map.json; `pathOf` says what
 * errors call a file.
 * @throws FormatError naming the file (and the line) that is damaged or does not belong to the others.
 */
export function parseTokenizer(
  files: ReadonlyMap<string, Uint8Array>,
  pathOf: (name: string) => string,
): TokenizerTables {
  const [vocabFile, mergesFile, configFile] = ['vocab.json', 'merges.txt', 'tokenizer_config.json'].map(pathOf) as [
    string,
    string,
    string,
  ];
  const text = (name: string) => decode(files.get(name) ?? new Uint8Array(), pathOf(name));
  const optional = (name: string) => (files.has(name) ? parseObject(text(name), pathOf(name)) : {});
  const vocab = parseVocabulary(text('vocab.json'), vocabFile);
  const ranks = parseMerges(text('merges.txt'), mergesFile, vocab);
  const config = optional('tokenizer_config.json');
  const { roles, declared } = specialTokens(config, optional('special_tokens_map.json'), configFile);
  const idOf = (token: string): number => {
    const id = vocab.get(token);
    if (id !== undefined) return id;
    throw new FormatError(
      `${vocabFile} has no entry for the special token "${token}", which ${configFile} or its defaults ask for. ` +
        'The files do not belong together; copy the whole tokenizer folder of the base model.',
      { file: vocabFile },
    );
  };
  const ids = Object.fromEntries(ROLES.map((role) => [role, idOf(roles[role])])) as Record<Role, number>;
  for (const content of declared.keys()) idOf(content);
  if (ranks.size === 0) {
    throw new FormatError(`${mergesFile} lists no merges: every word would fall into letters. The file is damaged.`, {
      file: mergesFile,
    });
  }
  const highestId = [...vocab.values()].reduce((a, b) => Math.max(a, b), 0);
  return {
    vocab,
    ranks,
    special: [...declared.values()],
    ids,
    maxLength: modelMaxLength(config, configFile),
    highestId,
  };
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new FormatError(`${file} is not UTF-8 text; the file is damaged.`, { file }, { cause: error });
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

/**
 * The tokenizer of a base model as the files that a package carries: vocab.json, merges.txt and two small configs.
 * transformers 5 saves one tokenizer.json instead, which holds the same vocabulary and merges; the stock tokenizer is kept as
 * merges.txt.gz, from which its vocabulary follows.
 */
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { z } from 'zod';
import { FormatError, InputMissingError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';
import type { ClipTextConfig } from './clip-config.ts';
import { vocabularyJson } from './clip-vocabulary.ts';
import { describeIssues, parseJsonText } from './config-file.ts';
import { parseTokenizer } from './tokenizer-tables.ts';

const FILES = ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'] as const;

/** CLIP's vocab.json has 1.06 MB, merges.txt 0.5 MB and tokenizer.json 2.2 MB; a file beyond this is not one of them. */
const MAX_FILE_BYTES = 32 << 20;

/** The part of tokenizer.json that CLIP's byte-pair encoding consists of; a merge is "a b" or ["a", "b"]. */
const bpe = z.looseObject({
  model: z.looseObject({
    vocab: z.record(z.string(), z.number().int()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

/** Those of the four files that are there, by name. */
export async function readTokenizerFolder(folder: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const name of FILES) {
    const data = await readIfThere(join(folder, name));
    if (data) files.set(name, data);
  }
  return files;
}

/**
 * File name → content of the tokenizer in `folder`, which must belong to the text encoder `clip`.
 * @throws InputMissingError when there is none, FormatError when a file is damaged or belongs to another text encoder.
 */
export async function readTokenizerFiles(
  folder: string,
  clip: Pick<ClipTextConfig, 'vocab_size' | 'max_position_embeddings'>,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = await readTokenizerFolder(folder);
  const isSplit = files.has('vocab.json') && files.has('merges.txt');
  if (!isSplit) {
    const made = (await unpackMerges(folder)) ?? (await splitTokenizerJson(folder));
    for (const [name, data] of made) files.set(name, data);
  }
  const pathOf = (name: string) =>
    join(folder, isSplit || !/^(vocab|merges)/.test(name) ? name : `tokenizer.json (as ${name})`);
  const { highestId, maxLength } = parseTokenizer(files, pathOf);
  const mismatch = (file: string, difference: string) =>
    new FormatError(`${file} ${difference}: they do not belong together.`, { file });
  if (highestId >= clip.vocab_size) {
    throw mismatch(
      pathOf('vocab.json'),
      `has ids up to ${highestId}, the text encoder has embeddings for ${clip.vocab_size}`,
    );
  }
  if (maxLength !== clip.max_position_embeddings) {
    throw mismatch(
      pathOf('tokenizer_config.json'),
      `has model_max_length ${maxLength}, the text encoder has ${clip.max_position_embeddings} positions`,
    );
  }
  return files;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  return readSmallFile(path, MAX_FILE_BYTES).catch((error: unknown) => {
    if (error instanceof InputMissingError) return undefined;
    throw error;
  });
}

/** Compressed merges are what the tool ships; a folder of someone else's may have them too. */
async function unpackMerges(folder: string): Promise<[string, Uint8Array][] | undefined> {
  const path = join(folder, 'merges.txt.gz');
  const packed = await readIfThere(path);
  if (packed === undefined) return undefined;
  const merges = gunzip(packed, path);
  const lines = merges.toString('utf8').split('\n');
  const isMerge = (line: string) => line !== '' && !line.startsWith('#version');
  return [
    ['vocab.json', Buffer.from(vocabularyJson(lines.filter(isMerge)))],
    ['merges.txt', new Uint8Array(merges)],
  ];
}

function gunzip(packed: Uint8Array, file: string): Buffer {
  try {
    return gunzipSync(packed, { maxOutputLength: MAX_FILE_BYTES });
  } catch (error) {
    throw new FormatError(`${file} cannot be decompressed: ${(error as Error).message}.`, { file }, { cause: error });
  }
}

async function splitTokenizerJson(folder: string): Promise<[string, Uint8Array][]> {
  const path = join(folder, 'tokenizer.json');
  const json = await readIfThere(path);
  if (json === undefined) {
    throw new InputMissingError(
      `${folder} holds no CLIP tokenizer: it has neither vocab.json and merges.txt nor tokenizer.json.`,
      { file: folder },
    );
  }
  const parsed = bpe.safeParse(parseJsonText(json, path), { reportInput: true });
  if (!parsed.success) {
    throw new FormatError(`${path} holds no byte-pair encoding: ${describeIssues(parsed.error.issues)}.`, {
      file: path,
    });
  }
  const { vocab, merges } = parsed.data.model;
  const lines = merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['vocab.json', Buffer.from(JSON.stringify(vocab))],
    ['merges.txt', Buffer.from(`#version: 0.2\n${lines.join('\n')}\n`)],
  ];
}

/**
 * The tokenizer of a base model as the files that a package carries: vocab.json, merges.txt and two small configs.
 * transformers 5 saves one tokenizer.json instead, which holds the same vocabulary and merges.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { FormatError, InputMissingError } from '../errors.ts';

const OPTIONAL = ['tokenizer_config.json', 'special_tokens_map.json'] as const;

/** The part of tokenizer.json that CLIP's byte-pair encoding consists of; a merge is "a b" or ["a", "b"]. */
const bpe = z.looseObject({
  model: z.looseObject({
    vocab: z.record(z.string(), z.number().int()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

const vocabulary = z
  .record(z.string(), z.number().int().nonnegative())
  .refine((v) => Object.keys(v).length > 0, 'it is empty');

/**
 * File name → content of the tokenizer in `folder`, whose ids must be rows of a table of `rows` embeddings.
 * @throws InputMissingError when there is none, FormatError when a file is damaged or belongs to another text encoder.
 */
export async function readTokenizerFiles(folder: string, rows: number): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = await Promise.all(
    ['vocab.json', 'merges.txt', ...OPTIONAL].map(async (name): Promise<[string, Uint8Array] | undefined> => {
      const data = await readFile(join(folder, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      return data && [name, data];
    }),
  );
  const files = new Map(found.filter((entry) => entry !== undefined));
  if (!files.has('vocab.json') || !files.has('merges.txt')) {
    for (const [name, data] of await splitTokenizerJson(folder)) files.set(name, data);
  }
  const path = join(folder, 'vocab.json');
  const vocab = check(vocabulary, parse(utf8.decode(files.get('vocab.json')), path), path);
  const highest = Object.values(vocab).reduce((a, b) => Math.max(a, b), 0);
  if (highest >= rows) {
    throw new FormatError(
      `${path} has ids up to ${highest}, the text encoder has embeddings for ${rows}: they do not belong together.`,
      { file: path },
    );
  }
  return files;
}

const utf8 = new TextDecoder();

async function splitTokenizerJson(folder: string): Promise<[string, Uint8Array][]> {
  const path = join(folder, 'tokenizer.json');
  const json = await readFile(path, 'utf8').catch(() => undefined);
  if (json === undefined) {
    throw new InputMissingError(
      `${folder} holds no CLIP tokenizer: it has neither vocab.json and merges.txt nor tokenizer.json.`,
      { file: folder },
    );
  }
  const { model } = check(bpe, parse(json, path), path);
  const lines = model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['vocab.json', Buffer.from(JSON.stringify(model.vocab))],
    ['merges.txt', Buffer.from(`#version: 0.2\n${lines.join('\n')}\n`)],
  ];
}

function check<Schema extends z.ZodType>(schema: Schema, json: unknown, file: string): z.output<Schema> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new FormatError(`${file} is no CLIP vocabulary: ${issue?.path.join('.') || 'the whole'}: ${issue?.message}.`, {
    file,
  });
}

function parse(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new FormatError(
      `${file} is not valid JSON: ${error instanceof Error ? error.message : error}.`,
      { file },
      { cause: error },
    );
  }
}

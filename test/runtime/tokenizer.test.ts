import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { loadTokenizer } from '../../src/runtime/tokenizer-folder.ts';

/** Made by `python test/oracle/tokenizer.py`. A case is [text, ids] or, where 77 is exceeded, [text, ids, truncated ids]. */
interface Variant {
  /** Files that differ from models/tiny/base/tokenizer; null for that folder itself. */
  readonly files: Readonly<Record<string, string>> | null;
  readonly maxLength: number;
  readonly pad: number;
  readonly cases: readonly (readonly [string, readonly number[], (readonly number[])?])[];
}

const TINY = 'models/tiny/base/tokenizer';
const golden = JSON.parse(await readFile('test/golden/tokenizer.json', 'utf8')) as {
  variants: { readonly tiny: Variant; readonly [name: string]: Variant };
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** A folder with tiny's vocab.json and merges.txt, then `files` over them; null leaves a file out. */
async function folderWith(files: Readonly<Record<string, string | Uint8Array | null>>): Promise<string> {
  const made = await mkdtemp(join(folder, 'variant-'));
  for (const name of ['vocab.json', 'merges.txt']) await copyFile(join(TINY, name), join(made, name));
  for (const [name, content] of Object.entries(files)) {
    if (content === null) await rm(join(made, name));
    else await writeFile(join(made, name), content);
  }
  return made;
}

describe('loadTokenizer', () => {
  it.each(Object.entries(golden.variants))('gives the ids of transformers: %s', async (_, variant) => {
    const tokenizer = await loadTokenizer(variant.files === null ? TINY : await folderWith(variant.files));
    expect(tokenizer.maxLength).toBe(variant.maxLength);
    const wrong = variant.cases.filter(([text, ids]) => tokenizer.encode(text).join() !== ids.join());
    expect(wrong.map(([text, ids]) => ({ text, ids, got: tokenizer.encode(text) }))).toEqual([]);
    for (const [text, ids, truncated] of variant.cases) {
      const padding = Array<number>(Math.max(0, variant.maxLength - ids.length)).fill(variant.pad);
      const padded = BigInt64Array.from(truncated ?? [...ids, ...padding], BigInt);
      expect(tokenizer.encodePadded(text), JSON.stringify(text)).toEqual(padded);
    }
  });

  it('covers at least 200 strings, truncation and both kinds of padding', () => {
    const tiny = golden.variants.tiny;
    expect(tiny.cases.length).toBeGreaterThanOrEqual(200);
    expect(tiny.cases.filter((entry) => entry.length === 3).length).toBeGreaterThanOrEqual(10);
    expect(new Set(Object.values(golden.variants).map((variant) => variant.pad))).toContain(0);
  });

  it('needs neither config where the defaults of CLIP hold', async () => {
    const [bare, tiny] = await Promise.all([folderWith({}).then(loadTokenizer), loadTokenizer(TINY)]);
    expect(bare.encodePadded('a red <|endoftext|> circle')).toEqual(tiny.encodePadded('a red <|endoftext|> circle'));
  });

  it('encodes one very long word in time', async () => {
    const tokenizer = await loadTokenizer(TINY);
    const started = performance.now();
    expect(tokenizer.encode('st'.repeat(5000))).toHaveLength(5002);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('a damaged tokenizer folder', () => {
  const damages: readonly (readonly [string, Record<string, string | Uint8Array | null>, RegExp])[] = [
    ['vocabulary cut short', { 'vocab.json': '{"a": 1, "b"' }, /vocab\.json is not valid JSON/],
    ['vocabulary of another kind', { 'vocab.json': '[1, 2]' }, /vocab\.json is not a JSON object/],
    ['vocabulary that is not text', { 'vocab.json': new Uint8Array([0x7b, 0xff, 0x7d]) }, /vocab\.json is not UTF-8/],
    ['fractional id', { 'vocab.json': '{"a": 1.5}' }, /vocab\.json gives the token "a" the id 1\.5/],
    ['negative id', { 'vocab.json': '{"a": -1}' }, /"a" the id -1/],
    [
      'no end token',
      { 'vocab.json': '{"a": 1, "<|startoftext|>": 2}', 'merges.txt': '' },
      /no entry for .*<\|endoftext\|>/,
    ],
    ['merge of three', { 'merges.txt': '#version: 0.2\nl e</w>\nu r x\n' }, /merges\.txt:3: .*"u r x" has 3 parts/],
    ['blank line', { 'merges.txt': '#version: 0.2\n\nu r\n' }, /merges\.txt:2: .*has 1 part /],
    ['unknown symbol', { 'merges.txt': 'qq u\n' }, /merges\.txt:1: .*uses "qq"/],
    ['unknown product', { 'merges.txt': 'q q\n' }, /merges\.txt:1: .*uses "qq"/],
    ['pad outside the vocabulary', { 'tokenizer_config.json': '{"pad_token": "<pad>"}' }, /no entry for .*"<pad>"/],
    ['token without content', { 'tokenizer_config.json': '{"eos_token": {"id": 3}}' }, /eos_token is \{"id":3\}/],
    ['token of another type', { 'special_tokens_map.json': '{"bos_token": 7}' }, /bos_token is 7/],
    ['length of one', { 'tokenizer_config.json': '{"model_max_length": 1}' }, /model_max_length is 1;/],
    ['length as text', { 'tokenizer_config.json': '{"model_max_length": "77"}' }, /model_max_length is "77"/],
    [
      'stripping token',
      { 'tokenizer_config.json': '{"eos_token": {"content": "a", "lstrip": true}}' },
      /eos_token \("a"\) sets/,
    ],
    ['config cut short', { 'tokenizer_config.json': '{' }, /tokenizer_config\.json is not valid JSON/],
    ['map cut short', { 'special_tokens_map.json': '' }, /special_tokens_map\.json is not valid JSON/],
    [
      'list of added tokens',
      { 'tokenizer_config.json': '{"added_tokens_decoder": []}' },
      /added_tokens_decoder is \[\]/,
    ],
  ];
  it.each(damages)('is refused: %s', async (_, files, message) => {
    const error = await loadTokenizer(await folderWith(files)).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as FormatError).message).toMatch(message);
    expect((error as FormatError).place.file).toMatch(/\.(json|txt)$/);
  });

  it.each(['vocab.json', 'merges.txt'])('is reported as missing: %s', async (name) => {
    const error = await loadTokenizer(await folderWith({ [name]: null })).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(InputMissingError);
    expect((error as InputMissingError).message).toContain(name);
  });
});

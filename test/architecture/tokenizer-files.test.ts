import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { STOCK_FOLDER } from '../../src/architecture/stock.ts';
import { readTokenizerFiles } from '../../src/architecture/tokenizer-files.ts';
import { FormatError, InputMissingError } from '../../src/errors.ts';
import { loadTokenizer } from '../../src/runtime/tokenizer-folder.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const TINY = 'models/tiny/base/tokenizer';
const CLIP = { vocab_size: 645, max_position_embeddings: 77 };

/** Tiny's tokenizer with some files in another state. */
async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await temporaryFolder();
  await cp(TINY, folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

describe('the tokenizer of a base', () => {
  it('is the four files as they are, or as one tokenizer.json says', async () => {
    const files = await readTokenizerFiles(TINY, CLIP);
    expect([...files.keys()]).toEqual(['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json']);
    const [vocab, merges] = [
      await readFile(join(TINY, 'vocab.json')),
      await readFile(join(TINY, 'merges.txt'), 'utf8'),
    ];
    expect(Buffer.compare(files.get('vocab.json') as Uint8Array, vocab)).toBe(0);

    const folder = await folderWith({
      'tokenizer.json': JSON.stringify({
        model: { vocab: JSON.parse(vocab.toString()), merges: merges.trimEnd().split('\n').slice(1) },
      }),
    });
    for (const name of ['vocab.json', 'merges.txt']) await rm(join(folder, name));
    const split = await readTokenizerFiles(folder, CLIP);
    expect(Buffer.from(split.get('merges.txt') as Uint8Array).toString()).toBe(merges);
  });

  it.each([
    ['a merge that the vocabulary does not know', { 'merges.txt': '#version: 0.2\nqq zz\n' }, /merges\.txt:2: .*"qq"/],
    ['no merges', { 'merges.txt': '#version: 0.2\n' }, /merges\.txt lists no merges/],
    ['a list for a vocabulary', { 'vocab.json': '[]' }, /vocab\.json is not a JSON object/],
    ['a broken config', { 'tokenizer_config.json': '{' }, /tokenizer_config\.json is not valid JSON/],
    [
      'the length of another text encoder',
      { 'tokenizer_config.json': '{"model_max_length":50}' },
      /tokenizer_config\.json has model_max_length 50, the text encoder has 77 positions: they do not belong together/,
    ],
  ])('is refused for %s', async (_, files, reason) => {
    const reading = readTokenizerFiles(await folderWith(files), CLIP);
    await expect(reading).rejects.toThrow(FormatError);
    await expect(reading).rejects.toThrow(reason);
  });

  it('is refused for more ids than the text encoder has rows, and accepted for as many', async () => {
    await expect(readTokenizerFiles(TINY, { ...CLIP, vocab_size: 644 })).rejects.toThrow(
      /vocab\.json has ids up to 644, the text encoder has embeddings for 644/,
    );
    await expect(readTokenizerFiles(TINY, CLIP)).resolves.toBeDefined();
  });

  it('is not waited for when a file is a pipe, and named when a file is a folder or missing', async () => {
    const piped = await folderWith({});
    await rm(join(piped, 'merges.txt'));
    execFileSync('mkfifo', [join(piped, 'merges.txt')]);
    await expect(readTokenizerFiles(piped, CLIP)).rejects.toThrow(/merges\.txt: not a regular file but a device, pipe/);
    await rm(join(piped, 'merges.txt'));
    await expect(readTokenizerFiles(piped, CLIP)).rejects.toThrow(InputMissingError);
    await expect(readTokenizerFiles(piped, CLIP)).rejects.toThrow(/holds no CLIP tokenizer/);
  });

  it('names what is wrong with a tokenizer.json', async () => {
    const folder = await folderWith({ 'tokenizer.json': '{"model":{"vocab":{"a":"b"}}}' });
    await rm(join(folder, 'vocab.json'));
    await expect(readTokenizerFiles(folder, CLIP)).rejects.toThrow(
      /tokenizer\.json holds no byte-pair encoding: model\.vocab\.a must be a number, but the text "b" was found; model\.merges is missing\.$/,
    );
  });
});

/** Made by `python test/oracle/tokenizer.py`. A case is [text, ids] or, where 77 is exceeded, [text, ids, truncated ids]. */
interface ClipGolden {
  readonly tokens_sha256: string;
  readonly pad: number;
  readonly cases: readonly (readonly [string, readonly number[], (readonly number[])?])[];
}

describe('the tokenizer of stock SD1.5', async () => {
  const golden = JSON.parse(await readFile('test/golden/clip-tokenizer.json', 'utf8')) as ClipGolden;
  const files = await readTokenizerFiles(join(STOCK_FOLDER, 'tokenizer'), {
    vocab_size: 49408,
    max_position_embeddings: 77,
  });
  const text = (name: string) => Buffer.from(files.get(name) as Uint8Array).toString();

  it('has CLIP’s vocabulary, in the order of its ids', () => {
    const tokens = [...text('vocab.json').matchAll(/("(?:[^"\\]|\\.)*"):(\d+)/g)];
    expect(tokens.map(([, , id]) => Number(id))).toEqual(Array.from({ length: 49_408 }, (_, id) => id));
    const joined = tokens.map(([, token]) => JSON.parse(token as string) as string).join('\n');
    expect(createHash('sha256').update(joined).digest('hex')).toBe(golden.tokens_sha256);
    expect(text('merges.txt').trimEnd().split('\n')).toHaveLength(1 + 48_894);
  });

  it('gives the ids of transformers, written into a package', async () => {
    const folder = await temporaryFolder();
    for (const [name, data] of files) await writeFile(join(folder, name), data);
    const tokenizer = await loadTokenizer(folder);
    expect(tokenizer.encode('a photo of a cat')).toEqual([49406, 320, 1125, 539, 320, 2368, 49407]);
    const wrong = golden.cases.filter(([text, ids]) => tokenizer.encode(text).join() !== ids.join());
    expect(wrong).toEqual([]);
    expect(golden.cases.length).toBeGreaterThan(290);
  });

  it('is refused when its table is damaged', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'merges.txt.gz'), 'version https://git-lfs');
    const error = await readTokenizerFiles(folder, CLIP).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(/merges\.txt\.gz cannot be decompressed/);
  });
});

/** The tokenizer of a folder: reads its files and says which of them is missing. */
import { join } from 'node:path';
import { readTokenizerFolder } from '../architecture/tokenizer-files.ts';
import { InputMissingError } from '../errors.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';

/**
 * Reads vocab.json, merges.txt and, where they exist, tokenizer_config.json and special_tokens_map.json.
 * Throws InputMissingError without the first two, FormatError (naming the file) when one is damaged.
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const files = await readTokenizerFolder(folder);
  const missing = ['vocab.json', 'merges.txt'].find((name) => !files.has(name));
  if (missing) {
    const file = join(folder, missing);
    throw new InputMissingError(
      `${file} is not there. A tokenizer folder holds vocab.json and merges.txt beside tokenizer_config.json; ` +
        'a lone tokenizer.json cannot be used.',
      { file },
    );
  }
  return createTokenizer(files, (name) => join(folder, name));
}

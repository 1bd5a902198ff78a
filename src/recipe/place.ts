/** Mistakes of a recipe that only show when the files it names are read: they are reported at the line that makes them, like all others. */
import { MergeError, type Place } from '../errors.ts';
import { type KeyPath, parseLocatedYaml } from './located-yaml.ts';
import type { Recipe } from './schema.ts';

/** `file:line:column: sentence`, at the value of `key` or the nearest thing around it that stands in the recipe. */
export function atKey(
  { file, text }: Pick<Recipe, 'file' | 'text'>,
  key: KeyPath,
  sentence: string,
): { readonly message: string; readonly place: Place } {
  const { line, column } = parseLocatedYaml(text).locate(key, 'value');
  return { message: `${file}:${line}:${column}: ${sentence}`, place: { file, line, column } };
}

export function recipeMistake(recipe: Pick<Recipe, 'file' | 'text'>, key: KeyPath, sentence: string): MergeError {
  const { message, place } = atKey(recipe, key, sentence);
  return new MergeError(message, place);
}

/** Mistakes of a recipe that only show when the files it names are read: they are reported at the line that makes them, like all others. */
import { MergeError, type Place, type RecipeProblem } from '../errors.ts';
import { type KeyPath, parseLocatedYaml } from './located-yaml.ts';
import type { Recipe } from './schema.ts';

/** `file:line:column: sentence`, at the value of `key` or the nearest thing around it that stands in the recipe. */
export function atKey(
  { file, text }: Pick<Recipe, 'file' | 'text'>,
  key: KeyPath,
  sentence: string,
): { readonly message: string; readonly place: Place; readonly problem: RecipeProblem } {
  const { line, column } = parseLocatedYaml(text).locate(key, 'value');
  return {
    message: `${file}:${line}:${column}: ${sentence}`,
    place: { file, line, column },
    problem: { path: key, line, column, sentence },
  };
}

export function recipeMistake(recipe: Pick<Recipe, 'file' | 'text'>, key: KeyPath, sentence: string): MergeError {
  const { message, place, problem } = atKey(recipe, key, sentence);
  return new MergeError(message, place, [problem]);
}

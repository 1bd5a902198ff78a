/** What a recipe expects of a source file, held against what was found in it. */
import type { KeyPath } from '../recipe/located-yaml.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';

/** `key` is where the recipe names the source. @throws MergeError at that line */
export function checkExpectation(
  recipe: Recipe,
  key: KeyPath,
  { path, expected, found }: { path: string; expected: number | undefined; found: number },
): void {
  if (expected !== undefined && expected !== found) {
    throw recipeMistake(
      recipe,
      [...key, 'expect', 'modules'],
      `the recipe expects ${expected} modules, ${found} were matched in ${path}. Nothing was merged.`,
    );
  }
}

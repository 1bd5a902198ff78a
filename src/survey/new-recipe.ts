/** From a folder of weight files to a recipe file in the working folder, as one stage. */
import { basename, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { tryCreateRecipe } from '../recipe/save.ts';
import { draftRecipe } from './draft.ts';
import { surveyFiles } from './survey.ts';

/** Names that are tried before giving up: nobody makes so many of one folder. */
const MAX_RECIPES = 1000;

/**
 * Writes `<folder>.yaml`, or `<folder>-2.yaml` and so on where that is taken. Returns the file.
 * @throws what surveyFiles and draftRecipe throw
 */
export async function* newRecipe(folder: string, { signal }: { signal?: AbortSignal } = {}): Stage<string> {
  const survey = yield* surveyFiles(folder, { ...(signal && { signal }) });
  const name = basename(resolve(folder)) || 'recipe';
  for (let n = 1; n <= MAX_RECIPES; n++) {
    const own = n === 1 ? name : `${name}-${n}`;
    const file = `${own}.yaml`;
    if (await tryCreateRecipe(file, draftRecipe(survey, { file, name: own }))) return file;
  }
  throw new UsageError(`There are ${MAX_RECIPES} recipes named ${name} already. Rename some of them.`);
}

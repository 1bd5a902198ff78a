/** `init`: looks through a folder and writes the recipe that its files make. */
import { basename, resolve } from 'node:path';
import { kindOf } from '../../recipe/input-files.ts';
import { createRecipe, existsAlready } from '../../recipe/save.ts';
import { draftRecipe } from '../../survey/draft.ts';
import { surveyFiles } from '../../survey/survey.ts';
import type { Command } from '../context.ts';

export const init: Command<'init'> = async ({ folder, out, 'dry-run': dry }, { signal, follow }) => {
  const name = basename(resolve(folder)) || 'recipe';
  const file = out ?? `${name}.yaml`;
  if (!dry && (await kindOf(file)) !== 'nothing') throw existsAlready(file); // before the work, and once more after it
  const survey = await follow(surveyFiles(folder, { signal }));
  const text = draftRecipe(survey, { file, name });
  if (!dry) await createRecipe(file, text);
  return { text: dry ? text : file, value: { ...(!dry && { recipe: file }), text, ...survey } };
};

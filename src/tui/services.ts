/** What the terminal UI asks of the rest of the program: the same stages as the command line's, and nothing else. */
import { dirname, isAbsolute, relative } from 'node:path';
import { type FoundPackage, findPackages } from '../compare/find-packages.ts';
import { comparisonCells } from '../compare/table.ts';
import { LcmMergeError, RecipeError, UnmatchedError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { failureOf } from '../exit-codes.ts';
import { defaultOut } from '../export/default-out.ts';
import type { Plan } from '../merge/plan.ts';
import type { MadePackage } from '../publish/make-package.ts';
import type { Published } from '../publish/place.ts';
import { type Publication, surveyPublication } from '../publish/preview.ts';
import { readRecipeText } from '../recipe/load.ts';
import { duplicateRecipe, listRecipes, RECIPE_FOLDERS, renameRecipe } from '../recipe/recipe-files.ts';
import { saveRecipe } from '../recipe/save.ts';
import { openStages } from '../remote/stages.ts';
import type { Frames } from '../runtime/frames.ts';
import type { Survey } from '../survey/survey.ts';
import { readClip } from '../verify/clip.ts';
import type { ComparisonRequest } from './comparison.ts';
import type { Failing } from './editor.ts';
import type { Saving } from './effects.ts';
import { editFile } from './external-editor.ts';
import type { PublicationWish } from './publication.ts';
import type { RecipeEntry } from './recipe-list.ts';

/** Disposal stops what runs, and waits until it has cleaned up. */
export interface Services extends AsyncDisposable {
  findRecipes(): Promise<readonly RecipeEntry[]>;
  findPackages(): Promise<readonly FoundPackage[]>;
  read(recipe: string): Promise<string>;
  save(saving: Saving): Promise<void>;
  /** The new file. */
  duplicate(recipe: string): Promise<string>;
  /** The new file, and what was done. */
  rename(recipe: string, name: string): Promise<{ readonly file: string; readonly sentence: string }>;
  /** Hands the file to the person's editor, and the terminal with it. */
  edit(recipe: string): Promise<void>;
  /** The recipe's file. */
  newRecipe(folder: string, signal: AbortSignal): Stage<string>;
  /** What the files beside the recipe are. */
  findSources(recipe: string, signal: AbortSignal): Stage<Survey>;
  /** `text` is what the recipe says; left out, what its file says. */
  plan(recipe: string, options: { readonly text?: string; readonly signal: AbortSignal }): Stage<Plan>;
  /** Where `make` puts the package. */
  out(plan: Plan): string;
  make(recipe: string, signal: AbortSignal): Stage<MadePackage>;
  readClip(folder: string): Promise<Frames>;
  /** Figures as cells, titles first, where there are more than come with the clips. */
  compare(request: ComparisonRequest, signal: AbortSignal): Stage<readonly (readonly string[])[] | undefined>;
  /** What shows without reading files. */
  survey(wish: PublicationWish): Promise<Publication>;
  preview(wish: PublicationWish, signal: AbortSignal): Stage<Publication>;
  publish(wish: PublicationWish, signal: AbortSignal): Stage<Published>;
  /** Whatever was thrown, as sentences for people, and with what tells where in the recipe they belong. */
  explain(error: unknown): { readonly problems: readonly string[]; readonly failure: Failing };
}

/** Where packages are put, and looked for. */
const SHELF = 'out';

/** `given` are paths of recipes to list first, wherever they are. */
export function createServices(given: readonly string[] = []): Services {
  const remote = openStages();
  const { stages } = remote;
  return {
    findRecipes: async () => {
      const found = await listRecipes(RECIPE_FOLDERS);
      const first = given.filter((file) => !found.some((entry) => entry.file === file)).map((file) => ({ file }));
      return [...first, ...found];
    },
    findPackages: () => findPackages(SHELF),
    read: readRecipeText,
    save: ({ recipe, text, replaces }) => saveRecipe(recipe, text, { replaces }),
    duplicate: duplicateRecipe,
    rename: renameRecipe,
    edit: editFile,
    newRecipe: (folder, signal) => stages.newRecipe(folder, { signal }),
    findSources: (recipe, signal) => stages.surveyFiles(around(recipe), { signal }),
    plan: (recipe, options) => stages.plan(recipe, options),
    out: ({ recipe }) => defaultOut(recipe),
    async *make(recipe, signal) {
      const plan = yield* stages.plan(recipe, { signal });
      return yield* stages.makePackage(plan, { out: defaultOut(plan.recipe), signal });
    },
    readClip,
    async *compare(request, signal) {
      const { prompt, seed } = request;
      if (request.kind === 'packages') {
        const prompts = prompt === undefined ? undefined : [prompt];
        const { comparison } = yield* stages.compare({ packages: request.packages, prompts, seed, signal });
        return comparisonCells(comparison);
      }
      const { recipe, text, x, y } = request;
      const plan = yield* stages.plan(recipe, { text, signal });
      yield* stages.sweep(plan, { x, y, prompt, seed, signal });
      return undefined;
    },
    survey: ({ folder, to }) => surveyPublication(folder, to),
    preview: ({ folder, to }, signal) => stages.previewPublication(folder, { to, signal }),
    publish: ({ folder, to }, signal) => stages.publish(folder, { to, signal }),
    explain: (error) => {
      const { message, place = {} } = failureOf(error);
      return {
        problems: error instanceof RecipeError ? error.problems : message.split('\n'),
        failure: {
          message,
          place,
          located: error instanceof LcmMergeError ? error.located : [],
          ...(error instanceof UnmatchedError && { unmatched: { reason: error.reason, globs: error.globs } }),
        },
      };
    },
    [Symbol.asyncDispose]: () => remote[Symbol.asyncDispose](),
  };
}

/** The working folder, where the recipe is in it, for its files may be beside that of the recipes; else the recipe's own. */
function around(recipe: string): string {
  const folder = dirname(recipe);
  const inside = relative('.', folder);
  return inside.startsWith('..') || isAbsolute(inside) ? folder : '.';
}

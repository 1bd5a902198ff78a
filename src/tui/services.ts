/**
 * What the terminal UI asks of the rest of the program: the same stages as the command line's, and nothing else. What the first frame does
 * not need is loaded when it is asked for; what runs models, never here (test/tui/imports.test.ts).
 */
import { dirname, isAbsolute, relative } from 'node:path';
import type { FoundPackage } from '../compare/find-packages.ts';
import { comparisonCells } from '../compare/table.ts';
import { InputMissingError, LcmMergeError, RecipeError, UnmatchedError } from '../errors.ts';
import { drain, type Stage } from '../events.ts';
import { failureOf } from '../exit-codes.ts';
import { defaultOut } from '../export/default-out.ts';
import type { Plan } from '../merge/plan.ts';
import type { MadePackage } from '../publish/make-package.ts';
import type { Published } from '../publish/place.ts';
import type { Publication } from '../publish/preview.ts';
import { openStages } from '../remote/stages.ts';
import type { Frames } from '../runtime/frames.ts';
import type { Survey } from '../survey/survey.ts';
import { nearby } from '../text/nearby.ts';
import type { Findings } from '../verify/report.ts';
import type { ComparisonRequest } from './comparison.ts';
import type { Failing } from './editor.ts';
import type { Saving } from './effects.ts';
import type { PublicationWish } from './publication.ts';
import type { RecipeEntry } from './recipe-list.ts';

/** Disposal stops what runs, and waits until it has cleaned up. */
export interface Services extends AsyncDisposable {
  findRecipes(): Promise<readonly RecipeEntry[]>;
  findPackages(): Promise<readonly FoundPackage[]>;
  read(recipe: string): Promise<string>;
  save(saving: Saving): Promise<void>;
  /** Writes a recipe that is not there yet. */
  create(recipe: string, text: string): Promise<void>;
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
  /** Undefined when the package was never verified. */
  readFindings(folder: string): Promise<Findings | undefined>;
  /** Figures as cells, titles first. */
  compare(request: ComparisonRequest, signal: AbortSignal): Stage<readonly (readonly string[])[]>;
  /** What shows without reading files. */
  survey(wish: PublicationWish): Promise<Publication>;
  preview(wish: PublicationWish, signal: AbortSignal): Stage<Publication>;
  publish(wish: PublicationWish, signal: AbortSignal): Stage<Published>;
  /** Whatever was thrown, as sentences for people, and with what tells where in the recipe they belong. */
  explain(error: unknown): { readonly problems: readonly string[]; readonly failure: Failing };
}

const recipeFiles = () => import('../recipe/recipe-files.ts');
const recipeSaving = () => import('../recipe/save.ts');

/** Where packages are put, and looked for. */
const SHELF = 'out';

/** Of a file that somebody else has changed; nothing is lost on any of them. */
const WAYS_OUT =
  'In Recipe R reads the file, and u then brings back what is here, so that s saves it over the other; S saves it under another name.';

/** `given` are paths of recipes to list first, wherever they are. */
export function createServices(given: readonly string[] = []): Services {
  const remote = openStages();
  const { stages } = remote;
  return {
    findRecipes: async () => {
      const { listRecipes, RECIPE_FOLDERS } = await recipeFiles();
      const found = await listRecipes(RECIPE_FOLDERS);
      const first = given.filter((file) => !found.some((entry) => entry.file === file)).map((file) => ({ file }));
      return [...first, ...found];
    },
    findPackages: () => drain(stages.findPackages(SHELF, [], {})),
    read: async (recipe) => (await import('../recipe/load.ts')).readRecipeText(recipe),
    save: async ({ recipe, text, replaces }) => {
      try {
        await (await recipeSaving()).saveRecipe(recipe, text, { replaces });
      } catch (error) {
        throw error instanceof RecipeError ? new RecipeError([...error.problems, WAYS_OUT], { file: recipe }) : error;
      }
    },
    create: async (recipe, text) => (await recipeSaving()).createRecipe(recipe, text),
    duplicate: async (recipe) => (await recipeFiles()).duplicateRecipe(recipe),
    rename: async (recipe, name) => (await recipeFiles()).renameRecipe(recipe, name),
    edit: async (recipe) => (await import('./external-editor.ts')).editFile(recipe),
    newRecipe: (folder, signal) => stages.newRecipe(folder, { signal }),
    findSources: (recipe, signal) => stages.surveyFiles(around(recipe), { signal }),
    plan: (recipe, options) => stages.plan(recipe, options),
    out: ({ recipe }) => defaultOut(recipe),
    async *make(recipe, signal) {
      const plan = yield* stages.plan(recipe, { signal });
      const made = yield* stages.makePackage(plan, { out: defaultOut(plan.recipe), signal });
      return { ...made, folder: nearby(made.folder) }; // as it is listed
    },
    readClip: async (folder) => (await import('../verify/clip.ts')).readClip(folder),
    readFindings: async (folder) => {
      const { kindOf } = await import('../recipe/input-files.ts');
      if ((await kindOf(folder)) === 'nothing')
        throw new InputMissingError(`${folder} is not there any more. R looks for packages anew.`, { file: folder });
      return (await import('../verify/report.ts')).readFindings(folder);
    },
    async *compare(request, signal) {
      const { prompt, seed } = request;
      if (request.kind === 'packages') {
        const prompts = prompt === undefined ? undefined : [prompt];
        const { comparison } = yield* stages.compare({ packages: request.packages, prompts, seed, signal });
        return comparisonCells(comparison);
      }
      const { recipe, text, x, y } = request;
      const plan = yield* stages.plan(recipe, { text, signal });
      const { figures } = yield* stages.sweep(plan, { x, y, prompt, seed, signal });
      return (await import('../sweep/table.ts')).seenCells(figures);
    },
    survey: ({ folder, to, ...wishes }) => drain(stages.surveyPublication(folder, to, wishes, {})),
    preview: ({ folder, ...wish }, signal) => stages.previewPublication(folder, { ...wish, signal }),
    publish: ({ folder, ...wish }, signal) => stages.publish(folder, { ...wish, signal }),
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

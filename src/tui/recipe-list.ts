/** The recipes that were found, the one that is chosen, and the filter that hides the others. Pure. */
import { containsWords, scoreOf } from './palette.ts';

export interface RecipeEntry {
  /** The path under which it was found. */
  readonly file: string;
  readonly name?: string | undefined;
  /** What it makes, in a few words … */
  readonly summary?: string;
  /** … or why it makes nothing. */
  readonly problem?: string;
}

export interface RecipeList {
  /** Undefined while they are looked for. */
  readonly entries: readonly RecipeEntry[] | undefined;
  readonly filter: string;
  /** The file that is chosen. */
  readonly selected: string | undefined;
}

export const NO_RECIPES: RecipeList = { entries: undefined, filter: '', selected: undefined };

/** Those that the filter leaves: it has letters of the file's name in their order, or words of what the recipe makes. */
export function shownRecipes({ entries = [], filter }: RecipeList): readonly RecipeEntry[] {
  if (filter === '') return entries;
  return entries.filter(
    ({ file, summary = '' }) => scoreOf(file, filter) !== undefined || containsWords(`${file} ${summary}`, filter),
  );
}

/** What a recipe calls itself. */
export function nameIn({ entries = [] }: RecipeList, file: string): string {
  return entries.find((entry) => entry.file === file)?.name ?? '';
}

/** New entries; what was chosen stays so, unless `select` says otherwise or it is gone. */
export function listRecipes(list: RecipeList, entries: readonly RecipeEntry[], select = list.selected): RecipeList {
  return settle({ ...list, entries, selected: select });
}

export function filterRecipes(list: RecipeList, filter: string): RecipeList {
  return settle({ ...list, filter });
}

export function moveInRecipes(list: RecipeList, by: number): RecipeList {
  const shown = shownRecipes(list);
  const at = shown.findIndex(({ file }) => file === list.selected);
  const to = Math.min(shown.length - 1, Math.max(0, at + by));
  return { ...list, selected: shown[to]?.file };
}

/** Something is chosen wherever there is something to choose. */
function settle(list: RecipeList): RecipeList {
  const shown = shownRecipes(list);
  const isThere = shown.some(({ file }) => file === list.selected);
  return isThere ? list : { ...list, selected: shown[0]?.file };
}

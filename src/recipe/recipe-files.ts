/**
 * The recipes that lie in some folders, and what can be done with their files short of changing what they say: list, copy, rename.
 * Listing parses and looks at no file that a recipe names, so it is quick; whether a recipe can be baked is the plan's to say.
 */
import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { LcmMergeError, RecipeError, UsageError } from '../errors.ts';
import { ioError } from '../formats/byte-source.ts';
import { quote } from '../text/quote.ts';
import { clipSize } from './clip-shapes.ts';
import { editRecipe } from './edit.ts';
import { parseRecipe, readRecipeText } from './load.ts';
import { existsAlready, saveRecipe, tryCreateRecipe } from './save.ts';
import { type Recipe, recipeSchema } from './schema.ts';

/** `file` as the folder was given and the name in it. `problem` is the first of those that parsing finds, as `line:column: sentence`. */
export type ListedRecipe = { readonly file: string } & (
  | { readonly name: string; readonly summary: string }
  | { readonly name?: undefined; readonly problem: string }
);

/** Where recipes are looked for when nobody says where. */
export const RECIPE_FOLDERS = ['.', 'recipes'];

/** Of what begins with a dot, nothing is a recipe. */
const YAML = /^[^.].*\.ya?ml$/i;

/** Recipes by name, folder after folder; none where there is no such folder, or it may not be read. */
export async function listRecipes(folders: readonly string[]): Promise<readonly ListedRecipe[]> {
  const files: string[] = [];
  for (const folder of folders) files.push(...(await yamlFiles(folder)));
  const different = new Map(files.map((file) => [resolve(file), file]));
  const listed: ListedRecipe[] = [];
  for (const file of different.values()) {
    const recipe = await look(file);
    if (recipe) listed.push(recipe);
  }
  return listed;
}

async function yamlFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory() && YAML.test(entry.name))
    .map((entry) => join(folder, entry.name))
    .sort();
}

/** Undefined for YAML that was never meant as a recipe. */
async function look(file: string): Promise<ListedRecipe | undefined> {
  let text = '';
  try {
    text = await readRecipeText(file);
    const recipe = parseRecipe(text, file);
    return { file, name: recipe.name, summary: summarise(recipe) };
  } catch (error) {
    if (!(error instanceof LcmMergeError)) throw error;
    if (!isMeantAsRecipe(text)) return undefined;
    const [first = error.message, ...others] = error instanceof RecipeError ? error.problems : [];
    const problem = first.startsWith(`${file}:`) ? first.slice(file.length + 1) : first;
    return { file, problem: others.length > 0 ? `${problem} (${others.length} more)` : problem };
  }
}

/** Keys that begin a line. A workflow or a compose file has a `name`, too, and nothing else of a recipe. */
const KEYS = new RegExp(`^["']?(${Object.keys(recipeSchema.shape).join('|')})["']?[ \\t]*:`, 'gm');

function isMeantAsRecipe(text: string): boolean {
  const keys = new Set([...text.matchAll(KEYS)].map(([, key]) => key));
  return keys.size > 1 || text.includes('recipe.schema.json');
}

/** `ink α 0.8 + lcm β 1 + animatelcm γ 1 · 16×64×64`: the sum of equation 2, and the clip. */
function summarise({ base, personalized, lcm, motion, output }: Recipe): string {
  const stem = (path: string) => basename(path, extname(path));
  const terms = [
    stem(base.model),
    ...personalized.map(({ lora, checkpoint = '', alpha }) => `${stem(lora ?? checkpoint)} α ${alpha}`),
    ...(lcm ? [`${stem(lcm.lora)} β ${lcm.beta}`] : []),
    `${stem(motion.module)} γ ${motion.gamma}`,
  ];
  return `${terms.join(' + ')} · ${clipSize(output)}`;
}

/** Copies tried before giving up: nobody has so many of one recipe. */
const MAX_COPIES = 1000;

/** Copies a recipe beside itself, as NAME-2.yaml or the next number that is free, and calls it so. @returns the new file */
export async function duplicateRecipe(file: string): Promise<string> {
  const text = await readRecipeText(file);
  const ending = extname(file);
  const stem = basename(file, ending);
  const [, root = stem, last = '1'] = /^(.*?)-(\d+)$/.exec(stem) ?? [];
  for (let n = Number(last) + 1; n <= Number(last) + MAX_COPIES; n++) {
    const copy = join(dirname(file), `${root}-${n}${ending}`);
    if (await tryCreateRecipe(copy, withName(text, `${root}-${n}`))) return copy;
  }
  throw new UsageError(`${file} has ${MAX_COPIES} copies already. Name one by hand.`);
}

/**
 * Gives a recipe another name: its file, in the same folder, and its key `name`. Nothing is written over; until the new file is
 * complete the old one stays. @returns the new file, and a sentence that says what was done
 * @throws UsageError for a name that is taken or that no recipe can have
 */
export async function renameRecipe(
  file: string,
  newName: string,
): Promise<{ readonly file: string; readonly sentence: string }> {
  const checked = recipeSchema.shape.name.safeParse(newName);
  if (!checked.success)
    throw new UsageError(
      `${quote(newName)} cannot be the name of a recipe: it names files, so it is not empty, has 128 characters at most, does not begin with a dot, and contains no slash, backslash or control character.`,
    );
  const text = await readRecipeText(file);
  const changed = withName(text, newName);
  const renamed = join(dirname(file), `${newName}${extname(file)}`);
  if (resolve(renamed) === resolve(file)) {
    if (changed !== text) await saveRecipe(file, changed, { replaces: text });
    return {
      file,
      sentence:
        changed === text ? `${file} has that name already.` : `The key name of ${file} is ${quote(newName)} now.`,
    };
  }
  if (!(await tryCreateRecipe(renamed, changed))) throw existsAlready(renamed);
  await rm(file).catch(async (error: unknown) => {
    await rm(renamed, { force: true });
    throw ioError('rename', file, error);
  });
  const key = changed === text ? '' : `, and its key name is ${quote(newName)}`;
  return { file: renamed, sentence: `${file} is ${renamed} now${key}.` };
}

/** The text with another value for `name`, all else as it was; unchanged where it cannot be edited, because it is no YAML yet. */
function withName(text: string, name: string): string {
  try {
    return editRecipe(text, [{ path: ['name'], value: name }]);
  } catch (error) {
    if (error instanceof RecipeError) return text;
    throw error;
  }
}

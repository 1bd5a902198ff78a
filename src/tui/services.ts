/** What the terminal UI asks of the rest of the program. The same stages as the command line's, and nothing else. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultOut, planRecipe } from '../cli/commands/plan-recipe.ts';
import { failureOf } from '../cli/exit-codes.ts';
import { RecipeError } from '../errors.ts';
import type { Stage } from '../events.ts';
import type { Plan } from '../merge/plan.ts';
import { type MadePackage, makePackage } from '../publish/make-package.ts';
import type { Frames } from '../runtime/frames.ts';
import { readClip } from './clip.ts';

export interface Services {
  findRecipes(): Promise<readonly string[]>;
  plan(recipe: string, signal: AbortSignal): Stage<Plan>;
  /** Where `make` puts the package. */
  out(plan: Plan): string;
  make(plan: Plan, signal: AbortSignal): Stage<MadePackage>;
  readClip(folder: string): Promise<Frames>;
  /** Whatever was thrown, as sentences for people. */
  explain(error: unknown): readonly string[];
}

/** `given` are paths of recipes to list first, wherever they are. */
export function createServices(given: readonly string[] = []): Services {
  return {
    async findRecipes() {
      const found = await Promise.all(['.', 'recipes'].map(yamlFiles));
      return [...new Set([...given, ...found.flat()])];
    },
    plan: (recipe, signal) => planRecipe(recipe, { signal }),
    out: ({ recipe }) => defaultOut(recipe),
    make: (plan, signal) => makePackage(plan, { out: defaultOut(plan.recipe), signal }),
    readClip,
    explain: (error) => (error instanceof RecipeError ? error.problems : [failureOf(error).message]),
  };
}

/** Of what begins with a dot, nothing is a recipe. */
const YAML = /^[^.].*\.ya?ml$/i;

/** None where there is no such folder, or it may not be read. */
async function yamlFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory() && YAML.test(entry.name))
    .map((entry) => join(folder, entry.name))
    .sort();
}

/** What the terminal UI asks of the rest of the program. The same stages as the command line's, and nothing else. */
import { defaultOut } from '../cli/default-out.ts';
import { failureOf } from '../cli/exit-codes.ts';
import { RecipeError } from '../errors.ts';
import type { Stage } from '../events.ts';
import type { Plan } from '../merge/plan.ts';
import type { MadePackage } from '../publish/make-package.ts';
import { openStages } from '../remote/stages.ts';
import type { Frames } from '../runtime/frames.ts';
import { findRecipes } from './find-recipes.ts';

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
  const { stages } = openStages();
  return {
    async findRecipes() {
      return [...new Set([...given, ...(await findRecipes())])];
    },
    plan: (recipe, signal) => stages.plan(recipe, { signal }),
    out: ({ recipe }) => defaultOut(recipe),
    make: (plan, signal) => stages.makePackage(plan, { out: defaultOut(plan.recipe), signal }),
    readClip: async (folder) => (await import('./clip.ts')).readClip(folder),
    explain: (error) => (error instanceof RecipeError ? error.problems : [failureOf(error).message]),
  };
}

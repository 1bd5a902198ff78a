/** Where a package goes when nobody says where. */
import { join } from 'node:path';
import type { Recipe } from '../recipe/schema.ts';

/** Beside where the user works, not beside the recipe. */
export function defaultOut({ name }: Pick<Recipe, 'name'>): string {
  return join('out', name);
}

/** The recipes that are at hand: YAML files here and in recipes/. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

export async function findRecipes(): Promise<readonly string[]> {
  return (await Promise.all(['.', 'recipes'].map(yamlFiles))).flat();
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

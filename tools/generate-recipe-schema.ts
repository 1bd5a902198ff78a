/** Writes recipes/recipe.schema.json from src/recipe/schema.ts. Run: node tools/generate-recipe-schema.ts */

import { writeFile } from 'node:fs/promises';
import { recipeJsonSchema } from '../src/recipe/json-schema.ts';

const target = new URL('../recipes/recipe.schema.json', import.meta.url);
await writeFile(target, `${JSON.stringify(recipeJsonSchema(), null, 2)}\n`);

/** `schema`: the JSON schema of recipes. */
import { recipeJsonSchema } from '../../recipe/json-schema.ts';
import type { Command } from '../context.ts';

export const schema: Command<'schema'> = async () => {
  const value = recipeJsonSchema();
  return { text: JSON.stringify(value, null, 2), value };
};

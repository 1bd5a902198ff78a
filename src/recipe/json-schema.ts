/** The recipe's JSON schema (draft 2020-12), for editors: completion, documentation and checks while typing. */

import { z } from 'zod';
import { recipeSchema } from './schema.ts';

/** Describes the file as written, where everything with a default may be left out. */
export function recipeJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(recipeSchema, { io: 'input' });
}

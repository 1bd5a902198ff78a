/**
 * From a recipe as written to a recipe that stands on its own: paths become absolute (they are relative to the recipe's
 * folder; references to the Hub stay as they are), a plain base becomes `{ model }`, and the text encoder's strength follows alpha.
 */

import { dirname, resolve } from 'node:path';
import { isReference } from '../hub/reference.ts';
import { isOciReference } from '../oci/reference.ts';
import { type Recipe, type RecipeDocument, TARGET_NAMES } from './schema.ts';

/** The Hub and a registry are places as they are. */
const placeOf = (to: string, absolute: (path: string) => string): string => (isOciReference(to) ? to : absolute(to));

/** `file` is the recipe's path, relative to the working directory or absolute. Looks at no file. */
export function resolveRecipe(document: RecipeDocument, file: string, text: string): Recipe {
  const folder = dirname(resolve(file));
  const absolute = (path: string): string => (isReference(path) ? path : resolve(folder, path));
  const { name, motion, sampler, output, verify } = document;
  const base = typeof document.base === 'string' ? { model: document.base } : document.base;
  return {
    file: resolve(file),
    text,
    name,
    base: {
      ...base,
      model: absolute(base.model),
      ...(base.config !== undefined && { config: absolute(base.config) }),
      ...(base.vae !== undefined && { vae: absolute(base.vae) }),
      ...(base.text_encoder !== undefined && { text_encoder: absolute(base.text_encoder) }),
    },
    // in the order of the schema, given or not: a lock keeps it, and a recipe that is read of that lock must make the same one
    personalized: document.personalized.map(({ lora, checkpoint, alpha, scale, text_encoder = alpha, ...rest }) => ({
      ...(lora !== undefined && { lora: absolute(lora) }),
      ...(checkpoint !== undefined && { checkpoint: absolute(checkpoint) }),
      ...{ alpha, scale, text_encoder },
      ...rest,
    })),
    ...(document.lcm && { lcm: { ...document.lcm, lora: absolute(document.lcm.lora) } }),
    motion: {
      ...motion,
      module: absolute(motion.module),
      ...(motion.base !== undefined && { base: absolute(motion.base) }),
      loras: motion.loras.map((source) => ({ ...source, lora: absolute(source.lora) })),
    },
    sampler,
    output: { ...output, targets: TARGET_NAMES.filter((name) => name === 'portable' || output.targets.includes(name)) },
    verify: { ...verify, ...(verify.reference !== undefined && { reference: absolute(verify.reference) }) },
    ...(document.publish && { publish: { ...document.publish, to: placeOf(document.publish.to, absolute) } }),
  };
}

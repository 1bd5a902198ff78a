/** What the recipe says of how strongly a source acts, before block weights. */
import type { Recipe } from '../recipe/schema.ts';
import type { Role } from './plan-files.ts';

/** By the recipe's own key, that of the UNet first: `{ alpha, text_encoder }`, `{ beta }`, `{ gamma }`. Undefined for what has no strength. */
export function strengthOf(recipe: Recipe, role: Role): Readonly<Record<string, number>> | undefined {
  if (role === 'motion') return { gamma: recipe.motion.gamma };
  if (role === 'lcm') return { beta: recipe.lcm?.beta ?? 0 };
  const lora = recipe.motion.loras.find((_, i) => role === `motion.loras[${i}]`);
  if (lora) return { alpha: lora.alpha };
  const source = recipe.personalized.find((_, i) => role === `personalized[${i}]`);
  return source && { alpha: source.alpha, text_encoder: source.text_encoder };
}

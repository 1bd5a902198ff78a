/** The number format of each component's weights and arithmetic: `output.dtype`, and what the recipe wants otherwise. */
import type { Component } from '../architecture/names.ts';
import type { Recipe } from './schema.ts';

export type NumberFormat = Recipe['output']['dtype'];

/** The VAE may have a format of its own: its activations are the largest of the three models. */
export function dtypeOf({ output }: Pick<Recipe, 'output'>, component: Component): NumberFormat {
  return component.startsWith('vae_') ? (output.vae_dtype ?? output.dtype) : output.dtype;
}

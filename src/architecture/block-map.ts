/**
 * Which of the 26 blocks (BASE, IN00–IN11, M00, OUT00–OUT11) a parameter belongs to; reference: merge-tools.md §2.
 * Samplers follow that table (IN03/06/09; the upsampler of an up block belongs to its last layer), conv_norm_out and
 * conv_out are OUT11 as in all tools. Time embedding: tools disagree; here it is IN00, as in SuperMerger.
 */
import type { Component } from './names.ts';

/** Layers per up and per down block in SD1.5, which the names IN00…OUT11 are made for. */
const [UP_LAYERS, DOWN_STRIDE] = [3, 3];

const two = (n: number) => String(n).padStart(2, '0');

/** The block of a parameter, or undefined where the scheme has none (the VAE). */
export function blockOf(component: Component, name: string): string | undefined {
  if (component === 'text_encoder') return 'BASE';
  if (component !== 'unet') return undefined;
  if (/^(conv_in|time_embedding)\./.test(name)) return 'IN00';
  if (/^(conv_norm_out|conv_out)\./.test(name)) return 'OUT11';
  if (name.startsWith('mid_block.')) return 'M00';
  const place = /^(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\./.exec(name);
  if (!place) return undefined;
  const [, way, block, kind, layer] = place as unknown as [string, 'down' | 'up', string, string, string];
  const [i, j] = [Number(block), Number(layer)];
  if (way === 'down')
    return kind === 'downsamplers' ? `IN${two(DOWN_STRIDE * (i + 1))}` : `IN${two(DOWN_STRIDE * i + j + 1)}`;
  return kind === 'upsamplers' ? `OUT${two(UP_LAYERS * i + 2)}` : `OUT${two(UP_LAYERS * i + j)}`;
}

/** Strength of `block` in a recipe's `blocks`: its own entry beats its group's (IN, M, OUT); without either it is 1. */
export function blockWeight(blocks: Readonly<Record<string, number>>, block: string | undefined): number {
  if (block === undefined) return 1;
  return blocks[block] ?? blocks[block.replace(/\d+$/, '')] ?? 1;
}

/**
 * Which of the 26 blocks (BASE, IN00–IN11, M00, OUT00–OUT11) a parameter belongs to, and which of a recipe's block weights
 * counts for it; reference: merge-tools.md §2.
 * Samplers follow that table (IN03/06/09; the upsampler of an up block belongs to its last layer), conv_norm_out and
 * conv_out are OUT11 as in all tools. Time embedding: tools disagree; here it is IN00, as in SuperMerger.
 */
import { isPattern, matchesPattern } from '../text/wildcard.ts';
import { BLOCK_GROUPS, BLOCK_NAMES, TEXT_ENCODER_BLOCK } from './block-names.ts';
import { namedWeights } from './block-vectors.ts';
import type { Component } from './names.ts';

/** As a recipe has them: a list (block-vectors.ts), or key → weight. Keys are block names, groups, paths and patterns. */
export type BlockWeights = readonly number[] | Readonly<Record<string, number>>;

/** Layers per up and per down block in SD1.5, which the names IN00…OUT11 are made for. */
const [UP_LAYERS, DOWN_STRIDE] = [3, 3];

const two = (n: number) => String(n).padStart(2, '0');

/** The block of a parameter, or undefined where the scheme has none (the VAE). */
export function blockOf(component: Component, name: string): string | undefined {
  if (component === 'text_encoder') return TEXT_ENCODER_BLOCK;
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

/** Short for the three sides of the UNet. */
const SHORT_PATHS: Readonly<Record<string, string>> = { down: 'down_blocks', mid: 'mid_block', up: 'up_blocks' };

/** What a path may begin with; a pattern may begin with anything. */
export const PATH_ROOTS: readonly string[] = [
  ...Object.entries(SHORT_PATHS).flat(),
  'conv_in',
  'time_embedding',
  'conv_norm_out',
  'conv_out',
  'text_model',
];

/** Is `key` a block, a group or BASE, rather than a path or a pattern? */
export function isBlockName(key: string): boolean {
  return BLOCK_NAMES.includes(key) || BLOCK_GROUPS.includes(key) || key === TEXT_ENCODER_BLOCK;
}

/**
 * How closely `key` describes a parameter, as numbers to compare from left to right, or undefined where it does not.
 * First how much of the parameter's path the key speaks of (a group or BASE of the side, a block of the layer, a path of
 * itself, a pattern of all), then how it says so: pattern, path, block, group. Patterns: by their characters that are no stars.
 */
function closeness(key: string, component: Component, name: string): readonly number[] | undefined {
  if (component !== 'unet' && component !== 'text_encoder') return undefined;
  if (isPattern(key)) {
    return matchesPattern(name, key) ? [name.length, 3, key.replaceAll('*', '').length] : undefined;
  }
  if (isBlockName(key)) {
    const block = blockOf(component, name);
    if (block === undefined) return undefined;
    if (key === TEXT_ENCODER_BLOCK) return block === key ? [0, 0, 0] : undefined;
    if (key === block) return [pathOfLayer(name).length, 1, 0];
    return key === block.replace(/\d+$/, '') ? [name.indexOf('.'), 0, 0] : undefined;
  }
  const path = fullPath(key);
  return name.startsWith(`${path}.`) ? [path.length, 2, 0] : undefined;
}

/** `down_blocks.2.attentions.1`, `up_blocks.0.upsamplers.0`, `mid_block`, `conv_in` … */
const pathOfLayer = (name: string) => /^(?:down|up)_blocks\.\d+\.\w+\.\d+|^\w+/.exec(name)?.[0] ?? name;

const fullPath = (key: string) => key.replace(/^\w+/, (root) => SHORT_PATHS[root] ?? root);

/** The keys of `blocks` that describe a parameter, the one that counts first; equally close ones in the order of the recipe. */
export function matchingKeys(
  blocks: Readonly<Record<string, number>>,
  component: Component,
  name: string,
): readonly string[] {
  return Object.keys(blocks)
    .flatMap((key) => {
      const rank = closeness(key, component, name);
      return rank ? [{ key, rank }] : [];
    })
    .sort((a, b) => b.rank.reduce((order, n, i) => order || n - (a.rank[i] as number), 0))
    .map(({ key }) => key);
}

/** The weight that `blocks` gives to a parameter: that of the closest key, or 1 where none describes it. */
export function blockWeight(blocks: BlockWeights, component: Component, name: string): number {
  const named = isVector(blocks) ? namedWeights(blocks) : blocks;
  const [key] = matchingKeys(named, component, name);
  return key === undefined ? 1 : (named[key] as number);
}

export function isVector(blocks: BlockWeights): blocks is readonly number[] {
  return Array.isArray(blocks);
}

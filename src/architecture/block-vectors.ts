/**
 * Block weights written as a list of numbers, in the lengths that LoRA Block Weight and kohya's scripts know. Each length names
 * blocks in a fixed order; the blocks it leaves out have no weights in that kind of LoRA, or keep 1.
 * Source: kohya-ss/sd-scripts networks/lora.py and merge_lora LBW presets; reference: merge-tools.md §2.
 */
import { BLOCK_NAMES, TEXT_ENCODER_BLOCK } from './block-names.ts';

const numbered = (group: string, numbers: readonly number[]) =>
  numbers.map((n) => `${group}${String(n).padStart(2, '0')}`);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Length of a list → the blocks that its numbers stand for, in order. */
export const BLOCK_VECTORS: ReadonlyMap<number, readonly string[]> = new Map(
  [
    [TEXT_ENCODER_BLOCK, ...BLOCK_NAMES],
    BLOCK_NAMES,
    // SDXL's UNet, whose blocks 0 to 8 are where SD1.5 has them
    [TEXT_ENCODER_BLOCK, ...numbered('IN', range(0, 8)), 'M00', ...numbered('OUT', range(0, 8))],
    // the blocks of SD1.5 that have attention: all that a LoRA without convolutions changes
    [TEXT_ENCODER_BLOCK, ...numbered('IN', [1, 2, 4, 5, 7, 8]), 'M00', ...numbered('OUT', range(3, 11))],
    [TEXT_ENCODER_BLOCK, ...numbered('IN', [4, 5, 7, 8]), 'M00', ...numbered('OUT', range(0, 5))],
  ].map((blocks) => [blocks.length, blocks]),
);

/** Block → weight. @throws RangeError for a length that names no blocks; the recipe's schema lets none pass. */
export function namedWeights(vector: readonly number[]): Readonly<Record<string, number>> {
  const blocks = BLOCK_VECTORS.get(vector.length);
  if (!blocks) throw new RangeError(`A list of ${vector.length} block weights names no blocks.`);
  return Object.fromEntries(blocks.map((block, i) => [block, vector[i] as number]));
}

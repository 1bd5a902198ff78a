/**
 * The names of SD1.5's UNet blocks that block weights speak of: twelve input blocks, one middle block, twelve output
 * blocks, as counted in the LDM UNet (`input_blocks.N`, `middle_block`, `output_blocks.N`). sd-mecha, SuperMerger and
 * kohya's LBW use the same names.
 */

const numbered = (group: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${group}${String(index).padStart(2, '0')}`);

/** IN00 … IN11, M00, OUT00 … OUT11. */
export const BLOCK_NAMES: readonly string[] = [...numbered('IN', 12), ...numbered('M', 1), ...numbered('OUT', 12)];

/** Each stands for all blocks that begin with it. */
export const BLOCK_GROUPS: readonly string[] = ['IN', 'M', 'OUT'];

/** The whole text encoder. */
export const TEXT_ENCODER_BLOCK = 'BASE';

/**
 * Positional encodings of motion modules: the sinusoid that all of AnimateDiff's descendants use, how many rows of it a recipe
 * gets, and how it is stretched to more frames. Sources: AnimateDiff motion_module.py; AnimateDiff-Evolved model_injection.py
 * (interpolate_pe_to_length), PyTorch aten/native UpSample.h; reference: formats.md §1b.
 */
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';

/** Rows that AnimateLCM's own code makes when the file has no encoding (animatelcm/models/motion_module.py). */
const DEFAULT_POSITIONS = 64;

export interface Positions {
  /** Rows that the model gets. */
  readonly positions: number;
  /** Rows of the sinusoid that they are interpolated between, where those are fewer. */
  readonly stretched_from?: number;
}

/**
 * What the recipe makes of the rows that a motion file stores.
 * @throws MergeError at the recipe's line when it stretches more rows than there are, or asks for more frames than rows.
 */
export function resolvePositions(recipe: Recipe, stored: number = DEFAULT_POSITIONS): Positions {
  const { motion, output } = recipe;
  const asked = motion.positions ?? stored;
  const { from = stored, to } = typeof asked === 'number' ? { from: Math.min(asked, stored), to: asked } : asked;
  if (from > stored || from > to) {
    throw recipeMistake(
      recipe,
      ['motion', 'positions', 'from'],
      `motion.positions would stretch ${from} rows to ${to}, but ${motion.module} has ${stored}. Ask for from ≤ ${Math.min(stored, to)}.`,
    );
  }
  if (output.frames > to) {
    throw recipeMistake(
      recipe,
      ['output', 'frames'],
      `output.frames is ${output.frames}, but ${motion.module} has positional encodings for ${to} frames. ` +
        `Ask for ${to} or fewer, or stretch them: motion.positions: ${output.frames}.`,
    );
  }
  return { positions: to, ...(from !== to && { stretched_from: from }) };
}

/**
 * AnimateDiff's positional encoding `[1, positions, channels]`: sin(p·f_i) on even, cos(p·f_i) on odd channels,
 * f_i = 10000^(−2i/channels), computed in float32 steps as PyTorch does.
 */
export function positionalEncoding(positions: number, channels: number): Float32Array {
  const table = new Float32Array(positions * channels);
  const step = Math.fround(-Math.log(10000) / channels);
  for (let i = 0; i < channels / 2; i += 1) {
    const frequency = Math.fround(Math.exp(Math.fround(2 * i * step)));
    for (let p = 0; p < positions; p += 1) {
      const angle = Math.fround(p * frequency);
      table[p * channels + 2 * i] = Math.sin(angle);
      table[p * channels + 2 * i + 1] = Math.cos(angle);
    }
  }
  return table;
}

/**
 * `table` [1, L, channels] with its rows interpolated to `rows`, as torch's
 * F.interpolate(table[None], size=(rows, channels), mode='bilinear', align_corners=False) does: row p of the result lies at
 * (p + ½)·L/rows − ½ of the table, and before row 0 and after row L − 1 the table goes on as it ends.
 */
export function stretched(table: Float32Array, channels: number, rows: number): Float32Array {
  const last = table.length / channels - 1;
  const scale = Math.fround((last + 1) / rows);
  const result = new Float32Array(rows * channels);
  for (let p = 0; p < rows; p += 1) {
    const at = Math.max(0, Math.fround(Math.fround(scale * (p + 0.5)) - 0.5));
    const [below, above] = [Math.min(Math.floor(at), last), Math.min(Math.floor(at) + 1, last)];
    const weight = Math.fround(at - below);
    for (let c = 0; c < channels; c += 1) {
      const [a, b] = [table[below * channels + c] as number, table[above * channels + c] as number];
      result[p * channels + c] = (1 - weight) * a + weight * b;
    }
  }
  return result;
}

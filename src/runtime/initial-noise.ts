/**
 * The noise a clip starts from. Windows that start from unrelated noise show unrelated things; FreeNoise (Qiu et al. 2023, arXiv
 * 2310.15169, eq. 5) gives later frames the noise of the first window in another order. Source of truth: diffusers 0.42.1
 * pipelines/free_noise_utils.py, noise_type `shuffle_context`, whose draws these are.
 */
import { type ContextWindows, takeFrames } from './context-windows.ts';
import type { Generator } from './noise.ts';

export const NOISE_TYPES = ['random', 'freenoise'] as const;
export type NoiseType = (typeof NOISE_TYPES)[number];

/** float32 `[1, 4, F, h, w]`; with one window for all frames both types are the same. */
export function initialNoise(
  type: NoiseType,
  generator: Generator,
  shape: readonly number[],
  windows: Pick<ContextWindows, 'length' | 'overlap'>,
): Float32Array {
  const noise = generator.randn(shape.reduce((n, dim) => n * dim, 1));
  return type === 'random'
    ? noise
    : takeFrames(noise, shape, shuffledFrames(shape.at(-3) as number, windows, generator));
}

/** For each frame that whose noise it gets: the first window's are their own, then every hop repeats the frames a window before it, shuffled. */
function shuffledFrames(
  frames: number,
  { length, overlap }: Pick<ContextWindows, 'length' | 'overlap'>,
  generator: Generator,
): number[] {
  const hop = length - overlap;
  const sources = Array.from({ length: frames }, (_, i) => i);
  for (let start = length; start < frames; start += hop) {
    const order = generator.randperm(hop);
    for (let i = 0; i < hop && start + i < frames; i += 1)
      sources[start + i] = sources[start - length + (order[i] as number)] as number;
  }
  return sources;
}

/** The clean latents and the noise that a model's answer stands for. Source of truth: the `step` functions of diffusers 0.42.1's schedulers. */
import type { PredictionType } from '../../architecture/sampler-config.ts';

const f32 = Math.fround;

/** Of a sample x = α·x0 + σ·ε (α² + σ² = 1). */
export interface NoiseLevel {
  readonly alpha: number;
  readonly sigma: number;
}

/** From a sample x and a model output m, rounded to float32 after every operation. */
type Prediction = (x: number, m: number, level: NoiseLevel) => number;

/** x0 */
export const PREDICT_CLEAN: Readonly<Record<PredictionType, Prediction>> = {
  epsilon: (x, m, { alpha, sigma }) => f32(f32(x - f32(sigma * m)) / alpha),
  sample: (_x, m) => m,
  v_prediction: (x, m, { alpha, sigma }) => f32(f32(alpha * x) - f32(sigma * m)),
};

/** ε */
export const PREDICT_NOISE: Readonly<Record<PredictionType, Prediction>> = {
  epsilon: (_x, m) => m,
  sample: (x, m, { alpha, sigma }) => f32(f32(x - f32(alpha * m)) / sigma),
  v_prediction: (x, m, { alpha, sigma }) => f32(f32(alpha * m) + f32(sigma * x)),
};

/** √ᾱ and √(1−ᾱ) */
export function levelOfAlpha(alphaCumprod: number): NoiseLevel {
  return { alpha: f32(Math.sqrt(alphaCumprod)), sigma: f32(Math.sqrt(f32(1 - alphaCumprod))) };
}

/**
 * What every sampler is to the pipeline, and the noise schedule that all of them share.
 * Source of truth: diffusers 0.42.1 schedulers/ (`betas`, `alphas_cumprod`), down to the bits of its float32.
 */
import type { NoiseSchedule } from '../../architecture/lcm-config.ts';

export interface Scheduler {
  /** What the UNet is asked at, in order: one evaluation each. */
  readonly timesteps: readonly number[];
  /** The initial latents are standard normal noise times this. */
  readonly initNoiseSigma: number;
  /**
   * From the UNet's answer at `timesteps[index]` to the latents of the next timestep. All arrays have the sample's
   * length and are left as they are; `noise` draws that many standard normal values and is called only where noise is added.
   */
  step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: () => Float32Array): SchedulerStep;
}

export interface SchedulerStep {
  readonly prevSample: Float32Array;
  /** The clean latents as this step estimates them, for previews. */
  readonly denoised: Float32Array;
}

/** ᾱ [num_train_timesteps]: the product of 1 − β up to each timestep, as `torch.cumprod` gives it (float64 inside, stored as float32). */
export function alphasCumprod(schedule: NoiseSchedule): Float32Array {
  let product = 1;
  return betas(schedule).map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}

function betas({ beta_schedule, beta_start, beta_end, num_train_timesteps }: NoiseSchedule): Float32Array {
  if (beta_schedule === 'linear') return linspace(beta_start, beta_end, num_train_timesteps);
  return linspace(Math.sqrt(beta_start), Math.sqrt(beta_end), num_train_timesteps).map((root) => root * root);
}

/**
 * `torch.linspace` in float32: from the nearer end, each value one fused multiply-add (as PyTorch's AVX2 and AVX-512 kernels
 * compute it). The product of a float32 and a small integer is exact in float64, so one rounding at the end is the fusion.
 */
function linspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)];
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  const half = Math.floor(count / 2);
  return Float32Array.from({ length: count }, (_, i) => (i < half ? first + step * i : last - step * (count - 1 - i)));
}

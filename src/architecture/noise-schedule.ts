/**
 * How much noise there is at each training timestep: β, ᾱ and σ, and the σ of Karras et al. (2022, eq. 5) between them.
 * Source of truth: diffusers 0.42.1 schedulers/, down to the bits of its float32.
 */
import type { NoiseSchedule } from './sampler-config.ts';

/** ᾱ [num_train_timesteps]: the product of 1 − β up to each timestep, as `torch.cumprod` gives it (float64 inside, stored as float32). */
export function alphasCumprod(schedule: NoiseSchedule): Float32Array {
  let product = 1;
  return betas(schedule).map((beta) => {
    product *= Math.fround(1 - beta);
    return product;
  });
}

/** σ [num_train_timesteps] = √((1 − ᾱ)/ᾱ), float32 after every operation; it grows with the timestep. */
export function trainingSigmas(schedule: NoiseSchedule): Float32Array {
  return alphasCumprod(schedule).map((alpha) => Math.sqrt(Math.fround(Math.fround(1 - alpha) / alpha)));
}

/** ρ of Karras et al. */
const RHO = 7;

/** `steps` σ from the largest to the smallest of the schedule, evenly spaced in σ^(1/ρ), in float64 as numpy has them. */
export function karrasSigmas(sigmas: Float32Array, steps: number): readonly number[] {
  const least = (sigmas[0] as number) ** (1 / RHO);
  const most = (sigmas.at(-1) as number) ** (1 / RHO);
  return numpyLinspace(0, 1, steps).map((ramp) => (most + ramp * (least - most)) ** RHO);
}

/** The timestep of a σ, interpolated in log σ between the two nearest; a fraction. `logs` are those of the schedule's σ. */
export function timestepOfSigma(sigma: number, logs: Float32Array): number {
  const log = Math.log(Math.max(sigma, 1e-10));
  const above = logs.findIndex((each) => each > log);
  const low = Math.min(Math.max(0, (above < 0 ? logs.length : above) - 1), logs.length - 2);
  const [from, to] = [logs[low] as number, logs[low + 1] as number];
  const weight = Math.min(1, Math.max(0, (from - log) / Math.fround(from - to)));
  return (1 - weight) * low + weight * (low + 1);
}

/** `numpy.linspace` in float64: one multiplication and one addition, and the end exactly. */
export function numpyLinspace(start: number, end: number, count: number): readonly number[] {
  const step = (end - start) / (count - 1);
  return Array.from({ length: count }, (_, i) => (i > 0 && i === count - 1 ? end : i === 0 ? start : i * step + start));
}

function betas({ beta_schedule, beta_start, beta_end, num_train_timesteps }: NoiseSchedule): Float32Array {
  if (beta_schedule === 'linear') return torchLinspace(beta_start, beta_end, num_train_timesteps);
  const roots = torchLinspace(Math.sqrt(beta_start), Math.sqrt(beta_end), num_train_timesteps);
  return roots.map((root) => root * root);
}

/**
 * `torch.linspace` in float32: from the nearer end, each value one fused multiply-add (as PyTorch's AVX2 and AVX-512 kernels
 * compute it). The product of a float32 and a small integer is exact in float64, so one rounding at the end is the fusion.
 */
function torchLinspace(start: number, end: number, count: number): Float32Array {
  const [first, last] = [Math.fround(start), Math.fround(end)];
  const step = Math.fround(Math.fround(last - first) / (count - 1));
  const half = Math.floor(count / 2);
  return Float32Array.from({ length: count }, (_, i) => (i < half ? first + step * i : last - step * (count - 1 - i)));
}

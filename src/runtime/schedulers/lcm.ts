/**
 * The latent consistency sampler (Luo et al. 2023, arXiv 2310.04378): each step jumps to the clean latents and adds noise anew.
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_lcm.py `LCMScheduler`; state and arithmetic are its float32.
 */
import { alphasCumprod } from '../../architecture/noise-schedule.ts';
import type { SamplerConfig } from '../../architecture/sampler-config.ts';
import { samplerTimesteps } from '../../architecture/timesteps.ts';
import { levelOfAlpha, PREDICT_CLEAN } from './prediction.ts';
import { levelAt, requireLength, type Scheduler } from './scheduler.ts';

/** σ_data of the boundary condition, fixed in diffusers as in the paper. */
const SIGMA_DATA = 0.5;

const f32 = Math.fround;

/** A sampler of `steps` evaluations. @throws UsageError as samplerTimesteps does. */
export function createLcmScheduler(config: SamplerConfig, steps: number): Scheduler {
  const timesteps = samplerTimesteps(config, steps);
  const alphas = alphasCumprod(config);
  const levels = timesteps.map((timestep) => ({
    ...levelOfAlpha(alphas[timestep] as number),
    ...boundaryCondition(timestep, config.timestep_scaling),
  }));
  const predictClean = PREDICT_CLEAN[config.prediction_type];

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample, noise) {
      const level = levelAt(levels, index, modelOutput, sample);
      const { cSkip, cOut } = level;
      const denoised = sample.map((x, i) => {
        const clean = predictClean(x, modelOutput[i] as number, level);
        return f32(cOut * clean) + f32(cSkip * x);
      });
      const next = levels[index + 1];
      if (next === undefined) return { prevSample: denoised, denoised };

      const fresh = noise();
      requireLength('The noise', fresh, sample);
      const prevSample = denoised.map((x, i) => f32(next.alpha * x) + f32(next.sigma * (fresh[i] as number)));
      return { prevSample, denoised };
    },
  };
}

/** c_skip and c_out of the consistency model at t, in float32. */
function boundaryCondition(timestep: number, scaling: number): { cSkip: number; cOut: number } {
  const scaled = f32(timestep * f32(scaling));
  const norm = f32(f32(scaled * scaled) + SIGMA_DATA ** 2);
  return { cSkip: f32(SIGMA_DATA ** 2 / norm), cOut: f32(scaled / f32(Math.sqrt(norm))) };
}

/**
 * Denoising diffusion implicit models without noise on the way, η = 0 (Song et al. 2021, arXiv 2010.02502, eq. 12).
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_ddim.py `DDIMScheduler`; state and arithmetic are its float32.
 */
import { alphasCumprod } from '../../architecture/noise-schedule.ts';
import type { SamplerConfig } from '../../architecture/sampler-config.ts';
import { samplerTimesteps } from '../../architecture/timesteps.ts';
import { levelOfAlpha, PREDICT_CLEAN, PREDICT_NOISE } from './prediction.ts';
import { levelAt, type Scheduler } from './scheduler.ts';

const f32 = Math.fround;

/** A sampler of `steps` evaluations. @throws UsageError as samplerTimesteps does. */
export function createDdimScheduler(config: SamplerConfig, steps: number): Scheduler {
  const timesteps = samplerTimesteps(config, steps);
  const alphas = alphasCumprod(config);
  const finalAlpha = config.set_alpha_to_one ? 1 : (alphas[0] as number);
  // Where a step ends is counted from where it starts, whatever the spacing: not always where the next one starts.
  const stride = Math.floor(config.num_train_timesteps / steps);
  const levels = timesteps.map((timestep) => ({
    from: levelOfAlpha(alphas[timestep] as number),
    to: levelOfAlpha(alphas[timestep - stride] ?? finalAlpha),
  }));
  const predictClean = PREDICT_CLEAN[config.prediction_type];
  const predictNoise = PREDICT_NOISE[config.prediction_type];

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample) {
      const { from, to } = levelAt(levels, index, modelOutput, sample);
      const denoised = sample.map((x, i) => predictClean(x, modelOutput[i] as number, from));
      const prevSample = sample.map((x, i) => {
        const noise = predictNoise(x, modelOutput[i] as number, from);
        return f32(to.alpha * (denoised[i] as number)) + f32(to.sigma * noise);
      });
      return { prevSample, denoised };
    },
  };
}

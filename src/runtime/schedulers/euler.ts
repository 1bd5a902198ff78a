/**
 * Euler's method on the probability flow (Karras et al. 2022, arXiv 2206.00364, algorithm 2 without churn), whose latents are x0 + σ·ε.
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_euler_discrete.py `EulerDiscreteScheduler`; state and arithmetic are its float32.
 */
import { trainingSigmas } from '../../architecture/noise-schedule.ts';
import type { PredictionType, SamplerConfig } from '../../architecture/sampler-config.ts';
import { samplerTimesteps } from '../../architecture/timesteps.ts';
import { levelAt, type Scheduler } from './scheduler.ts';

const f32 = Math.fround;

/** σ, and √(σ² + 1), by which the latents are larger than the model's input. */
interface Level {
  readonly sigma: number;
  readonly variance: number;
  readonly norm: number;
}

/** x0 from latents x and a model output m. */
const PREDICT_CLEAN: Readonly<Record<PredictionType, (x: number, m: number, level: Level) => number>> = {
  epsilon: (x, m, { sigma }) => f32(x - f32(sigma * m)),
  sample: (_x, m) => m,
  v_prediction: (x, m, { sigma, variance, norm }) => f32(f32(m * f32(-sigma / norm)) + f32(x / variance)),
};

/** A sampler of `steps` evaluations. @throws UsageError as samplerTimesteps does. */
export function createEulerScheduler(config: SamplerConfig, steps: number): Scheduler {
  const timesteps = samplerTimesteps(config, steps);
  const training = trainingSigmas(config);
  const levels = timesteps.map((timestep): Level => {
    const sigma = training[timestep] as number;
    const variance = f32(f32(sigma * sigma) + 1);
    return { sigma, variance, norm: f32(Math.sqrt(variance)) };
  });
  const predictClean = PREDICT_CLEAN[config.prediction_type];
  const [first] = levels as [Level];

  return {
    timesteps,
    // Schedules that begin at the last training timestep begin with noise alone.
    initNoiseSigma: config.timestep_spacing === 'leading' ? first.norm : first.sigma,
    scaleModelInput(sample, index) {
      const { norm } = levelAt(levels, index, sample, sample);
      return sample.map((x) => x / norm);
    },
    step(modelOutput, index, sample) {
      const level = levelAt(levels, index, modelOutput, sample);
      const change = f32((levels[index + 1]?.sigma ?? 0) - level.sigma);
      const denoised = sample.map((x, i) => predictClean(x, modelOutput[i] as number, level));
      const prevSample = sample.map((x, i) => {
        const derivative = f32(f32(x - (denoised[i] as number)) / level.sigma);
        return x + f32(derivative * change);
      });
      return { prevSample, denoised };
    },
  };
}

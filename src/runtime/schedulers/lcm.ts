/**
 * The latent consistency sampler (Luo et al. 2023, arXiv 2310.04378): each step jumps to the clean latents and adds noise anew.
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_lcm.py `LCMScheduler`; state and arithmetic are its float32.
 */
import { type LcmConfig, type PredictionType, tooManyOriginalSteps } from '../../architecture/lcm-config.ts';
import { RuntimeFailure, UsageError } from '../../errors.ts';
import { alphasCumprod, type Scheduler } from './scheduler.ts';

/** σ_data of the boundary condition, fixed in diffusers as in the paper. */
const SIGMA_DATA = 0.5;

const f32 = Math.fround;

/** x0 from a sample x and a model output m at √ᾱ and √(1−ᾱ), rounded to float32 after every operation. */
const PREDICTIONS: Record<PredictionType, (x: number, m: number, rootAlpha: number, rootBeta: number) => number> = {
  epsilon: (x, m, rootAlpha, rootBeta) => f32(f32(x - f32(rootBeta * m)) / rootAlpha),
  sample: (_x, m) => m,
  v_prediction: (x, m, rootAlpha, rootBeta) => f32(f32(rootAlpha * x) - f32(rootBeta * m)),
};

/**
 * A sampler of `steps` evaluations. Throws UsageError where diffusers' `set_timesteps` refuses:
 * 1 ≤ steps ≤ original_inference_steps ≤ num_train_timesteps must hold.
 */
export function createLcmScheduler(config: LcmConfig, steps: number): Scheduler {
  const timesteps = lcmTimesteps(config, steps);
  const alphas = alphasCumprod(config);
  const rootsAt = (timestep: number) => {
    const alpha = alphas[timestep] as number;
    return { rootAlpha: f32(Math.sqrt(alpha)), rootBeta: f32(Math.sqrt(f32(1 - alpha))) };
  };
  const predictClean = PREDICTIONS[config.prediction_type];

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample, noise) {
      const timestep = timesteps[index];
      if (timestep === undefined) {
        throw new RuntimeFailure(`Step ${index} was asked of an LCM scheduler of ${steps} steps, counted from 0.`);
      }
      requireLength('The model output', modelOutput, sample);
      const { rootAlpha, rootBeta } = rootsAt(timestep);
      const { cSkip, cOut } = boundaryCondition(timestep, config.timestep_scaling);
      const denoised = sample.map((x, i) => {
        const clean = predictClean(x, modelOutput[i] as number, rootAlpha, rootBeta);
        return f32(cOut * clean) + f32(cSkip * x);
      });
      const nextTimestep = timesteps[index + 1];
      if (nextTimestep === undefined) return { prevSample: denoised, denoised };

      const fresh = noise();
      requireLength('The noise', fresh, sample);
      const next = rootsAt(nextTimestep);
      const prevSample = denoised.map((x, i) => f32(next.rootAlpha * x) + f32(next.rootBeta * (fresh[i] as number)));
      return { prevSample, denoised };
    },
  };
}

/** Evenly spaced indices into the distillation schedule k−1, 2k−1, …, from its end; int(i·(len/n)) as `numpy.linspace` rounds. */
function lcmTimesteps(config: LcmConfig, steps: number): readonly number[] {
  const { num_train_timesteps: trainSteps, original_inference_steps: originalSteps } = config;
  if (originalSteps > trainSteps) throw new UsageError(tooManyOriginalSteps(config));
  if (!Number.isInteger(steps) || steps < 1 || steps > originalSteps) {
    throw new UsageError(
      `${steps} sampling steps cannot be taken: an LCM scheduler takes a whole number from 1 to original_inference_steps, ` +
        `which is ${originalSteps}, because its timesteps are a subset of the schedule it was distilled on. ` +
        'Take fewer steps (4 to 8 are usual) or raise original_steps.',
    );
  }
  const stride = Math.floor(trainSteps / originalSteps);
  const spacing = originalSteps / steps;
  return Array.from({ length: steps }, (_, i) => (originalSteps - Math.floor(i * spacing)) * stride - 1);
}

/** c_skip and c_out of the consistency model at t, in float32. */
function boundaryCondition(timestep: number, scaling: number): { cSkip: number; cOut: number } {
  const scaled = f32(timestep * f32(scaling));
  const norm = f32(f32(scaled * scaled) + SIGMA_DATA ** 2);
  return { cSkip: f32(SIGMA_DATA ** 2 / norm), cOut: f32(scaled / f32(Math.sqrt(norm))) };
}

function requireLength(what: string, found: Float32Array, sample: Float32Array): void {
  if (found.length === sample.length) return;
  throw new RuntimeFailure(`${what} has ${found.length} values where the sample has ${sample.length}.`);
}

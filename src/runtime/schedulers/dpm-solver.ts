/**
 * DPM-Solver++(2M), the multistep solver of second order for the data prediction (Lu et al. 2022, arXiv 2211.01095, algorithm 2), at the
 * σ of its timesteps or at those of Karras et al. Source of truth: diffusers 0.42.1 schedulers/scheduling_dpmsolver_multistep.py
 * `DPMSolverMultistepScheduler` with midpoint; state and arithmetic are its float32.
 */
import { karrasSigmas, trainingSigmas } from '../../architecture/noise-schedule.ts';
import type { SamplerConfig } from '../../architecture/sampler-config.ts';
import { samplerTimesteps } from '../../architecture/timesteps.ts';
import { RuntimeFailure } from '../../errors.ts';
import { PREDICT_CLEAN } from './prediction.ts';
import { levelAt, type Scheduler } from './scheduler.ts';

const f32 = Math.fround;

/** A sampler of `steps` evaluations, which remembers the last step's estimate. @throws UsageError as samplerTimesteps does. */
export function createDpmSolverScheduler(config: SamplerConfig, steps: number): Scheduler {
  const timesteps = samplerTimesteps(config, steps);
  const training = trainingSigmas(config);
  const sigmas =
    config.kind === 'dpmpp_2m_karras' ? karrasSigmas(training, steps) : timesteps.map((t) => training[t] as number);
  const levels = sigmas.map((sigma) => levelOfSigma(f32(sigma)));
  const predictClean = PREDICT_CLEAN[config.prediction_type];
  let last: { readonly index: number; readonly denoised: Float32Array } | undefined;

  return {
    timesteps,
    initNoiseSigma: 1,
    step(modelOutput, index, sample) {
      const from = levelAt(levels, index, modelOutput, sample);
      const to = levels[index + 1] ?? CLEAN;
      const before = levels[index - 1];
      const denoised = sample.map((x, i) => predictClean(x, modelOutput[i] as number, from));
      const h = f32(to.lambda - from.lambda);
      const shrink = f32(to.sigma / from.sigma);
      const gain = f32(to.alpha * f32(f32(Math.exp(-h)) - 1));
      const euler = (x: number, i: number) => f32(shrink * x) - f32(gain * (denoised[i] as number));
      let prevSample: Float32Array;
      if (before === undefined || to === CLEAN) {
        prevSample = sample.map(euler);
      } else {
        if (last?.index !== index - 1) {
          throw new RuntimeFailure(
            `Step ${index} of a multistep scheduler was asked without step ${index - 1} before.`,
          );
        }
        const { denoised: earlier } = last;
        const perRatio = f32(1 / f32(f32(from.lambda - before.lambda) / h));
        const halfGain = f32(0.5 * gain);
        prevSample = sample.map((x, i) => {
          const slope = f32(perRatio * f32((denoised[i] as number) - (earlier[i] as number)));
          return f32(euler(x, i)) - f32(halfGain * slope);
        });
      }
      last = { index, denoised };
      return { prevSample, denoised };
    },
  };
}

/** α and σ of a sample with α² + σ² = 1 whose noise is `ratio` times its signal, and λ = log(α/σ). */
function levelOfSigma(ratio: number) {
  const alpha = f32(1 / f32(Math.sqrt(f32(f32(ratio * ratio) + 1))));
  const sigma = f32(ratio * alpha);
  return { alpha, sigma, lambda: f32(f32(Math.log(alpha)) - f32(Math.log(sigma))) };
}

/** Where the last step ends, which is of first order: λ is infinite. */
const CLEAN = levelOfSigma(0);

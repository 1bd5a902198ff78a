/**
 * The latent consistency sampler (Luo et al. 2023, arXiv 2310.04378): each step jumps to the clean latents and adds noise anew.
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_lcm.py `LCMScheduler`; state and arithmetic are its float32.
 */
import { FormatError, RuntimeFailure, UsageError } from '../../errors.ts';
import { alphasCumprod, BETA_SCHEDULES, type NoiseSchedule, type Scheduler } from './scheduler.ts';

export type PredictionType = keyof typeof PREDICTIONS;

/** The fields of scheduler_config.json that have an effect on this sampler, by diffusers' names. */
export interface LcmConfig extends NoiseSchedule {
  /** Length of the schedule that the model was distilled on, of which the timesteps are a subset. */
  readonly original_inference_steps: number;
  readonly prediction_type: PredictionType;
  /** Factor on t in the boundary condition c_skip, c_out. */
  readonly timestep_scaling: number;
}

/** All fields that `LCMScheduler.from_pretrained` knows. */
export type LcmSchedulerConfig = LcmConfig & typeof WITHOUT_EFFECT & { readonly _class_name: 'LCMScheduler' };

/** The defaults of `LCMScheduler`, which hold for a field that a config leaves out. */
const DEFAULTS: LcmConfig = {
  num_train_timesteps: 1000,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  original_inference_steps: 50,
  prediction_type: 'epsilon',
  timestep_scaling: 10,
};

/** Fields written for diffusers' sake, at its defaults: some do nothing in LCM, the others are refused when set. */
const WITHOUT_EFFECT = {
  _diffusers_version: '0.42.1',
  trained_betas: null,
  clip_sample: false,
  clip_sample_range: 1,
  set_alpha_to_one: true,
  steps_offset: 0,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1,
  timestep_spacing: 'leading',
  rescale_betas_zero_snr: false,
} as const;

/** Fields that change what diffusers computes in ways not offered here, with the reason. */
const REFUSED_WHEN_SET: Readonly<Record<string, string>> = {
  clip_sample: 'latents are not bounded, clipping them is for models that work on pixels',
  thresholding: 'dynamic thresholding is for models that work on pixels',
  rescale_betas_zero_snr: 'a schedule without signal at its end cannot be sampled from a noise prediction',
  trained_betas: 'only the linear and scaled_linear schedules are supported',
};

/** Real models have 1000; a larger number in a config must not make the process allocate without end. */
const MAX_TRAIN_TIMESTEPS = 100_000;
/** σ_data of the boundary condition, fixed in diffusers as in the paper. */
const SIGMA_DATA = 0.5;

const f32 = Math.fround;

/** x0 from a sample x and a model output m at √ᾱ and √(1−ᾱ), rounded to float32 after every operation. */
const PREDICTIONS = {
  epsilon: (x: number, m: number, rootAlpha: number, rootBeta: number) => f32(f32(x - f32(rootBeta * m)) / rootAlpha),
  sample: (_x: number, m: number) => m,
  v_prediction: (x: number, m: number, rootAlpha: number, rootBeta: number) =>
    f32(f32(rootAlpha * x) - f32(rootBeta * m)),
} as const;

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

/** The content of scheduler/scheduler_config.json; a field that is not given has diffusers' default. */
export function lcmSchedulerConfig(values: Partial<LcmConfig>): LcmSchedulerConfig {
  return { _class_name: 'LCMScheduler', ...WITHOUT_EFFECT, ...DEFAULTS, ...values };
}

/**
 * Reads a parsed scheduler_config.json; `file` names it in errors. Fields that LCM does not use are passed over, as in diffusers.
 * Throws FormatError for another class, for a value out of range, and for an option that would change the result but is not supported.
 */
export function readSchedulerConfig(json: unknown, file: string): LcmConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FormatError(`${file} is not a JSON object; expected the scheduler_config.json of a package.`, { file });
  }
  const fields: Readonly<Record<string, unknown>> = { ...json };
  const { _class_name: className } = fields;
  if (className !== 'LCMScheduler') {
    throw new FormatError(
      `${file}: _class_name is ${JSON.stringify(className)}; expected "LCMScheduler". ` +
        'The config of a base model names the sampler it was published with; a package needs the one that its recipe makes.',
      { file },
    );
  }
  for (const [name, reason] of Object.entries(REFUSED_WHEN_SET)) {
    const value = fields[name];
    if (value === undefined || value === null || value === false) continue;
    throw new FormatError(`${file}: ${name} is set, which is not supported: ${reason}. Remove the field.`, { file });
  }
  const config = { ...DEFAULTS, ...pickKnown(fields) };
  for (const [name, { isValid, expected }] of Object.entries(FIELD_RULES)) {
    const value = config[name as keyof LcmConfig];
    if (isValid(value)) continue;
    throw new FormatError(`${file}: ${name} is ${JSON.stringify(value)}; expected ${expected}.`, { file });
  }
  if (config.original_inference_steps > config.num_train_timesteps) {
    throw new FormatError(`${file}: ${tooManyOriginalSteps(config)}`, { file });
  }
  return config;
}

interface FieldRule {
  readonly expected: string;
  isValid(value: unknown): boolean;
}

const FIELD_RULES: Readonly<Record<keyof LcmConfig, FieldRule>> = {
  num_train_timesteps: wholeNumber(2, MAX_TRAIN_TIMESTEPS),
  beta_start: fraction(),
  beta_end: fraction(),
  beta_schedule: oneOf(BETA_SCHEDULES),
  original_inference_steps: wholeNumber(1, MAX_TRAIN_TIMESTEPS),
  prediction_type: oneOf(Object.keys(PREDICTIONS)),
  timestep_scaling: {
    expected: 'a positive number (diffusers has 10)',
    isValid: (value) => typeof value === 'number' && Number.isFinite(value) && value > 0,
  },
};

function wholeNumber(least: number, most: number): FieldRule {
  return {
    expected: `a whole number from ${least} to ${most}`,
    isValid: (value) => typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most,
  };
}

function fraction(): FieldRule {
  return {
    expected: 'a number above 0 and below 1',
    isValid: (value) => typeof value === 'number' && value > 0 && value < 1,
  };
}

function oneOf(values: readonly string[]): FieldRule {
  return {
    expected: `one of ${values.join(', ')}`,
    isValid: (value) => typeof value === 'string' && values.includes(value),
  };
}

function pickKnown(fields: Readonly<Record<string, unknown>>): Partial<LcmConfig> {
  const known = Object.entries(fields).filter(([name]) => Object.hasOwn(FIELD_RULES, name));
  return Object.fromEntries(known);
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

function tooManyOriginalSteps(config: LcmConfig): string {
  return (
    `original_inference_steps is ${config.original_inference_steps}, more than the ${config.num_train_timesteps} timesteps ` +
    '(num_train_timesteps) that the model was trained on; expected at most as many (50 or 100 are usual).'
  );
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

/**
 * The sampler's scheduler_config.json as diffusers' LCMScheduler has it: what a package writes and what the runtime reads.
 * Source of truth: diffusers 0.42.1 schedulers/scheduling_lcm.py.
 */
import { FormatError } from '../errors.ts';

/** Diffusers' names. ComfyUI calls `scaled_linear` "linear" and `linear` "sqrt_linear". */
export const BETA_SCHEDULES = ['linear', 'scaled_linear'] as const;
export type BetaSchedule = (typeof BETA_SCHEDULES)[number];

export interface NoiseSchedule {
  readonly num_train_timesteps: number;
  readonly beta_start: number;
  readonly beta_end: number;
  readonly beta_schedule: BetaSchedule;
}

/** What the model's output is. */
export const PREDICTION_TYPES = ['epsilon', 'sample', 'v_prediction'] as const;
export type PredictionType = (typeof PREDICTION_TYPES)[number];

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
export const MAX_TRAIN_TIMESTEPS = 100_000;

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
      `${file}: _class_name is ${className === undefined ? 'missing' : JSON.stringify(className)}; expected "LCMScheduler". ` +
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
  prediction_type: oneOf(PREDICTION_TYPES),
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

export function tooManyOriginalSteps(config: LcmConfig): string {
  return (
    `original_inference_steps is ${config.original_inference_steps}, more than the ${config.num_train_timesteps} timesteps ` +
    '(num_train_timesteps) that the model was trained on; expected at most as many (50 or 100 are usual).'
  );
}

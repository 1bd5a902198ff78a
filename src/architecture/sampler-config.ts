/**
 * The package's scheduler_config.json as diffusers has it, for every sampler that there is: what a package writes and what the runtime reads.
 * Source of truth: the `__init__` signatures of diffusers 0.42.1 schedulers/scheduling_*.py, and `from_config` of its ConfigMixin.
 */
import { FormatError } from '../errors.ts';

export const SAMPLER_KINDS = ['lcm', 'ddim', 'dpmpp_2m', 'dpmpp_2m_karras', 'euler'] as const;
export type SamplerKind = (typeof SAMPLER_KINDS)[number];

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

export const TIMESTEP_SPACINGS = ['leading', 'linspace', 'trailing'] as const;
export type TimestepSpacing = (typeof TIMESTEP_SPACINGS)[number];

/** What decides the numbers of a sampler, by diffusers' names; each kind reads those that its class knows. */
export interface SamplerConfig extends NoiseSchedule {
  readonly kind: SamplerKind;
  readonly prediction_type: PredictionType;
  /** How the steps are spread over the training timesteps; LCM has its own way. */
  readonly timestep_spacing: TimestepSpacing;
  /** Added to every timestep of `leading`. */
  readonly steps_offset: number;
  /** DDIM: whether the last step ends at ᾱ = 1, or at that of timestep 0. */
  readonly set_alpha_to_one: boolean;
  /** LCM: length of the schedule that the model was distilled on, of which the timesteps are a subset. */
  readonly original_inference_steps: number;
  /** LCM: factor on t in the boundary condition c_skip, c_out. */
  readonly timestep_scaling: number;
}

type SchedulerClass = 'LCMScheduler' | 'DDIMScheduler' | 'DPMSolverMultistepScheduler' | 'EulerDiscreteScheduler';
type Fields = Readonly<Record<string, unknown>>;

/** The content of a scheduler_config.json with any class of the table: what `from_config` of diffusers starts from. */
export interface SavedScheduler {
  readonly file: string;
  readonly kind: SamplerKind;
  readonly fields: Fields;
}

/** A kind is a class, and where the class has the field, whether its σ are spaced as Karras et al. do. */
const KINDS: Readonly<Record<SamplerKind, { readonly name: SchedulerClass; readonly use_karras_sigmas: boolean }>> = {
  lcm: { name: 'LCMScheduler', use_karras_sigmas: false },
  ddim: { name: 'DDIMScheduler', use_karras_sigmas: false },
  dpmpp_2m: { name: 'DPMSolverMultistepScheduler', use_karras_sigmas: false },
  dpmpp_2m_karras: { name: 'DPMSolverMultistepScheduler', use_karras_sigmas: true },
  euler: { name: 'EulerDiscreteScheduler', use_karras_sigmas: false },
};

const COMMON = {
  num_train_timesteps: 1000,
  beta_start: 0.0001,
  beta_end: 0.02,
  beta_schedule: 'linear',
  trained_betas: null,
  prediction_type: 'epsilon',
  timestep_spacing: 'leading',
  steps_offset: 0,
  rescale_betas_zero_snr: false,
} as const;

const THRESHOLDING = { thresholding: false, dynamic_thresholding_ratio: 0.995, sample_max_value: 1 } as const;

const SIGMAS = {
  timestep_spacing: 'linspace',
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  final_sigmas_type: 'zero',
} as const;

/**
 * All fields of each class with its defaults, which hold for what a config leaves out. `lambda_min_clipped` is not among them: its default
 * is −∞, which JSON has no number for.
 */
const CLASSES: Readonly<Record<SchedulerClass, Fields>> = {
  LCMScheduler: {
    ...COMMON,
    ...THRESHOLDING,
    beta_start: 0.00085,
    beta_end: 0.012,
    beta_schedule: 'scaled_linear',
    original_inference_steps: 50,
    clip_sample: false,
    clip_sample_range: 1,
    set_alpha_to_one: true,
    timestep_scaling: 10,
  },
  DDIMScheduler: { ...COMMON, ...THRESHOLDING, clip_sample: true, clip_sample_range: 1, set_alpha_to_one: true },
  DPMSolverMultistepScheduler: {
    ...COMMON,
    ...THRESHOLDING,
    ...SIGMAS,
    solver_order: 2,
    algorithm_type: 'dpmsolver++',
    solver_type: 'midpoint',
    lower_order_final: true,
    euler_at_final: false,
    use_lu_lambdas: false,
    use_flow_sigmas: false,
    flow_shift: 1,
    variance_type: null,
    use_dynamic_shifting: false,
    time_shift_type: 'exponential',
  },
  EulerDiscreteScheduler: {
    ...COMMON,
    ...SIGMAS,
    interpolation_type: 'linear',
    sigma_min: null,
    sigma_max: null,
    timestep_type: 'discrete',
  },
};

/**
 * Fields that change what diffusers computes in ways not offered here: the value that is, and the reason. They count where the class
 * knows them. (`lower_order_final` and `euler_at_final` are not here: with σ ending at zero the last step is of first order anyway.)
 */
const ONLY: Readonly<Record<string, readonly [value: unknown, reason: string]>> = {
  clip_sample: [false, 'latents are not bounded, clipping them is for models that work on pixels'],
  thresholding: [false, 'dynamic thresholding is for models that work on pixels'],
  rescale_betas_zero_snr: [false, 'a schedule without signal at its end cannot be sampled from a noise prediction'],
  trained_betas: [null, 'only the linear and scaled_linear schedules are supported'],
  use_exponential_sigmas: [false, 'the σ of the timesteps and those of Karras et al. are supported'],
  use_beta_sigmas: [false, 'the σ of the timesteps and those of Karras et al. are supported'],
  use_lu_lambdas: [false, 'the σ of the timesteps and those of Karras et al. are supported'],
  use_flow_sigmas: [false, 'flow matching is for other models'],
  final_sigmas_type: ['zero', 'sampling ends without noise'],
  solver_order: [2, 'the multistep solver of second order is supported'],
  algorithm_type: ['dpmsolver++', 'the deterministic solver for data prediction is supported'],
  solver_type: ['midpoint', 'the midpoint rule is supported'],
  lambda_min_clipped: [null, 'clipping is for the cosine schedule'],
  variance_type: [null, 'models that predict a variance are not supported'],
  interpolation_type: ['linear', 'σ is that of the timestep'],
  timestep_type: ['discrete', 'the graph takes whole timesteps'],
  sigma_min: [null, 'σ is that of the schedule'],
  sigma_max: [null, 'σ is that of the schedule'],
};

/** Real models have 1000; a larger number in a config must not make the process allocate without end. */
export const MAX_TRAIN_TIMESTEPS = 100_000;

interface FieldRule {
  readonly expected: string;
  isValid(value: unknown): boolean;
}

const RULES: Readonly<Record<Exclude<keyof SamplerConfig, 'kind'>, FieldRule>> = {
  num_train_timesteps: wholeNumber(2, MAX_TRAIN_TIMESTEPS),
  beta_start: fraction(),
  beta_end: fraction(),
  beta_schedule: oneOf(BETA_SCHEDULES),
  prediction_type: oneOf(PREDICTION_TYPES),
  timestep_spacing: oneOf(TIMESTEP_SPACINGS),
  steps_offset: wholeNumber(0, MAX_TRAIN_TIMESTEPS),
  set_alpha_to_one: { expected: 'true or false', isValid: (value) => typeof value === 'boolean' },
  original_inference_steps: wholeNumber(1, MAX_TRAIN_TIMESTEPS),
  timestep_scaling: {
    expected: 'a positive number (diffusers has 10)',
    isValid: (value) => typeof value === 'number' && Number.isFinite(value) && value > 0,
  },
};

/**
 * The content of scheduler/scheduler_config.json; a field that is not given has the default of diffusers' class. A field that only other
 * classes know is written where it differs from their default, as diffusers' `from_config` keeps it: with it `--sampler` finds what they need.
 */
export function schedulerConfigJson({ kind, ...values }: Partial<SamplerConfig> & Pick<SamplerConfig, 'kind'>) {
  const { name, use_karras_sigmas } = KINDS[kind];
  const own = CLASSES[name];
  const given: Fields = { ...values, clip_sample: false, ...(use_karras_sigmas && { use_karras_sigmas }) };
  const differs = ([field, value]: [string, unknown]) =>
    Object.values(CLASSES).some((fields) => Object.hasOwn(fields, field) && fields[field] !== value);
  const written = Object.entries(given).filter((entry) => Object.hasOwn(own, entry[0]) || differs(entry));
  return { _class_name: name, _diffusers_version: '0.42.1', ...own, ...Object.fromEntries(written) };
}

/** The class that diffusers loads for a kind. */
export function schedulerClass(kind: SamplerKind): string {
  return KINDS[kind].name;
}

/**
 * Reads a parsed scheduler_config.json; `file` names it in errors. Fields that nothing reads are passed over, as in diffusers.
 * Throws FormatError for another class, for a value out of range, and for an option that would change the result but is not supported.
 */
export function readSavedScheduler(json: unknown, file: string): SavedScheduler {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new FormatError(`${file} is not a JSON object; expected the scheduler_config.json of a package.`, { file });
  }
  const fields: Fields = { ...json };
  const { _class_name: name, use_karras_sigmas = false } = fields;
  const ofClass = SAMPLER_KINDS.filter((kind) => KINDS[kind].name === name);
  if (ofClass.length === 0) {
    throw new FormatError(
      `${file}: _class_name is ${name === undefined ? 'missing' : JSON.stringify(name)}; expected one of ${Object.keys(CLASSES).join(', ')}. ` +
        'The config of a base model names the sampler it was published with; a package needs the one that its recipe makes.',
      { file },
    );
  }
  const knowsKarras = Object.hasOwn(CLASSES[name as SchedulerClass], 'use_karras_sigmas');
  const kind = ofClass.find((each) => !knowsKarras || KINDS[each].use_karras_sigmas === use_karras_sigmas);
  if (kind === undefined) {
    throw new FormatError(
      `${file}: use_karras_sigmas is ${JSON.stringify(use_karras_sigmas)}, which is not supported with ${name}: ` +
        'its timesteps would not be whole. DPMSolverMultistepScheduler has them; here it must be false.',
      { file },
    );
  }
  const saved = { file, kind, fields };
  samplerConfig(saved);
  return saved;
}

/**
 * What `X.from_config(saved)` of diffusers is, X being the class of `kind` (the file's own when left out): fields that X knows are taken
 * from the file, also where the file's own class does not know them; others have X's defaults. Throws FormatError as above.
 */
export function samplerConfig({ file, fields, kind: own }: SavedScheduler, kind: SamplerKind = own): SamplerConfig {
  const { name } = KINDS[kind];
  const defaults = CLASSES[name];
  const config: Fields = { ...defaults, ...fields };
  const refuse = (problem: string): never => {
    throw new FormatError(`${file}: ${problem}`, { file });
  };
  for (const [field, [only, reason]] of Object.entries(ONLY)) {
    const isKnown = Object.hasOwn(defaults, field) || (field === 'lambda_min_clipped' && name.startsWith('DPM'));
    const value = config[field] ?? null;
    if (!isKnown || value === only || (only === false && value === null)) continue;
    const said = Object.hasOwn(fields, field) ? '' : `, the default of ${name}`;
    refuse(
      `${field} is ${JSON.stringify(value)}${said}, which is not supported: ${reason}. Set it to ${JSON.stringify(only)}.`,
    );
  }
  // What the class does not know has no effect; the table of its own class gives it a value.
  const resolved: Fields = { ...CLASSES.LCMScheduler, ...defaults, ...pickKnown(fields, defaults) };
  for (const [field, { isValid, expected }] of Object.entries(RULES)) {
    if (isValid(resolved[field])) continue;
    refuse(`${field} is ${JSON.stringify(resolved[field])}; expected ${expected}.`);
  }
  const values = Object.keys(RULES).map((field) => [field, resolved[field]]);
  const result: SamplerConfig = { kind, ...Object.fromEntries(values) };
  if (kind === 'lcm' && result.original_inference_steps > result.num_train_timesteps) {
    refuse(tooManyOriginalSteps(result));
  }
  return result;
}

export function tooManyOriginalSteps(config: Pick<SamplerConfig, 'original_inference_steps' | 'num_train_timesteps'>) {
  return (
    `original_inference_steps is ${config.original_inference_steps}, more than the ${config.num_train_timesteps} timesteps ` +
    '(num_train_timesteps) that the model was trained on; expected at most as many (50 or 100 are usual).'
  );
}

function pickKnown(fields: Fields, known: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => Object.hasOwn(known, name)));
}

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

/**
 * Which training timesteps a sampler of so many steps asks the model at, from the noisiest to the cleanest; what cannot be is refused.
 * Source of truth: `set_timesteps` of diffusers 0.42.1's schedulers, in numpy's float64 and with its roundings.
 */
import { UsageError } from '../errors.ts';
import { karrasSigmas, numpyLinspace, timestepOfSigma, trainingSigmas } from './noise-schedule.ts';
import {
  type SamplerConfig,
  type SamplerKind,
  schedulerClass,
  type TimestepSpacing,
  tooManyOriginalSteps,
} from './sampler-config.ts';

type Spread = (config: SamplerConfig, steps: number) => readonly number[];

/**
 * @throws UsageError where diffusers refuses or breaks (too many steps, repeated timesteps, some outside of the training), and where
 * timesteps are not whole: a graph takes an integer.
 */
export function samplerTimesteps(config: SamplerConfig, steps: number): readonly number[] {
  const { kind, num_train_timesteps: trained, timestep_spacing: spacing } = config;
  refuseSteps(config, steps);
  const timesteps = TIMESTEPS[kind](config, steps);
  const asked = `${steps} step${steps === 1 ? '' : 's'} of ${schedulerClass(kind)} with timestep_spacing ${spacing}`;
  const fraction = timesteps.find((t) => !Number.isInteger(t));
  if (fraction !== undefined) {
    throw new UsageError(
      `${asked} would ask the model at timestep ${fraction.toFixed(3)}, but its graph takes whole timesteps only. ` +
        'Choose the timestep_spacing leading or trailing, or another sampler.',
    );
  }
  const outside = timesteps.find((t) => t < 0 || t >= trained);
  if (outside !== undefined) {
    throw new UsageError(
      `${asked} would ask the model at timestep ${outside}; it was trained on 0 to ${trained - 1}. Choose another number of steps or another timestep_spacing.`,
    );
  }
  const repeated = timesteps.find((t, i) => t === timesteps[i + 1] && (i === 0 || kind !== 'dpmpp_2m_karras'));
  if (repeated !== undefined) {
    throw new UsageError(`${asked} would take timestep ${repeated} twice. Take fewer steps.`);
  }
  return timesteps;
}

function refuseSteps(config: SamplerConfig, steps: number): void {
  const { kind, num_train_timesteps: trained, original_inference_steps: original } = config;
  const isLcm = kind === 'lcm';
  if (isLcm && original > trained) throw new UsageError(tooManyOriginalSteps(config));
  if (Number.isInteger(steps) && steps >= 1 && steps <= (isLcm ? original : trained)) return;
  throw new UsageError(
    isLcm
      ? `${steps} sampling steps cannot be taken: an LCM scheduler takes a whole number from 1 to original_inference_steps, ` +
          `which is ${original}, because its timesteps are a subset of the schedule it was distilled on. ` +
          'Take fewer steps (4 to 8 are usual) or raise original_steps.'
      : `${steps} sampling steps cannot be taken: ${schedulerClass(kind)} takes a whole number from 1 to the ${trained} timesteps that the model was trained on.`,
  );
}

/** int(i·(len/n)) as `numpy.linspace` rounds: indices into the distillation schedule k−1, 2k−1, …, from its end. */
const lcmTimesteps: Spread = ({ num_train_timesteps, original_inference_steps: original }, steps) => {
  const stride = Math.floor(num_train_timesteps / original);
  const spacing = original / steps;
  return Array.from({ length: steps }, (_, i) => (original - Math.floor(i * spacing)) * stride - 1);
};

/** Multiples of ⌊T/divisor⌋, from the highest of `steps` of them down. */
function multiples({ num_train_timesteps, steps_offset }: SamplerConfig, steps: number, divisor: number, first = 0) {
  const stride = Math.floor(num_train_timesteps / divisor);
  return Array.from({ length: steps }, (_, i) => (first + steps - 1 - i) * stride + steps_offset);
}

/** T, T − T/n, … and one off each, as `numpy.arange` counts: for some n it ends one element later, at −1. */
const trailing: Spread = ({ num_train_timesteps: trained }, steps) => {
  const stride = trained / steps;
  const delta = trained - stride - trained;
  return Array.from({ length: Math.ceil(trained / stride) }, (_, i) => roundHalfEven(trained + i * delta) - 1);
};

const linspace = (trained: number, count: number) => numpyLinspace(0, trained - 1, count).toReversed();

const DDIM: Readonly<Record<TimestepSpacing, Spread>> = {
  leading: (config, steps) => multiples(config, steps, steps),
  linspace: ({ num_train_timesteps }, steps) => linspace(num_train_timesteps, steps).map(roundHalfEven),
  trailing,
};

/** As DDIM, but not rounded. */
const EULER: typeof DDIM = {
  ...DDIM,
  linspace: ({ num_train_timesteps }, steps) => linspace(num_train_timesteps, steps).map(Math.fround),
};

/** One step more than asked for is spread, and its end, without noise, left out. */
const DPM_SOLVER: typeof DDIM = {
  leading: (config, steps) => multiples(config, steps, steps + 1, 1),
  linspace: ({ num_train_timesteps }, steps) =>
    linspace(num_train_timesteps, steps + 1)
      .slice(0, -1)
      .map(roundHalfEven),
  trailing,
};

const karrasTimesteps: Spread = (config, steps) => {
  const sigmas = trainingSigmas(config);
  const logs = sigmas.map(Math.log);
  return karrasSigmas(sigmas, steps).map((sigma) => roundHalfEven(timestepOfSigma(sigma, logs)));
};

const TIMESTEPS: Readonly<Record<SamplerKind, Spread>> = {
  lcm: lcmTimesteps,
  ddim: (config, steps) => DDIM[config.timestep_spacing](config, steps),
  dpmpp_2m: (config, steps) => DPM_SOLVER[config.timestep_spacing](config, steps),
  dpmpp_2m_karras: karrasTimesteps,
  euler: (config, steps) => EULER[config.timestep_spacing](config, steps),
};

/** `numpy.round` */
function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest === 0.5) return floor % 2 === 0 ? floor : floor + 1;
  return rest < 0.5 ? floor : floor + 1;
}

/** What a base's own scheduler_config.json says of the noise it was trained with; absent means SD1.5's. */
import { z } from 'zod';
import { InputMissingError } from '../errors.ts';
import { readConfig } from './config-file.ts';
import { MAX_TRAIN_TIMESTEPS, type SamplerConfig } from './sampler-config.ts';

/** What a package takes over; its recipe says the rest. */
export type BaseSchedulerConfig = Pick<
  SamplerConfig,
  'beta_start' | 'beta_end' | 'num_train_timesteps' | 'steps_offset' | 'set_alpha_to_one'
>;

/** Of a file that does not say it: the noise is SD1.5's, the others are diffusers' defaults. */
const DEFAULTS: BaseSchedulerConfig = {
  beta_start: 0.00085,
  beta_end: 0.012,
  num_train_timesteps: 1000,
  steps_offset: 0,
  set_alpha_to_one: true,
};

/** Where there is no file. */
const SD15: BaseSchedulerConfig = { ...DEFAULTS, steps_offset: 1, set_alpha_to_one: false };

/** A share of variance. */
const beta = z.number().gt(0).lt(1);

const schema = z.looseObject({
  beta_start: beta.default(DEFAULTS.beta_start),
  beta_end: beta.default(DEFAULTS.beta_end),
  num_train_timesteps: z.number().int().min(2).max(MAX_TRAIN_TIMESTEPS).default(DEFAULTS.num_train_timesteps),
  steps_offset: z.number().int().min(0).max(MAX_TRAIN_TIMESTEPS).default(DEFAULTS.steps_offset),
  set_alpha_to_one: z.boolean().default(DEFAULTS.set_alpha_to_one),
  prediction_type: z.string().default('epsilon'),
  rescale_betas_zero_snr: z.boolean().default(false),
  trained_betas: z.unknown().optional(),
});

/** @throws FormatError when the base predicts v or was trained with zero terminal SNR: LCM LoRAs and AnimateLCM are made for ε. */
export async function readBaseSchedulerConfig(file: string): Promise<BaseSchedulerConfig> {
  const reading = readConfig(file, schema, (raw, refuse) => {
    if (raw.prediction_type !== 'epsilon') {
      refuse(
        `prediction_type is ${raw.prediction_type}; LCM LoRAs and AnimateLCM are made for bases that predict epsilon`,
      );
    }
    if (raw.rescale_betas_zero_snr)
      refuse('rescale_betas_zero_snr is true; LCM LoRAs and AnimateLCM are made for bases without it');
    if (raw.trained_betas != null)
      refuse('trained_betas is set; the sampler knows schedules from beta_start to beta_end only');
    const { beta_start, beta_end, num_train_timesteps, steps_offset, set_alpha_to_one } = raw;
    return { beta_start, beta_end, num_train_timesteps, steps_offset, set_alpha_to_one };
  });
  return reading.catch((error: unknown) => {
    if (error instanceof InputMissingError) return SD15;
    throw error;
  });
}

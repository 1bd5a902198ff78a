/** What a base's own scheduler_config.json says of the noise it was trained with; absent means SD1.5's. */
import { z } from 'zod';
import { InputMissingError } from '../errors.ts';
import { readConfig } from './config-file.ts';
import { MAX_TRAIN_TIMESTEPS } from './lcm-config.ts';

export interface BaseSchedulerConfig {
  readonly beta_start: number;
  readonly beta_end: number;
  readonly num_train_timesteps: number;
}

const SD15: BaseSchedulerConfig = { beta_start: 0.00085, beta_end: 0.012, num_train_timesteps: 1000 };

/** A share of variance. */
const beta = z.number().gt(0).lt(1);

const schema = z.looseObject({
  beta_start: beta.default(SD15.beta_start),
  beta_end: beta.default(SD15.beta_end),
  num_train_timesteps: z.number().int().min(2).max(MAX_TRAIN_TIMESTEPS).default(SD15.num_train_timesteps),
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
    return { beta_start: raw.beta_start, beta_end: raw.beta_end, num_train_timesteps: raw.num_train_timesteps };
  });
  return reading.catch((error: unknown) => {
    if (error instanceof InputMissingError) return SD15;
    throw error;
  });
}

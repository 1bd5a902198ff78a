/** The sampler that a package is made with: the noise that the base was trained with, sampled as the recipe says. */
import type { SamplerConfig } from '../architecture/sampler-config.ts';
import { readBaseSchedulerConfig } from '../architecture/scheduler-config.ts';
import { samplerTimesteps } from '../architecture/timesteps.ts';
import { UsageError } from '../errors.ts';
import { recipeMistake } from '../recipe/place.ts';
import type { Recipe } from '../recipe/schema.ts';

/**
 * What diffusers' `from_config` makes of the base's scheduler_config.json (`file`) and the recipe's keys.
 * @throws FormatError when the base does not predict epsilon, MergeError when the recipe's steps cannot be taken.
 */
export async function planSampler(recipe: Recipe, file: string): Promise<SamplerConfig> {
  const { kind, steps, beta_schedule, original_steps, timestep_spacing } = recipe.sampler;
  const base = await readBaseSchedulerConfig(file);
  const trained = base.num_train_timesteps;
  if (kind === 'lcm' && original_steps > trained) {
    throw recipeMistake(
      recipe,
      ['sampler', 'original_steps'],
      `sampler.original_steps is ${original_steps}, but the base was trained on ${trained} timesteps (${file}). Ask for as many or fewer.`,
    );
  }
  const sampler: SamplerConfig = {
    ...base,
    kind,
    beta_schedule,
    timestep_spacing,
    prediction_type: 'epsilon',
    original_inference_steps: original_steps,
    timestep_scaling: 10,
  };
  try {
    samplerTimesteps(sampler, steps);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw recipeMistake(recipe, ['sampler', steps > trained ? 'steps' : 'timestep_spacing'], error.message);
  }
  return sampler;
}

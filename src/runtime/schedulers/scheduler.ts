/** What every sampler is to the pipeline. Source of truth: diffusers 0.42.1 schedulers/, whose float32 arithmetic each of them follows. */
import { RuntimeFailure } from '../../errors.ts';

export interface Scheduler {
  /** What the UNet is asked at, in order: one evaluation each. */
  readonly timesteps: readonly number[];
  /** The initial latents are standard normal noise times this. */
  readonly initNoiseSigma: number;
  /** What the UNet is given for the latents of `timesteps[index]`; the latents themselves where this is missing. */
  scaleModelInput?(sample: Float32Array, index: number): Float32Array;
  /**
   * From the UNet's answer at `timesteps[index]` to the latents of the next timestep; steps are taken in order, each once. All arrays have
   * the sample's length and are left as they are; `noise` draws that many standard normal values and is called only where noise is added.
   */
  step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: () => Float32Array): SchedulerStep;
}

export interface SchedulerStep {
  readonly prevSample: Float32Array;
  /** The clean latents as this step estimates them, for previews. */
  readonly denoised: Float32Array;
}

/** What is known of the timestep of a step. @throws RuntimeFailure where there is no such step, or the model answered in another length. */
export function levelAt<Level>(
  levels: readonly Level[],
  index: number,
  modelOutput: Float32Array,
  sample: Float32Array,
): Level {
  const level = levels[index];
  if (level === undefined) {
    throw new RuntimeFailure(`Step ${index} was asked of a scheduler of ${levels.length} steps, counted from 0.`);
  }
  requireLength('The model output', modelOutput, sample);
  return level;
}

export function requireLength(what: string, found: Float32Array, sample: Float32Array): void {
  if (found.length === sample.length) return;
  throw new RuntimeFailure(`${what} has ${found.length} values where the sample has ${sample.length}.`);
}

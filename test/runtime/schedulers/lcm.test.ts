import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { alphasCumprod } from '../../../src/architecture/noise-schedule.ts';
import {
  type NoiseSchedule,
  readSavedScheduler,
  type SamplerConfig,
  samplerConfig,
} from '../../../src/architecture/sampler-config.ts';
import { RuntimeFailure, UsageError } from '../../../src/errors.ts';
import { createGenerator } from '../../../src/runtime/noise.ts';
import { createLcmScheduler } from '../../../src/runtime/schedulers/lcm.ts';

/** Made by `python test/oracle/lcm.py`; tensors are float32, little-endian, base64. */
interface StepResult {
  readonly modelOutput: string;
  readonly prevSample: string;
  readonly denoised: string;
}
interface Golden {
  readonly timesteps: readonly (readonly [trainSteps: number, originalSteps: number, timesteps: readonly number[]])[];
  readonly alphasCumprod: readonly (NoiseSchedule & { readonly values: string })[];
  readonly chains: readonly {
    readonly config: Partial<SamplerConfig>;
    readonly steps: number;
    readonly seed: number;
    readonly sample: string;
    readonly results: readonly StepResult[];
  }[];
  readonly reference: {
    readonly count: number;
    readonly init: string;
    readonly results: readonly Omit<StepResult, 'denoised'>[];
  };
}

const golden = JSON.parse(await readFile('test/golden/lcm.json', 'utf8')) as Golden;
const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
const config = (values: Partial<SamplerConfig> = {}): SamplerConfig => ({
  ...samplerConfig(readSavedScheduler({ _class_name: 'LCMScheduler' }, 'scheduler_config.json')),
  ...values,
});

/** The largest difference, as a fraction of the value where that is above 1. */
function worst(found: Float32Array, expected: Float32Array): number {
  expect(found).toHaveLength(expected.length);
  return Math.max(...expected.map((value, i) => Math.abs((found[i] as number) - value) / Math.max(1, Math.abs(value))));
}

describe('alphasCumprod', () => {
  it.each(golden.alphasCumprod)(
    'has the bits of torch: $beta_schedule to $beta_end, $num_train_timesteps',
    (schedule) => {
      expect(alphasCumprod(schedule)).toEqual(floats(schedule.values));
    },
  );
});

describe('createLcmScheduler', () => {
  it('has the timesteps of diffusers', () => {
    expect(golden.timesteps.length).toBeGreaterThan(90);
    for (const [num_train_timesteps, original_inference_steps, timesteps] of golden.timesteps) {
      for (const beta_schedule of ['linear', 'scaled_linear'] as const) {
        const values = { num_train_timesteps, original_inference_steps, beta_schedule };
        expect(createLcmScheduler(config(values), timesteps.length).timesteps, JSON.stringify(values)).toEqual(
          timesteps,
        );
      }
    }
  });

  it.each(golden.chains)('samples as diffusers: $steps steps, $config', (chain) => {
    const scheduler = createLcmScheduler(config(chain.config), chain.steps);
    const generator = createGenerator(chain.seed);
    expect(scheduler.initNoiseSigma).toBe(1);
    expect(chain.results).toHaveLength(chain.steps);
    let sample: Float32Array = floats(chain.sample);
    for (const [index, expected] of chain.results.entries()) {
      const before = sample.slice();
      const result = scheduler.step(floats(expected.modelOutput), index, sample, () => generator.randn(before.length));
      expect(sample).toEqual(before);
      expect(worst(result.denoised, floats(expected.denoised))).toBeLessThanOrEqual(1e-6);
      expect(worst(result.prevSample, floats(expected.prevSample))).toBeLessThanOrEqual(1e-6);
      sample = result.prevSample;
    }
  });

  it('retraces the reference run of the tiny family from its seed', () => {
    const { count, init, results } = golden.reference;
    const scheduler = createLcmScheduler(config({ beta_schedule: 'linear' }), results.length);
    const generator = createGenerator(0);
    const firstValues = () => generator.randn(count).subarray(0, floats(init).length);
    const initial = firstValues();
    expect(worst(initial, floats(init))).toBeLessThanOrEqual(2e-6);
    // Each step starts from the reference's latents, so that what is compared is one step and one draw of noise.
    let sample = floats(init);
    for (const [index, expected] of results.entries()) {
      const { prevSample } = scheduler.step(floats(expected.modelOutput), index, sample, firstValues);
      sample = floats(expected.prevSample);
      expect(worst(prevSample, sample)).toBeLessThanOrEqual(2e-6);
    }
  });

  it('returns the denoised sample from the last step, without drawing noise', () => {
    const scheduler = createLcmScheduler(config(), 1);
    const refuse = () => expect.unreachable('noise was drawn');
    const { prevSample, denoised } = scheduler.step(Float32Array.of(0.5), 0, Float32Array.of(1), refuse);
    expect(prevSample).toEqual(denoised);
  });

  it.each([0, -1, 51, 1.5, Number.NaN])('refuses %s steps of 50', (steps) => {
    expect(() => createLcmScheduler(config(), steps)).toThrow(UsageError);
    expect(() => createLcmScheduler(config(), steps)).toThrow(
      /whole number from 1 to original_inference_steps, which is 50/,
    );
  });

  it('refuses more original steps than the model was trained on', () => {
    const tooMany = config({ original_inference_steps: 1001 });
    expect(() => createLcmScheduler(tooMany, 4)).toThrow(/original_inference_steps is 1001, more than the 1000/);
    expect(createLcmScheduler(config({ original_inference_steps: 1000 }), 4).timesteps).toHaveLength(4);
  });

  it('refuses arrays of another length and a step past the end', () => {
    const scheduler = createLcmScheduler(config(), 2);
    const [two, three] = [new Float32Array(2), new Float32Array(3)];
    expect(() => scheduler.step(two, 0, three, () => three)).toThrow(
      /model output has 2 values where the sample has 3/,
    );
    expect(() => scheduler.step(three, 0, three, () => two)).toThrow(/noise has 2 values where the sample has 3/);
    expect(() => scheduler.step(three, 2, three, () => three)).toThrow(RuntimeFailure);
  });
});

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  readSavedScheduler,
  type SamplerConfig,
  type SamplerKind,
  samplerConfig,
} from '../../../src/architecture/sampler-config.ts';
import { samplerTimesteps } from '../../../src/architecture/timesteps.ts';
import { RuntimeFailure, UsageError } from '../../../src/errors.ts';
import { createGenerator } from '../../../src/runtime/noise.ts';
import { relativeRms } from '../../../src/runtime/relative-rms.ts';
import { createScheduler } from '../../../src/runtime/schedulers/index.ts';

type Given = Partial<SamplerConfig>;

/** Made by `python test/oracle/samplers.py`; tensors are float32, little-endian, base64. */
interface Golden {
  readonly timesteps: readonly (readonly [SamplerKind, Given, steps: number, timesteps: readonly number[] | null])[];
  /** SHA-256 of the JSON of the timesteps for every number of steps, and for how many of them there are none. */
  readonly timestepDigests: readonly (readonly [SamplerKind, Given, refused: number, sha256: string])[];
  readonly trajectories: readonly {
    readonly kind: SamplerKind;
    readonly config: Given;
    readonly steps: number;
    readonly init: string;
    readonly latents: readonly string[];
  }[];
}

const golden = JSON.parse(await readFile('test/golden/samplers.json', 'utf8')) as Golden;
const floats = (base64: string) => new Float32Array(Uint8Array.from(Buffer.from(base64, 'base64')).buffer);
const f32 = Math.fround;

/** Up to which the digests go. */
const MOST_STEPS = 200;

/** With what the oracle gives each of them. */
function config(kind: SamplerKind, given: Given = {}): SamplerConfig {
  const noise = { beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'linear', clip_sample: false };
  const saved = readSavedScheduler({ _class_name: 'DDIMScheduler', ...noise, ...given }, 'scheduler_config.json');
  return samplerConfig(saved, kind);
}

/** As in the oracle: each operation rounded to float32. */
function toyModel(x: Float32Array, timestep: number): Float32Array {
  const gain = f32(0.5 + timestep / 2048);
  return x.map((value, i) => {
    const v = f32(value + f32((x.at(i - 1) as number) * 0.25));
    return f32(v / f32(Math.sqrt(f32(f32(v * v) + 1)))) * gain;
  });
}

describe('samplerTimesteps', () => {
  it.each(golden.timesteps)('%s %j, %i steps', (kind, given, steps, expected) => {
    const timesteps = () => samplerTimesteps(config(kind, given), steps);
    if (expected) expect(timesteps()).toEqual(expected);
    else expect(timesteps).toThrow(UsageError);
  });

  it.each(golden.timestepDigests)('%s %j, every number of steps (%i refused)', (kind, given, refused, sha256) => {
    const sampler = config(kind, given);
    const every = Array.from({ length: Math.min(MOST_STEPS, sampler.num_train_timesteps) }, (_, i) => {
      try {
        return samplerTimesteps(sampler, i + 1);
      } catch (error) {
        expect(error).toBeInstanceOf(UsageError);
        return null;
      }
    });
    expect(every.filter((timesteps) => timesteps === null)).toHaveLength(refused);
    expect(createHash('sha256').update(JSON.stringify(every)).digest('hex')).toBe(sha256);
  });

  it.each([
    ['euler', { timestep_spacing: 'linspace' }, 25, /timestep 957\.375, but its graph takes whole timesteps only/],
    ['ddim', { timestep_spacing: 'trailing' }, 61, /timestep -1; it was trained on 0 to 999/],
    ['ddim', { steps_offset: 1 }, 1000, /timestep 1000; it was trained on 0 to 999/],
    ['dpmpp_2m', {}, 1000, /would take timestep 500 twice/],
    ['dpmpp_2m', { timestep_spacing: 'leading' }, 1000, /would take timestep 0 twice/],
    [
      'euler',
      {},
      0,
      /0 sampling steps cannot be taken: EulerDiscreteScheduler takes a whole number from 1 to the 1000/,
    ],
    ['dpmpp_2m_karras', {}, 1001, /DPMSolverMultistepScheduler takes a whole number/],
    ['ddim', {}, 2.5, /takes a whole number/],
  ] as const)('refuses %s %j of %d steps', (kind, given, steps, message) => {
    expect(() => createScheduler(config(kind, given), steps)).toThrow(UsageError);
    expect(() => createScheduler(config(kind, given), steps)).toThrow(message);
  });
});

describe('createScheduler', () => {
  it.each(golden.trajectories)('keeps to the trajectory of diffusers: $kind, $steps steps, $config', (expected) => {
    const scheduler = createScheduler(config(expected.kind, expected.config), expected.steps);
    const generator = createGenerator(expected.steps);
    const init = generator.randn(floats(expected.init).length).map((x) => x * scheduler.initNoiseSigma);
    expect(relativeRms(init, floats(expected.init))).toBeLessThanOrEqual(1e-6);

    let latents: Float32Array = floats(expected.init);
    const errors = scheduler.timesteps.map((timestep, index) => {
      const before = latents.slice();
      const output = toyModel(scheduler.scaleModelInput?.(latents, index) ?? latents, timestep);
      const step = scheduler.step(output, index, latents, () => generator.randn(latents.length));
      expect(latents).toEqual(before);
      latents = step.prevSample;
      return relativeRms(latents, floats(expected.latents[index] as string));
    });
    expect(errors).toHaveLength(expected.latents.length);
    expect(Math.max(...errors)).toBeLessThanOrEqual(1e-5);
  });

  it.each(['ddim', 'dpmpp_2m', 'dpmpp_2m_karras', 'euler'] as const)('%s draws no noise and ends clean', (kind) => {
    const scheduler = createScheduler(config(kind), 1);
    const { prevSample, denoised } = scheduler.step(Float32Array.of(0.5), 0, Float32Array.of(1), () =>
      expect.unreachable('noise was drawn'),
    );
    expect(relativeRms(prevSample, denoised)).toBeLessThan(1e-6);
  });

  it.each(['ddim', 'dpmpp_2m', 'euler'] as const)('%s refuses another length and a step past the end', (kind) => {
    const scheduler = createScheduler(config(kind), 2);
    const [two, three] = [new Float32Array(2), new Float32Array(3)];
    const none = () => three;
    expect(() => scheduler.step(two, 0, three, none)).toThrow(/model output has 2 values where the sample has 3/);
    expect(() => scheduler.step(three, 2, three, none)).toThrow(RuntimeFailure);
  });

  it('takes the steps of a multistep solver in order only', () => {
    const scheduler = createScheduler(config('dpmpp_2m'), 4);
    const x = new Float32Array(2);
    scheduler.step(x, 0, x, () => x);
    expect(() => scheduler.step(x, 2, x, () => x)).toThrow(/Step 2 of a multistep scheduler was asked without step 1/);
  });
});

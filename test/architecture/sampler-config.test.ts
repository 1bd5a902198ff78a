import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { readConfig } from '../../src/architecture/config-file.ts';
import {
  readSavedScheduler,
  SAMPLER_KINDS,
  type SamplerConfig,
  type SamplerKind,
  samplerConfig,
  schedulerClass,
  schedulerConfigJson,
} from '../../src/architecture/sampler-config.ts';
import { FormatError } from '../../src/errors.ts';

type Fields = Readonly<Record<string, unknown>>;

/** Made by `python test/oracle/samplers.py`, with lambda_min_clipped left out. */
interface Golden {
  readonly defaults: Readonly<Record<string, Fields>>;
  readonly packages: readonly {
    readonly base: Fields;
    readonly kind: SamplerKind;
    /** What diffusers saves … */
    readonly saved: Fields;
    /** … and what `from_config` of each kind's class makes of it: the fields that the class knows. */
    readonly as: Readonly<Record<SamplerKind, Partial<SamplerConfig>>>;
  }[];
}

const golden = JSON.parse(await readFile('test/golden/samplers.json', 'utf8')) as Golden;
const FILE = 'package/scheduler_config.json';

describe('schedulerConfigJson', () => {
  it.each(SAMPLER_KINDS)('has the fields and defaults of diffusers: %s', (kind) => {
    const { clip_sample: _ours, use_karras_sigmas: _fixed, ...written } = schedulerConfigJson({ kind }) as Fields;
    const { clip_sample: _theirs, use_karras_sigmas: _free, ...defaults } = golden.defaults[schedulerClass(kind)]!;
    expect(written).toEqual(defaults);
  });

  it.each(golden.packages)('is what from_config of the base gives: $kind, $base', ({ base, kind, saved }) => {
    const { beta_start, beta_end, num_train_timesteps, set_alpha_to_one, steps_offset } =
      base as unknown as SamplerConfig;
    const written: Fields = schedulerConfigJson({
      kind,
      ...{ beta_start, beta_end, num_train_timesteps, set_alpha_to_one, steps_offset },
      beta_schedule: 'linear',
      timestep_spacing: 'trailing',
      original_inference_steps: 100,
    });
    expect(saved).toMatchObject(written);
    // What diffusers keeps besides is of other classes, and what they would take anyway.
    for (const [field, value] of Object.entries(saved)) {
      if (Object.hasOwn(written, field) || field === 'skip_prk_steps') continue;
      const others = Object.values(golden.defaults).filter((fields) => Object.hasOwn(fields, field));
      expect(others.map((fields) => fields[field])).toEqual(others.map(() => value));
    }
    for (const other of SAMPLER_KINDS) {
      const [ours, theirs] = [written, saved].map((json) => samplerConfig(readSavedScheduler(json, FILE), other));
      expect(ours).toEqual(theirs);
    }
  });
});

describe('samplerConfig', () => {
  it.each(golden.packages)('is from_config of diffusers, whatever the file’s class: $kind, $base', (each) => {
    const saved = readSavedScheduler(each.saved, FILE);
    expect(saved.kind).toBe(each.kind);
    for (const kind of SAMPLER_KINDS)
      expect(samplerConfig(saved, kind), kind).toMatchObject({ kind, ...each.as[kind] });
  });

  it('gives a class that the file says nothing of its own defaults', () => {
    const euler = readSavedScheduler({ _class_name: 'EulerDiscreteScheduler', steps_offset: 1 }, FILE);
    expect(samplerConfig(euler)).toMatchObject({ kind: 'euler', timestep_spacing: 'linspace', beta_end: 0.02 });
    expect(samplerConfig(euler, 'lcm')).toMatchObject({
      timestep_spacing: 'leading',
      beta_end: 0.012,
      steps_offset: 1,
    });
    expect(() => samplerConfig(euler, 'ddim')).toThrow(
      /clip_sample is true, the default of DDIMScheduler, which is not/,
    );
  });

  it('reads the infinity that diffusers saves', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'scheduler-'));
    const file = join(folder.path, 'scheduler_config.json');
    await writeFile(
      file,
      '{"_class_name": "DPMSolverMultistepScheduler",\n  "lambda_min_clipped": -Infinity,\n  "solver_order": 2}',
    );
    const read = await readConfig(file, z.unknown(), (raw) => raw);
    expect(readSavedScheduler(read, file).kind).toBe('dpmpp_2m');
  });
});

describe('readSavedScheduler', () => {
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [[], /not a JSON object/],
    [null, /not a JSON object/],
    [{}, /_class_name is missing; expected one of LCMScheduler, DDIMScheduler/],
    [{ _class_name: 'PNDMScheduler' }, /_class_name is "PNDMScheduler"/],
    [{ _class_name: 'DDIMScheduler' }, /clip_sample is true, the default of DDIMScheduler,.* Set it to false/],
    [{ _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true }, /use_karras_sigmas is true, which is not/],
    [{ _class_name: 'EulerDiscreteScheduler', interpolation_type: 'log_linear' }, /interpolation_type is "log_linear"/],
    [{ _class_name: 'EulerDiscreteScheduler', timestep_type: 'continuous' }, /timestep_type is "continuous"/],
    [{ _class_name: 'EulerDiscreteScheduler', use_exponential_sigmas: true }, /use_exponential_sigmas is true/],
    ...[
      { algorithm_type: 'sde-dpmsolver++' },
      { solver_order: 3 },
      { solver_type: 'heun' },
      { final_sigmas_type: 'sigma_min' },
      { use_beta_sigmas: true },
      { use_lu_lambdas: true },
      { use_flow_sigmas: true },
      { lambda_min_clipped: -5.1 },
      { variance_type: 'learned' },
      { thresholding: true },
    ].map((option) => {
      const [name] = Object.keys(option);
      return [
        { _class_name: 'DPMSolverMultistepScheduler', ...option },
        new RegExp(`${name} is .* Set it to`),
      ] as const;
    }),
    [{ clip_sample: true }, /clip_sample is true, which/],
    [{ thresholding: true }, /thresholding is true/],
    [{ rescale_betas_zero_snr: true }, /rescale_betas_zero_snr is true/],
    [{ trained_betas: [0.1] }, /trained_betas is \[0\.1\]/],
    [
      { beta_schedule: 'squaredcos_cap_v2' },
      /beta_schedule is "squaredcos_cap_v2"; expected one of linear, scaled_linear/,
    ],
    [{ beta_start: 0 }, /beta_start is 0; expected a number above 0/],
    [{ beta_end: '0.012' }, /beta_end is "0.012"/],
    [{ prediction_type: 'toString' }, /prediction_type is "toString"; expected one of epsilon/],
    [{ timestep_spacing: 'even' }, /timestep_spacing is "even"; expected one of leading, linspace, trailing/],
    [{ steps_offset: -1 }, /steps_offset is -1; expected a whole number/],
    [{ set_alpha_to_one: 1 }, /set_alpha_to_one is 1; expected true or false/],
    [{ num_train_timesteps: 1e9 }, /num_train_timesteps is 1000000000/],
    [{ num_train_timesteps: 1 }, /num_train_timesteps is 1;/],
    [{ original_inference_steps: 0 }, /original_inference_steps is 0/],
    [{ original_inference_steps: 1001 }, /original_inference_steps is 1001, more than the 1000/],
    [{ timestep_scaling: null }, /timestep_scaling is null/],
  ];
  it.each(refused)('refuses %j', (json, message) => {
    const isPartial = Object.keys(json ?? []).length > 0 && !Object.hasOwn(json as object, '_class_name');
    const whole = isPartial ? { _class_name: 'LCMScheduler', ...(json as object) } : json;
    const read = () => readSavedScheduler(whole, FILE);
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
    expect(read).toThrow(/^package\/scheduler_config\.json/);
  });
});

import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { FormatError, InputMissingError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { LOCK_FILE } from '../../src/export/lock.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { type HostTensor, startHost } from '../../src/runtime/host.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { openPackage, type VideoPackage } from '../../src/runtime/package-folder.ts';
import { type ClipOptions, sample, type Video } from '../../src/runtime/pipeline.ts';
import { openGolden } from '../helpers/golden.ts';
import { sampleKept } from '../helpers/kept-graphs.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

/** Relative RMS errors that PyTorch's float32 answers may be missed by: of one evaluation, and of a whole trajectory. */
const LIMIT = { fp32: 1e-5, fp16: 3e-3 } as const;

/** Made by `python test/oracle/golden_graphs.py`; inputs are `torch.randn` of a shape after `manual_seed`. */
interface Seeded {
  readonly seed: number;
  readonly shape: readonly number[];
}
type GraphCase =
  | {
      readonly kind: 'unet';
      readonly norm: 'per-frame' | 'pooled';
      readonly timestep: number;
      readonly sample: Seeded;
      readonly encoder_hidden_states: Seeded;
    }
  | {
      readonly kind: 'text_encoder';
      readonly prompt: string;
      readonly input_ids: readonly number[];
      readonly token_stride: number;
    }
  | {
      readonly kind: 'vae_decoder';
      readonly latent_sample: Seeded;
      readonly shape: readonly number[];
      readonly flat_stride: number;
    }
  | { readonly kind: 'vae_encoder'; readonly sample: Seeded; readonly shape: readonly number[] }
  | {
      readonly kind: 'trajectory';
      readonly prompt: string;
      readonly negative: string;
      readonly seed: number;
      readonly steps: number;
      readonly guidance: number;
      readonly beta_schedule: 'linear' | 'scaled_linear';
      readonly original_inference_steps: number;
    };
type Kind = GraphCase['kind'];

const golden = await openGolden<Readonly<Record<string, GraphCase>>>('test/golden/graphs.safetensors');
const casesOf = <K extends Kind>(kind: K) =>
  Object.entries(golden.cases).filter(
    (entry): entry is [string, Extract<GraphCase, { kind: K }>] => entry[1].kind === kind,
  );

/** Packages of models/tiny, baked once. */
const PACKAGES = {
  'fp16 static': {},
  'fp16 dynamic': { output: { shapes: 'dynamic', vae_encoder: true } },
  'fp32 dynamic': { output: { shapes: 'dynamic', dtype: 'fp32', vae_encoder: true } },
  'fp32 pooled': { output: { shapes: 'dynamic', dtype: 'fp32' }, motion: { norm: 'pooled' } },
  'fp16 for two prompts': { sampler: { guidance: 2 } },
  'fp16 of two shapes': {
    output: {
      shapes: [
        { frames: 2, width: 64, height: 64 },
        { frames: 3, width: 48, height: 64 },
      ],
      frames: 2,
      width: 64,
      height: 64,
    },
  },
  'fp16, VAE in fp32': { output: { vae_dtype: 'fp32' } },
} as const satisfies Record<string, Readonly<Record<string, Section>>>;

const packages = {} as Record<keyof typeof PACKAGES, VideoPackage>;

beforeAll(async () => {
  for (const name of Object.keys(PACKAGES) as (keyof typeof PACKAGES)[]) {
    const { folder } = await drain(bake(await plan(tinyRecipe(PACKAGES[name])), { into: await temporaryFolder() }));
    if (name.startsWith('fp32')) await roundWeights(folder);
    packages[name] = await openPackage(folder);
  }
});

/** The golden files have float32 arithmetic on weights that were rounded to float16; positional encodings are not. */
async function roundWeights(folder: string): Promise<void> {
  for (const model of Object.values((await openPackage(folder)).models)) {
    const path = `${model}_data`;
    const data = new Uint8Array(await readFile(path));
    for (const { name, external } of (await readModelInfo(model)).initializers) {
      if (!external || name.endsWith('.pe')) continue;
      const weight = new Float32Array(data.buffer, external.offset, external.length / 4);
      for (const [i, value] of weight.entries()) weight[i] = Math.f16round(value);
    }
    await writeFile(path, data);
  }
}

function randn({ seed, shape }: Seeded): HostTensor {
  const count = shape.reduce((n, dim) => n * dim, 1);
  return { type: 'float32', dims: shape, data: createGenerator(seed).randn(count) };
}

/** One evaluation of one of a package's graphs. */
async function evaluate(
  pkg: VideoPackage,
  component: keyof VideoPackage['models'],
  target: 'portable' | 'cpu',
  inputs: readonly Readonly<Record<string, HostTensor>>[],
): Promise<Float32Array[]> {
  await using host = startHost();
  const portable = pkg.models[component] as string;
  await using session = await host.load(target === 'cpu' ? portable.replace('.onnx', '.cpu.onnx') : portable, 'cpu');
  const outputs: Float32Array[] = [];
  for (const feeds of inputs) outputs.push(Object.values((await session.run(feeds)).outputs)[0]?.data as Float32Array);
  return outputs;
}

describe.each(['portable', 'cpu'] as const)('the %s graphs give what PyTorch gives', (target) => {
  it.each([
    ['fp32 dynamic', 'per-frame', 'fp32'],
    ['fp32 pooled', 'pooled', 'fp32'],
    ['fp16 dynamic', 'per-frame', 'fp16'],
  ] as const)('UNetMotionModel, %s, GroupNorm %s, at every size', async (name, norm, dtype) => {
    const cases = casesOf('unet').filter(([, c]) => c.norm === norm);
    expect(cases.length).toBeGreaterThanOrEqual(8);
    const outputs = await evaluate(
      packages[name],
      'unet',
      target,
      cases.map(([, c]) => ({
        sample: randn(c.sample),
        timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(c.timestep)) },
        encoder_hidden_states: randn(c.encoder_hidden_states),
      })),
    );
    const errors: Record<string, number> = {};
    for (const [i, [tensor]] of cases.entries())
      errors[tensor] = relativeRms(outputs[i] as Float32Array, await golden.tensor(tensor));
    expect(Object.entries(errors).filter(([, error]) => !(error < LIMIT[dtype]))).toEqual([]);
    // the two norms are further apart than the limit, so passing for one is not passing for the other
    const [first] = cases[0] as [string, unknown];
    const other = first.replace(norm, norm === 'pooled' ? 'per-frame' : 'pooled');
    expect(relativeRms(outputs[0] as Float32Array, await golden.tensor(other))).toBeGreaterThan(LIMIT.fp16);
  });

  it('UNetMotionModel of a fixed size', async () => {
    const [tensor, c] = casesOf('unet').find(([name]) => name === 'unet.per-frame.b1f16h8w8.t259') as [
      string,
      Extract<GraphCase, { kind: 'unet' }>,
    ];
    const feeds = {
      sample: randn(c.sample),
      timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(c.timestep)) },
      encoder_hidden_states: randn(c.encoder_hidden_states),
    } as const;
    const [output] = await evaluate(packages['fp16 static'], 'unet', target, [feeds]);
    expect(relativeRms(output as Float32Array, await golden.tensor(tensor))).toBeLessThan(LIMIT.fp16);
  });

  it.each([
    ['fp32 dynamic', 'fp32'],
    ['fp16 static', 'fp16'],
  ] as const)('CLIPTextModel, %s', async (name, dtype) => {
    const pkg = packages[name];
    const cases = casesOf('text_encoder');
    const ids = cases.map(([, { prompt }]) => pkg.tokenizer.encodePadded(prompt));
    expect(ids.map((row) => Array.from(row, Number))).toEqual(cases.map(([, { input_ids }]) => input_ids));
    const outputs = await evaluate(
      pkg,
      'text_encoder',
      target,
      ids.map((data) => ({ input_ids: { type: 'int64', dims: [1, 77], data } })),
    );
    for (const [i, [tensor, { token_stride }]] of cases.entries()) {
      const width = (outputs[i] as Float32Array).length / 77;
      const kept = (outputs[i] as Float32Array).filter((_, at) => Math.floor(at / width) % token_stride === 0);
      expect(relativeRms(kept, await golden.tensor(tensor)), tensor).toBeLessThan(LIMIT[dtype]);
    }
  });

  it.each([
    ['fp32 dynamic', 'fp32'],
    ['fp16 dynamic', 'fp16'],
  ] as const)('AutoencoderKL’s encoder, %s, at every size', async (name, dtype) => {
    const cases = casesOf('vae_encoder');
    expect(cases.map(([, { shape }]) => shape.slice(2))).toEqual([
      [8, 8],
      [6, 10],
      [6, 8], // of 52×71 pixels
    ]);
    const outputs = await evaluate(
      packages[name],
      'vae_encoder',
      target,
      cases.map(([, { sample }]) => ({ sample: randn(sample) })),
    );
    for (const [i, [tensor]] of cases.entries())
      expect(relativeRms(outputs[i] as Float32Array, await golden.tensor(tensor)), tensor).toBeLessThan(LIMIT[dtype]);
  });

  it.each([
    ['fp32 dynamic', 'fp32'],
    ['fp16 static', 'fp16'],
    ['fp16, VAE in fp32', 'fp32'],
  ] as const)('AutoencoderKL’s decoder, %s', async (name, dtype) => {
    for (const [tensor, c] of casesOf('vae_decoder')) {
      const [output] = await evaluate(packages[name], 'vae_decoder', target, [
        { latent_sample: randn(c.latent_sample) },
      ]);
      expect(output).toHaveLength(c.shape.reduce((n, dim) => n * dim, 1));
      const kept = (output as Float32Array).filter((_, at) => at % c.flat_stride === 0);
      expect(relativeRms(kept, await golden.tensor(tensor))).toBeLessThan(LIMIT[dtype]);
    }
  });
});

const PROMPT = 'a red circle';
const run = (pkg: VideoPackage, options: Partial<ClipOptions> = {}, onEvent?: (event: Event) => void): Promise<Video> =>
  drain(sampleKept(pkg, { prompt: PROMPT, ...options }), onEvent);
/** In a process of its own. */
const runAlone = (
  pkg: VideoPackage,
  options: Partial<ClipOptions> = {},
  onEvent?: (event: Event) => void,
): Promise<Video> => drain(sample(pkg, { prompt: PROMPT, device: 'cpu', ...options }), onEvent);

describe('sample', () => {
  it('retraces the reference run of the tiny family, step by step and to the pixel', async () => {
    const reference = await openGolden('models/tiny/reference.safetensors');
    const video = await runAlone(packages['fp16 static']);
    expect(video.shape).toEqual([1, 4, 16, 8, 8]);
    expect(video.trajectory).toHaveLength(4);
    for (const [i, latents] of video.trajectory.entries()) {
      expect(relativeRms(latents, await reference.tensor(`latents.${i}`)), `step ${i}`).toBeLessThan(LIMIT.fp16);
    }
    expect(video.latents).toEqual(video.trajectory[3]);
    expect(video.decoded.finite).toBe(true);
    // the decoder's [−1, 1] as 8 bits, frames [16, 3, 64, 64] as [16, 64, 64, 3]
    const expected = await reference.tensor('frames');
    const { frames } = video;
    expect([frames.count, frames.height, frames.width]).toEqual([16, 64, 64]);
    let [wrong, largest] = [0, 0];
    for (let i = 0; i < expected.length; i += 1) {
      const [frame, channel, at] = [Math.floor(i / (3 * 4096)), Math.floor(i / 4096) % 3, i % 4096];
      const byte = Math.min(255, Math.max(0, Math.round(((expected[i] as number) / 2 + 0.5) * 255)));
      const error = Math.abs(byte - (frames.data[(frame * 4096 + at) * 3 + channel] as number));
      if (error > 1) wrong += 1;
      largest = Math.max(largest, error);
    }
    expect(wrong / expected.length).toBeLessThan(0.01);
    expect(largest).toBeLessThanOrEqual(8);
  });

  const trajectories = casesOf('trajectory');

  it.each(trajectories)('ends where diffusers ends: %s', async (tensor, c) => {
    const { beta_schedule, original_inference_steps, ...options } = c;
    // a schedule is the package's: here as if it had been baked with this one
    const pkg = packages['fp32 dynamic'];
    const fields = { ...pkg.scheduler.fields, beta_schedule, original_inference_steps };
    const scheduler = { ...pkg.scheduler, fields };
    const { latents } = await run({ ...pkg, scheduler }, options);
    expect(relativeRms(latents, await golden.tensor(tensor))).toBeLessThan(LIMIT.fp32);
  });

  it('guides alike through a graph of one prompt at a time and of two', async () => {
    const [tensor, c] = trajectories.find(([, { guidance }]) => guidance === 2) as (typeof trajectories)[number];
    const expected = await golden.tensor(tensor);
    for (const [name, batch] of [
      ['fp16 static', 1],
      ['fp16 for two prompts', 2],
    ] as const) {
      expect(packages[name].graph.batch).toBe(batch);
      // guidance amplifies the rounding of two predictions
      expect(relativeRms((await run(packages[name], c)).latents, expected), name).toBeLessThan(2 * LIMIT.fp16);
    }
    // at 1 the negative prompt has no part, also where the graph takes two
    const unguided = await run(packages['fp16 for two prompts'], { ...c, guidance: 1 });
    expect(relativeRms(unguided.latents, await golden.tensor('trajectory.0'))).toBeLessThan(LIMIT.fp16);
    expect(relativeRms(unguided.latents, expected)).toBeGreaterThan(10 * LIMIT.fp16);
  });

  it('is the same for a seed every time', async () => {
    const [a, b] = [
      await run(packages['fp16 static'], { steps: 1 }),
      await runAlone(packages['fp16 static'], { steps: 1, seed: 0 }),
    ];
    expect(b.latents).toEqual(a.latents);
    expect(b.frames.data).toEqual(a.frames.data);
  });

  it('takes from the lock what is not said, and lengths of its own where the graph leaves them open', async () => {
    const pkg = packages['fp32 dynamic'];
    const events: Event[] = [];
    const whole = await run(pkg, { steps: 1 }, (event) => events.push(event));
    expect(whole.shape).toEqual([1, 4, 16, 8, 8]);
    const small = await run(pkg, { steps: 1, frames: 5, width: 48, height: 72 });
    expect(small.shape).toEqual([1, 4, 5, 9, 6]);
    expect([small.frames.count, small.frames.height, small.frames.width]).toEqual([5, 72, 48]);
    expect((await run({ ...pkg, lock: undefined }, { frames: 2, width: 16, height: 16 })).timing.step_ms).toHaveLength(
      4,
    );
    expect(events.map((event) => event.type)).toEqual(['stage-started', 'latents', 'progress', 'stage-finished']);
    expect(whole.timing.peak_bytes).toBeGreaterThan(1e7);
  });

  it('takes the graph of the clip that is asked for', async () => {
    const pkg = packages['fp16 of two shapes'];
    const first = await run(pkg, { steps: 1 });
    expect(first.shape).toEqual([1, 4, 2, 8, 8]);
    const second = await run(pkg, { steps: 1, width: 48 });
    expect(second.shape).toEqual([1, 4, 3, 8, 6]);
    expect([second.frames.count, second.frames.height, second.frames.width]).toEqual([3, 64, 48]);
    expect(Object.values(second.graphs).map((path) => path.slice(pkg.folder.length + 1))).toEqual([
      'unet/model.cpu.3x48x64.onnx',
      'text_encoder/model.cpu.onnx',
      'vae_decoder/model.cpu.48x64.onnx',
    ]);
    // the same clip through a graph with open lengths
    const { latents } = await run(packages['fp16 dynamic'], { steps: 1, frames: 3, width: 48, height: 64 });
    expect(relativeRms(second.latents, latents)).toBeLessThan(1e-5);
    await expect(run(pkg, { frames: 3, width: 56 })).rejects.toThrow(
      /is made for 2 frames and a width of 64 and a height of 64, or 3 frames and a width of 48 and a height of 64, not for 3 frames and a width of 56/,
    );
  });

  it.each([
    [{ frames: 8 }, /is made for 16 frames and a width of 64 and a height of 64, not for 8 frames/],
    [{ width: 128 }, /is made for 16 frames and a width of 64 and a height of 64, not for a width of 128/],
    [{ height: 60 }, /height 60 is no positive multiple of 8/],
    [{ width: 0 }, /width 0 is no positive multiple of 8/],
    [{ frames: -1 }, /frame count -1 is no positive whole number/],
    [{ guidance: Number.NaN }, /guidance NaN is no finite number/],
    [{ steps: 51 }, /51 sampling steps cannot be taken/],
    [{ seed: 0.5 }, /seed 0\.5 cannot be used/],
  ])('refuses what the graph cannot do: %j', async (options, message) => {
    const running = runAlone(packages['fp16 static'], options);
    await expect(running).rejects.toThrow(UsageError);
    await expect(running).rejects.toThrow(message);
  });

  it('stops between steps and in the middle of one', async () => {
    const controller = new AbortController();
    const running = runAlone(
      packages['fp16 static'],
      { steps: 4, signal: controller.signal },
      (event) => event.type === 'progress' && controller.abort(new Error('enough')),
    );
    await expect(running).rejects.toThrow('enough');
    const soon = AbortSignal.timeout(30);
    await expect(runAlone(packages['fp16 static'], { steps: 50, signal: soon })).rejects.toThrow(/timeout/);
  });
});

describe('openPackage', () => {
  /** A copy of the static package without weights, to be damaged. */
  const copy = async () => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(packages['fp16 static'].folder, folder, {
      recursive: true,
      filter: (path) => !path.endsWith('model.onnx_data'),
    });
    return folder;
  };

  it('reads what the graph fixes off the graph', () => {
    expect(packages['fp16 static']).toMatchObject({
      graph: { batch: 1, frames: 16, height: 8, width: 8 },
      max_frames: 64,
      scaling_factor: 0.87699,
    });
    expect(packages['fp16 dynamic'].graph).toEqual({
      batch: undefined,
      frames: undefined,
      height: undefined,
      width: undefined,
    });
    expect(packages['fp16 static'].lock?.name).toBe('tiny');
  });

  it('opens packages of other tools, which have no lock', async () => {
    const folder = await copy();
    await rm(join(folder, LOCK_FILE));
    expect((await openPackage(folder)).lock).toBeUndefined();
  });

  it('names what is missing', async () => {
    const nowhere = join(await temporaryFolder(), 'nowhere');
    await expect(openPackage(nowhere)).rejects.toThrow(`The package ${nowhere} is not there, or is no folder.`);
    for (const file of [
      'unet/model.onnx',
      'vae_decoder/model.onnx',
      'vae_decoder/config.json',
      'scheduler/scheduler_config.json',
      'tokenizer/vocab.json',
      'unet/config.json',
    ]) {
      const folder = await copy();
      await rm(join(folder, file));
      const error = await openPackage(folder).catch((thrown: unknown) => thrown);
      expect(error, file).toBeInstanceOf(InputMissingError);
      expect((error as Error).message).toContain(join(folder, file));
    }
  });

  it('refuses a UNet that makes no video, and damaged files', async () => {
    const folder = await copy();
    await cp(join(folder, 'vae_decoder', 'model.onnx'), join(folder, 'unet', 'model.onnx'));
    await expect(openPackage(folder)).rejects.toThrow(
      /is not a video UNet: its input sample should be \[B, 4, F, h, w\], it is missing/,
    );
    for (const file of ['unet/model.onnx', 'vae_decoder/config.json', LOCK_FILE]) {
      const damaged = await copy();
      await writeFile(join(damaged, file), (await readFile(join(damaged, file))).subarray(0, 100));
      const error = await openPackage(damaged).catch((thrown: unknown) => thrown);
      expect(error, file).toBeInstanceOf(FormatError);
      expect((error as Error).message).toContain(join(damaged, file));
    }
  });
});

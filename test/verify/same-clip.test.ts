/** Real packages of models/tiny, sound and sabotaged, before the checks that hold a clip against another one of the same. */
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain, type Event } from '../../src/events.ts';
import { fromFloat32 } from '../../src/formats/dtype.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import type { Plan } from '../../src/merge/plan.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { openPackage, type VideoPackage } from '../../src/runtime/package-folder.ts';
import { sample, type Video } from '../../src/runtime/pipeline.ts';
import type { CheckContext, CheckResult, RunRequest } from '../../src/verify/check.ts';
import { readEarlier } from '../../src/verify/earlier.ts';
import { type Fingerprint, makeFingerprint } from '../../src/verify/fingerprint.ts';
import { CHECKS, digestPackage, verify } from '../../src/verify/gate.ts';
import { contextWith } from '../helpers/clip.ts';
import { sampleKept } from '../helpers/kept-graphs.ts';
import { overwrite } from '../helpers/overwrite.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, type Section, tinyRecipe } from '../helpers/tiny.ts';

const { onnx } = onnxProto;

const REFERENCE = { prompt: 'a red circle', seed: 0, device: 'cpu', reference: 'reference.safetensors' };
const REQUEST: RunRequest = { prompt: 'a red circle', negative: '', seed: 0, guidance: 1 };

interface Ran {
  readonly folder: string;
  readonly plan: Plan;
  readonly video: Video;
}

async function bakeAndRun(changes: Readonly<Record<string, Section>> = {}): Promise<Ran> {
  const folder = join(await temporaryFolder(), 'package');
  await mkdir(folder);
  const { plan } = await bakeAndCheck(tinyRecipe({ verify: REFERENCE, ...changes }), folder);
  return { folder, plan, video: await run(folder) };
}

async function run(folder: string): Promise<Video> {
  return drain(sample(await openPackage(folder), { ...REQUEST, device: 'cpu' }));
}

/** The sound package again, whose graphs stay loaded; with another scheduler, too, which is in none of them. */
async function runSound(
  changes: Partial<RunRequest>,
  { scheduler }: Partial<Pick<VideoPackage, 'scheduler'>> = {},
): Promise<Video> {
  const pkg = await openPackage(sound.folder);
  return drain(sampleKept({ ...pkg, scheduler: scheduler ?? pkg.scheduler }, { ...REQUEST, ...changes }));
}

/** What one check says, or that it has nothing to say. */
async function judge(
  id: string,
  { folder, plan, video }: Ran,
  changes: Partial<CheckContext> = {},
): Promise<CheckResult | 'left out'> {
  const pkg = await openPackage(folder);
  const context = contextWith({
    ...{ pkg, plan, video, request: REQUEST, files: await digestPackage(folder) },
    earlier: await readEarlier(folder, true),
    ...changes,
  });
  const check = CHECKS.find((candidate) => candidate.id === id);
  if (!check) throw new RangeError(`There is no check ${id}.`);
  return (check.applies?.(context) ?? true) ? check.run(context) : 'left out';
}

let sound: Ran;
/** With the LCM LoRA's alpha over rank ignored: eight times as strong. */
let eightfold: Ran;
beforeAll(async () => {
  sound = await bakeAndRun();
  eightfold = await bakeAndRun({ lcm: { scale: 'raw' } });
});

const altered = async (alter: (folder: string) => Promise<unknown>): Promise<Ran> => {
  const folder = join(await temporaryFolder(), 'package');
  await cp(sound.folder, folder, { recursive: true });
  await alter(folder);
  return { ...sound, folder };
};

describe('agreement', () => {
  it('passes what was baked, in all three parts', async () => {
    const result = await judge('agreement', sound);
    expect(result).toMatchObject({ verdict: 'passed' });
    const { figures } = result as CheckResult;
    for (const part of ['text_encoder', 'unet', 'vae_decoder']) {
      expect(figures[part]).toBeGreaterThan(1e-6); // float32 against fp16 arithmetic: two computations
      expect(figures[part]).toBeLessThan(2e-3);
    }
  });

  it('fails when the graph that ran takes one weight for another of its shape', async () => {
    const { folder } = await altered(async (at) => {
      const path = join(at, 'unet/model.cpu.onnx');
      const model = onnx.ModelProto.decode(await readFile(path));
      const [a, b] = ['to_q', 'to_v'].map((leaf) =>
        model.graph?.initializer?.find(
          ({ name }) => name === `down_blocks.0.attentions.0.transformer_blocks.0.attn1.${leaf}.weight`,
        ),
      );
      if (!a?.externalData || !b?.externalData) throw new RangeError('The graph has no such weights.');
      [a.externalData, b.externalData] = [b.externalData, a.externalData];
      await writeFile(path, onnx.ModelProto.encode(model).finish());
    });
    const result = await judge('agreement', { ...sound, folder, video: await run(folder) });
    expect(result).toMatchObject({ verdict: 'failed' });
    expect((result as CheckResult).reason).toMatch(
      /^unet\/model\.cpu\.onnx on cpu differs by \S+ \(limit 0\.020\) from the portable graph on the CPU\.$/,
    );
  });

  it('fails when the device gave other text states and another picture, and names both', async () => {
    const { first, frames } = sound.video;
    const states = first.states.map(({ dims, data }) => ({ dims, data: data.map((x) => x * 1.05) }));
    const darker = { ...frames, data: frames.data.map((x) => x * 0.9) };
    const video = { ...sound.video, first: { ...first, states }, frames: darker };
    const { reason } = (await judge('agreement', { ...sound, video })) as CheckResult;
    expect(reason).toContain('text_encoder/model.cpu.onnx on cpu differs by 5.0e-2');
    expect(reason).toContain('vae_decoder/model.cpu.onnx on cpu differs by');
  });

  it('has nothing to compare where the portable graphs themselves ran on the CPU', async () => {
    const { models } = await openPackage(sound.folder);
    expect(await judge('agreement', { ...sound, video: { ...sound.video, graphs: models } })).toBe('left out');
    expect(
      await judge('agreement', { ...sound, video: { ...sound.video, graphs: models, device: 'webgpu' } }),
    ).toMatchObject({ verdict: 'passed' });
  });
});

describe('reference', () => {
  it('passes the recipe of reference.safetensors, whose numbers are diffusers’', async () => {
    const result = (await judge('reference', sound)) as CheckResult;
    expect(result).toMatchObject({ verdict: 'passed' });
    expect(Object.keys(result.figures)).toEqual([
      ...['latents.init', 'encoder_hidden_states', 'noise_pred.0'],
      ...['latents.0', 'latents.1', 'latents.2', 'latents.3', 'latents', 'frames'],
    ]);
    expect(result.figures['latents']).toBeLessThan(5e-4);
  });

  it.each([
    ['another noise schedule', { beta_schedule: 'scaled_linear' }, 'latents.0 differs'],
    ['other timesteps', { original_inference_steps: 20 }, 'latents.0 differs'],
  ])('fails a package with %s', async (_, changes, reason) => {
    const ran = await altered((at) => edit(join(at, 'scheduler/scheduler_config.json'), changes));
    const result = await judge('reference', { ...ran, video: await runSound({}, await openPackage(ran.folder)) });
    expect(result).toMatchObject({ verdict: 'failed' });
    expect((result as CheckResult).reason).toContain(reason);
  });

  it.each([
    ['motion GroupNorm over all frames', { motion: { norm: 'pooled' } }, 'latents.0 differs by 1.3e-2'],
    [
      'a text-encoder LoRA dropped',
      { personalized: [{ lora: 'ink.safetensors', alpha: 0.8, text_encoder: 0 }] },
      'encoder_hidden_states differs',
    ],
  ])('fails a package with %s', async (_, changes, reason) => {
    const result = await judge('reference', await bakeAndRun(changes));
    expect(result).toMatchObject({ verdict: 'failed' });
    expect((result as CheckResult).reason).toContain(reason);
  });

  it('fails a package with alpha over rank ignored', async () => {
    expect(((await judge('reference', eightfold)) as CheckResult).reason).toContain('noise_pred.0 differs');
  });

  it('fails a run with another seed, guidance or prompt, and names what went apart first', async () => {
    const reason = async (changes: Partial<RunRequest>) =>
      ((await judge('reference', { ...sound, video: await runSound(changes) })) as CheckResult).reason;
    expect(await reason({ seed: 1 })).toContain('latents.init differs by 1.4e+0 (limit 0.00001)');
    expect(await reason({ prompt: 'a blue circle' })).toContain('encoder_hidden_states differs');
    expect(await reason({ guidance: 2 })).toContain('encoder_hidden_states is not of the same shape');
  });

  it('takes the fingerprint of another verification, too', async () => {
    const file = join(await temporaryFolder(), 'other.json');
    await writeFile(file, JSON.stringify(makeFingerprint(sound.video, { run: {}, package: {} })));
    const plan = {
      ...sound.plan,
      recipe: { ...sound.plan.recipe, verify: { ...sound.plan.recipe.verify, reference: file } },
    };
    expect(await judge('reference', { ...sound, plan })).toMatchObject({
      verdict: 'passed',
      figures: { frames: 0 },
    });
    const other = await runSound({ seed: 1 });
    expect(await judge('reference', { ...sound, plan, video: other })).toMatchObject({ verdict: 'failed' });
  });

  it('refuses a file that tells nothing of the result', async () => {
    const file = join(await temporaryFolder(), 'other.safetensors');
    const data = fromFloat32(Float32Array.of(1), 'F32');
    await writeSafetensors(file, [{ name: 'weight', dtype: 'F32', shape: [1], data }]);
    const plan = {
      ...sound.plan,
      recipe: { ...sound.plan.recipe, verify: { ...sound.plan.recipe.verify, reference: file } },
    };
    await expect(judge('reference', { ...sound, plan })).rejects.toThrow(
      /a reference has a tensor "latents" .* this one has weight/,
    );
  });

  it('is left out without the recipe', async () => {
    expect(await judge('reference', sound, { plan: undefined })).toBe('left out');
  });
});

describe('fingerprint', () => {
  let verified: Ran;
  beforeAll(async () => {
    verified = await altered((at) => drain(verify(at, { device: 'cpu', profile: 'quick' })));
  });
  const copied = async (alter: (file: string) => Promise<unknown>): Promise<Ran> => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(verified.folder, folder, { recursive: true });
    await alter(folder);
    return { ...verified, folder };
  };
  const file = (folder: string) => join(folder, 'verification/fingerprint.json');

  it('is made by the first verification, and held against the next', async () => {
    expect(await judge('fingerprint', sound)).toBe('left out');
    const {
      latents,
      frames,
      run: about,
      device,
    } = JSON.parse(await readFile(file(verified.folder), 'utf8')) as Fingerprint;
    expect(latents).toMatchObject({ shape: [4, 16, 8, 8], pooled: 1 });
    expect(new Set(frames.sha256).size).toBe(16);
    expect({ ...about, device }).toMatchObject({
      prompt: 'a red circle',
      steps: 4,
      frames: 16,
      width: 64,
      device: 'cpu',
    });

    const before = await readFile(file(verified.folder));
    const again = await drain(verify(verified.folder, { device: 'cpu', profile: 'quick' }));
    expect(again.checks.find(({ id }) => id === 'fingerprint')).toMatchObject({
      verdict: 'passed',
      figures: { identical_frames: 16, levels: 0 },
    });
    expect(again.frame_sha256).toEqual(frames.sha256);
    expect(await readFile(file(verified.folder))).toEqual(before);
  });

  it('passes graphs that compute in another type, and fails another clip', async () => {
    const portable = await altered(async (at) => {
      for (const model of ['text_encoder', 'unet', 'vae_decoder']) await rm(join(at, model, 'model.cpu.onnx'));
    });
    const video = await run(portable.folder);
    const same = (await judge('fingerprint', { ...verified, video })) as CheckResult;
    expect(same).toMatchObject({ verdict: 'passed' });
    expect(same.figures['latents']).toBeGreaterThan(3e-4);
    const other = await judge('fingerprint', { ...verified, video: await runSound({ seed: 1 }) });
    expect(other).toMatchObject({ verdict: 'failed' });
    const brighter = sound.video.frames.data.map((x) => Math.min(255, x + 2));
    const decoded = { ...sound.video, frames: { ...sound.video.frames, data: brighter } };
    expect(((await judge('fingerprint', { ...verified, video: decoded })) as CheckResult).reason).toContain(
      'the frames by 2.00 levels (limit 0.3)',
    );
  });

  it('fails when it lies beside other weights, keeps itself, and says what was changed', async () => {
    const { folder } = await copied((at) => overwrite(at, 'unet', 'conv_out.bias', (values) => values.fill(0.01)));
    const before = await readFile(file(folder));
    const report = await drain(verify(folder, { device: 'cpu', profile: 'quick' }));
    const found = report.checks.find(({ id }) => id === 'fingerprint');
    expect(found).toMatchObject({ verdict: 'failed' });
    expect(found?.reason).toMatch(/of other bytes \(unet\/model\.onnx_data\): they were changed after it was verified/);
    expect(await readFile(file(folder))).toEqual(before);
  });

  it('of the package to be replaced counts where the bytes are the same', async () => {
    const earlier = { ...(await readEarlier(verified.folder, false)) };
    expect(await judge('fingerprint', sound, { earlier })).toMatchObject({ verdict: 'passed' });
    const other = await altered((at) => edit(join(at, 'scheduler/scheduler_config.json'), { _note: 'another file' }));
    expect(await judge('fingerprint', other, { earlier })).toBe('left out');
  });

  it('cannot tell from that of another run', async () => {
    const { folder } = await copied((at) => edit(file(at), { run: { prompt: 'another', seed: 0 } }));
    expect(await judge('fingerprint', { ...sound, folder })).toMatchObject({
      verdict: 'unknown',
      reason: expect.stringContaining('prompt: another, now a red circle'),
    });
  });

  it('that cannot be read is warned of', async () => {
    const { folder } = await copied((at) => writeFile(file(at), '{"fingerprint_version":2}'));
    const events: Event[] = [];
    const report = await drain(verify(folder, { device: 'cpu', profile: 'quick' }), (event) => events.push(event));
    expect(report.checks.map(({ id }) => id)).not.toContain('fingerprint');
    expect(events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))).toEqual([
      expect.stringMatching(/^Nothing is compared with the earlier verification: .*fingerprint\.json/),
    ]);
  });
});

describe('run and frames', () => {
  it('fail a UNet whose last layer holds random numbers', async () => {
    const { folder } = await altered((at) =>
      overwrite(at, 'unet', 'conv_out.weight', (values) =>
        values.set(
          createGenerator(1)
            .randn(values.length)
            .map((x) => x / 50),
        ),
      ),
    );
    const result = await judge('run', { ...sound, folder, video: await run(folder) });
    expect(result).toMatchObject({ verdict: 'failed' });
    expect((result as CheckResult).reason).toMatch(/^The first noise prediction has a correlation of/);
  });

  it('fail an LCM LoRA whose alpha over rank was ignored', async () => {
    expect(((await judge('run', eightfold)) as CheckResult).reason).toMatch(/^The last of 4 steps still changed/);
  });

  it('fail a motion module that does nothing', async () => {
    const ran = await bakeAndRun({ motion: { gamma: 0 } });
    const { lock } = await openPackage(ran.folder);
    if (!lock) throw new RangeError('The package has no lock.');
    expect(await judge('frames', ran)).toMatchObject({ verdict: 'passed' }); // its recipe says so
    const claimed = { ...lock, strengths: { ...lock.strengths, gamma: 1 } };
    expect(((await judge('frames', ran, { lock: claimed })) as CheckResult).reason).toContain(
      'Does the motion module work?',
    );
  });
});

async function edit(path: string, changes: object): Promise<void> {
  await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), ...changes }));
}

import { describe, expect, it } from 'vitest';
import { RuntimeFailure, UnavailableError } from '../../src/errors.ts';
import type { Lock } from '../../src/export/lock.ts';
import type { VideoPackage } from '../../src/runtime/package-folder.ts';
import type { Timing } from '../../src/runtime/pipeline.ts';
import type { CheckContext } from '../../src/verify/check.ts';
import type { EarlierReport } from '../../src/verify/earlier.ts';
import { CHECKS } from '../../src/verify/gate.ts';
import type { RunLimit } from '../../src/verify/limit.ts';
import { describeMachine } from '../../src/verify/machine.ts';
import { contextWith, latentsOf, movingVideo, painted } from '../helpers/clip.ts';

/** As much of a package as these checks look at. */
const PKG = { folder: '/package', scheduler: { file: '', kind: 'lcm', fields: {} } } as unknown as VideoPackage;
const lockOf = (gamma: number, blocks = {}) =>
  ({ name: 'tiny', strengths: { alpha: [], beta: 1, gamma }, recipe: { motion: { blocks } } }) as unknown as Lock;

const judge = async (id: string, changes: Partial<CheckContext>) => {
  const check = CHECKS.find((candidate) => candidate.id === id);
  if (!check) throw new RangeError(`There is no check ${id}.`);
  return check.run(contextWith({ pkg: PKG, lock: lockOf(1), ...changes }));
};

describe('run', () => {
  const { first, estimates, trajectory } = movingVideo();
  const ending = (latents: Float32Array) => movingVideo({ latents, trajectory: [...trajectory.slice(0, -1), latents] });
  const other = latentsOf((i) => Math.cos(13 * i + 1));

  it.each([
    ['failed', 'not a number', 'hold NaN at element 9', ending(latentsOf((i) => (i === 9 ? Number.NaN : Math.sin(i))))],
    ['failed', 'exploding', 'should stay below 1000', ending(latentsOf((i) => Math.sin(i) * 5000))],
    ['failed', 'collapsed', 'standard deviation of 0', ending(latentsOf(() => 0.25))],
    ['failed', 'too faint', 'standard deviation of 0.07', ending(latentsOf((i) => 0.1 * Math.sin(i)))],
    ['failed', 'too strong', 'standard deviation of 7', ending(latentsOf((i) => 10 * Math.sin(i)))],
    [
      'failed',
      'noise that is not found',
      'The first noise prediction has a correlation of',
      movingVideo({ first: { ...first, noise: [other] } }),
    ],
    [
      'failed',
      'estimates that do not settle',
      'The last of 3 steps still changed the estimate',
      movingVideo({ estimates: [...estimates.slice(0, -1), other] }),
    ],
    [
      'passed',
      'two steps, of which the first is rough',
      '2 steps on cpu',
      movingVideo({ trajectory: trajectory.slice(1), estimates: [estimates[0] as Float32Array, other] }),
    ],
    [
      'failed',
      'a decoder that gives infinities',
      'not finite',
      movingVideo({ decoded: { min: -1, max: Number.POSITIVE_INFINITY, finite: false } }),
    ],
    ['failed', 'a graph that does not run', 'unet', new RuntimeFailure('unet/model.onnx fails when it runs.')],
    ['unknown', 'a device that dies', 'SIGKILL', new RuntimeFailure('It was ended by SIGKILL.', { blame: 'machine' })],
    ['unknown', 'no device', 'cuda', new UnavailableError('The device cuda does not work here.', 'Install it.')],
    ['passed', 'sound latents', '3 steps on cpu, the last of which changed the estimate by 20 %', movingVideo()],
  ] as const)('is %s for %s', async (verdict, _, reason, video) => {
    const result = await judge('run', { video });
    expect(result).toMatchObject({ verdict });
    expect(result.reason).toContain(reason);
  });

  it('does not ask a network that predicts something else for the noise', async () => {
    const pkg = { ...PKG, scheduler: { ...PKG.scheduler, fields: { prediction_type: 'v_prediction' } } };
    const result = await judge('run', { pkg, video: movingVideo({ first: { ...first, noise: [other] } }) });
    expect(result.verdict).toBe('passed');
    expect(result.figures).not.toHaveProperty('noise_found');
  });

  it('says how much of the noise of the last step is left in the result', async () => {
    const clean = latentsOf(Math.sin);
    const noise = latentsOf((i) => Math.cos(7 * i));
    const last = clean.map((x, i) => 0.5 * x + (noise[i] as number));
    const left = async (latents: Float32Array) =>
      (
        await judge('run', {
          video: movingVideo({ latents, trajectory: [noise, last, latents], estimates: [clean, clean, latents] }),
        })
      ).figures['noise_left'];
    expect(Math.abs((await left(clean)) as number)).toBeLessThan(0.05);
    expect(await left(clean.map((x, i) => x + (noise[i] as number)))).toBeGreaterThan(0.6);
  });
});

describe('frames', () => {
  const { frames } = movingVideo();
  const wave = (x: number, y: number, frame: number) => 128 + 60 * Math.sin((x + y) / 2 + frame / 3);
  /** Each frame the same pixels in another order. */
  const grain = (x: number, y: number, frame: number) => (((x * 8 + y) * ([1, 11, 29, 53][frame] as number)) % 64) * 4;
  const clip = (level: Parameters<typeof painted>[0]) => movingVideo({ frames: { ...frames, data: painted(level) } });

  it.each([
    ['failed', 'a black frame', 'Frame 1 is black', clip((x, y, f) => (f === 1 ? 1 : wave(x, y, f)))],
    [
      'failed',
      'a frame of one colour',
      'Frame 2 is one flat colour',
      clip((x, y, f) => (f === 2 ? 128 : wave(x, y, f))),
    ],
    [
      'failed',
      'a frame without tones',
      'Frame 3 is saturated: 100 %',
      clip((x, y, f) => (f === 3 ? ((x + y) % 2) * 255 : wave(x, y, f))),
    ],
    ['failed', 'frames that are all the same', 'All 4 frames are the same', clip((x, y) => wave(x, y, 0))],
    [
      'failed',
      'brightness that jumps back and forth',
      'The clip flickers',
      clip((x, y, f) => 0.5 * wave(x, y, f) + (f % 2) * 40),
    ],
    ['failed', 'frames that know nothing of each other', 'Does the motion module work?', clip(grain)],
    ['passed', 'a starry sky', '4 frames', clip((x, y, f) => (x === 2 && y === 3 ? 60 + 10 * f : 1))],
    ['passed', 'ink on white', '4 frames', clip((x, y, f) => (x === 2 && y < 2 ? 20 + 10 * f + 100 * y : 255))],
    ['passed', 'a fade', '4 frames', clip((x, y, f) => 0.5 * wave(x, y, f) + f * 30)],
    [
      'passed',
      'a single frame',
      '1 frames',
      movingVideo({ frames: { ...frames, count: 1, data: frames.data.slice(0, 192) } }),
    ],
    ['passed', 'frames that move', '4 frames', movingVideo()],
  ] as const)('is %s for %s', async (verdict, _, reason, video) => {
    const result = await judge('frames', { video });
    expect(result).toMatchObject({ verdict });
    expect(result.reason).toContain(reason);
  });

  it.each([
    ['none', lockOf(0)],
    ['half', lockOf(0.5)],
    ['some blocks', lockOf(1, { OUT: 0.3 })],
  ])('lets frames be unrelated where the recipe asks for %s of the motion module', async (_, lock) => {
    expect(await judge('frames', { video: clip(grain), lock })).toMatchObject({ verdict: 'passed' });
  });

  it('says what to do about a clip of few steps that flickers and hangs together badly, and lets it pass', async () => {
    const rough = clip((x, y, f) => 0.8 * grain(x, y, f) + (f % 2) * 40);
    expect(await judge('frames', { video: rough })).toMatchObject({ verdict: 'failed' });
    const result = await judge('frames', { video: { ...rough, trajectory: rough.trajectory.slice(1) } });
    expect(result).toMatchObject({ verdict: 'passed' });
    expect(result.reason).toMatch(
      /As clips of few steps may, it flickers and frames are not much alike: raise sampler\.steps for a better one\.$/,
    );
  });
});

describe('timing', () => {
  const { timing } = movingVideo();
  const taking = (changes: Partial<Timing>) => movingVideo({ timing: { ...timing, ...changes } });
  const slow = taking({ denoise_ms: 450, step_ms: [150, 150, 150] });

  it.each([
    ['denoise_ms', 149, 150, 'denoising took 150 ms, and 149 ms are allowed'],
    ['step_ms', 49, 50, 'a step took 50 ms, and 49 ms are allowed'],
    ['decode_ms', 9, 10, 'decoding took 10 ms, and 9 ms are allowed'],
    ['peak_bytes', 999, 1000, 'the most memory was'],
  ] as const)('holds %s to its budget', async (name, too_little, enough, reason) => {
    const again = async () => movingVideo();
    const over = await judge('timing', { budgets: { [name]: too_little }, again });
    expect(over).toMatchObject({ verdict: 'failed', figures: { runs: 2, [`budget_${name}`]: too_little } });
    expect(over.reason).toContain(reason);
    expect(await judge('timing', { budgets: { [name]: enough } })).toMatchObject({ verdict: 'passed' });
  });

  it('measures once more before it fails, and lets the better run count', async () => {
    const budgets = { denoise_ms: 200 };
    const result = await judge('timing', { video: slow, budgets, again: async () => movingVideo() });
    expect(result).toMatchObject({ verdict: 'passed', figures: { runs: 2, denoise_ms: 150 } });
    expect(await judge('timing', { video: slow, budgets, again: async () => slow })).toMatchObject({
      verdict: 'failed',
    });
  });

  it('takes the median of warm steps', async () => {
    const video = taking({ step_ms: [900, 50, 60, 70, 5000] });
    expect((await judge('timing', { video })).figures['step_ms']).toBe(65);
  });

  it('runs twice in the profile full, whatever the first run took', async () => {
    const result = await judge('timing', { profile: 'full', again: async () => slow });
    expect(result).toMatchObject({ verdict: 'passed', figures: { runs: 2, step_ms: 50 } });
  });

  describe('against the package before', () => {
    const rates = (product: number) => ({ rates: { matrix: { float32: product } } });
    const report: EarlierReport = {
      verdict: 'passed',
      name: 'tiny',
      device: 'cpu',
      run: { prompt: 'another', seed: 1, guidance: 1, steps: 3, frames: 4, width: 8, height: 8 },
      timing: { step_ms: [70, 50, 50] },
      limit: rates(1e9),
    };
    const compared = (changes: Partial<EarlierReport>, now = 1e9) =>
      judge('timing', {
        video: slow,
        again: async () => slow,
        limit: rates(now) as unknown as RunLimit,
        earlier: { own: false, report: { ...report, ...changes } },
      });

    it('fails when a step takes three times as long', async () => {
      const result = await compared({});
      expect(result).toMatchObject({ verdict: 'failed', figures: { slowdown: 3, runs: 2 } });
      expect(result.reason).toContain(
        'a step took 150 ms, 3.0 times as long as in the package that was verified before',
      );
    });

    it('fails so on the same machine', async () => {
      expect(await compared({ machine: describeMachine() })).toMatchObject({ verdict: 'failed' });
    });

    it('passes where other work slowed all steps but one', async () => {
      const busy = taking({ step_ms: [400, 300, 60] });
      const result = await judge('timing', { video: busy, earlier: { own: false, report } });
      expect(result).toMatchObject({ verdict: 'passed', figures: { slowdown: 60 / 50, runs: 1 } });
    });

    it.each<[string, Partial<EarlierReport>, number?]>([
      ['the machine is as much slower', {}, 0.4e9],
      ['it took half as long', { timing: { step_ms: [80, 80, 80] } }],
      ['that was another device', { device: 'webgpu' }],
      ['that was another machine', { machine: '96 cores of another processor, linux x64' }],
      ['that was another recipe', { name: 'other' }],
      ['that was another clip', { run: { ...report.run, frames: 2 } }],
      ['that did not pass', { verdict: 'failed' }],
      ['that did not run', { timing: null }],
    ])('passes where %s', async (_, changes, now) => {
      expect(await compared(changes, now)).toMatchObject({ verdict: 'passed' });
    });
  });
});

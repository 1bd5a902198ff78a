import { access, cp, mkdir, open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain, type Event } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { openTensorFile, readTensor } from '../../src/formats/tensor-file.ts';
import { type Plan, plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import type { Video } from '../../src/runtime/pipeline.ts';
import type { CheckContext, CheckResult } from '../../src/verify/check.ts';
import { effect } from '../../src/verify/checks/effect.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { writeFamily } from '../helpers/family.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

const HONEST = { verify: { prompt: 'a red circle', seed: 0 } };
/** All that is looked at of the clip is the device that made it. */
const video = { device: 'cpu' } as Video;

async function baked(planned: Plan): Promise<string> {
  const folder = join(await temporaryFolder(), 'package');
  await mkdir(folder);
  await drain(bake(planned, { into: folder }));
  return folder;
}

const planOf = (changes: Readonly<Record<string, Section>> = {}) => plan(tinyRecipe({ ...HONEST, ...changes }));

async function contextOf(folder: string, changes: Partial<CheckContext> = {}): Promise<CheckContext> {
  const pkg = await openPackage(folder);
  const request = { prompt: 'a red circle', negative: '', seed: 0, guidance: 1 };
  const rest = { request, plan: undefined, profile: 'standard', budgets: {}, signal: undefined, files: {} } as const;
  return { folder, pkg, lock: pkg.lock, video, ...rest, ...changes } as CheckContext;
}

const judge = async (folder: string, changes: Partial<CheckContext> = {}): Promise<CheckResult> =>
  effect.run(await contextOf(folder, changes));

/** Every source that is taken out makes a graph load anew; on a machine that has other work that adds up. */
const PATIENCE = { timeout: 300_000 };

describe('the effect of each strength', PATIENCE, () => {
  let honest: Plan;
  let sound: string;

  beforeAll(async () => {
    honest = await planOf();
    sound = await baked(honest);
  }, PATIENCE.timeout);

  it('is seen where all three act, by figures with and without; the package stays as it was', async () => {
    const before = await digestPackage(sound);
    const events: Event[] = [];
    const context = await contextOf(sound, { plan: honest });
    if (!effect.stage) throw new RangeError('The check tells nothing on the way.');
    const result = await drain(effect.stage(context), (event) => events.push(event));
    expect(result.verdict).toBe('passed');
    expect(result.reason).toMatch(
      /^γ makes frames \S+ times as alike; personalized\[0\] changes \d+ % of the clip; lcm changes \d+ % of the clip and gives 2 steps \S+ times the detail\.$/,
    );
    const { figures } = result;
    expect(figures['gamma_ratio']).toBeCloseTo(
      (figures['gamma_incoherence_with'] as number) / (figures['gamma_incoherence_without'] as number),
      10,
    );
    expect(figures['gamma_ratio']).toBeLessThan(0.5);
    expect(figures['lcm_ratio']).toBeGreaterThan(1.05);
    expect(figures['personalized[0]_change']).toBeGreaterThan(0.5);
    expect(events.map((event) => event.type === 'progress' && [event.done, event.total, event.detail])).toEqual([
      [0, 3, 'effect: as it is'],
      [1, 3, 'effect: without personalized[0]'],
      [2, 3, 'effect: without lcm'],
    ]);
    expect(await digestPackage(sound)).toEqual(before);
    await expect(access(join(sound, 'verification.partial'))).rejects.toThrow('ENOENT');
  });

  it('is told of γ alone without the sources, and left out where nothing can be taken out', async () => {
    const result = await judge(sound);
    expect(result.verdict).toBe('passed');
    expect(result.reason).toMatch(/^γ makes frames \S+ times as alike\. What α and β do needs the sources/);
    const still = await baked(await planOf({ motion: { gamma: 0 }, personalized: [], lcm: undefined }));
    expect(effect.applies?.(await contextOf(still))).toBe(false);
    expect(effect.applies?.(await contextOf(sound, { lock: undefined }))).toBe(false);
  });

  it('is seen of small strengths', async () => {
    const subtle = await planOf({
      personalized: [{ lora: 'ink.safetensors', alpha: 0.05 }],
      lcm: { beta: 0.1 },
      motion: { gamma: 0.05 },
    });
    expect(await judge(await baked(subtle), { plan: subtle })).toMatchObject({ verdict: 'passed' });
  });

  it('is missed where γ was applied as 0', async () => {
    const folder = await copyOf(sound);
    const silenced = await silence(folder, /\.motion_modules\.\d+\.proj_out\.(weight|bias)$/);
    expect(silenced).toBe(42);
    const result = await judge(folder);
    expect(result.verdict).toBe('failed');
    expect(result.reason).toBe(
      'γ does nothing: without it the clip is the same (change 0.0e+0, 2.0e-3 at least were expected).',
    );
  });

  it.each([
    ['the LCM LoRA was dropped', { lcm: undefined }, /^lcm does nothing: without it the clip is the same[^;]*$/],
    ['the style was dropped', { personalized: [] }, /^personalized\[0\] does nothing: [^;]*$/],
    [
      'the motion acts backwards',
      { motion: { gamma: -1 } },
      /^γ = 1 should make frames more alike, but neighbours differ \S+ times .* \(limit 0\.90\)/,
    ],
    [
      'a style LoRA stands in the place of the LCM LoRA',
      { lcm: { lora: 'ink.safetensors', expect: undefined } },
      /lcm should make pictures of 2 steps finer, .* \(limit 0\.85\)/,
    ],
    [
      'a strength is far too large',
      { lcm: { beta: 30 } },
      /^lcm turns pictures into noise \(latents with a deviation of \d\d/,
    ],
  ] as const)('is missed where %s', async (_, changes, reason) => {
    const { lock } = await openPackage(sound);
    const other = await planOf(changes);
    const merged = 'lcm' in changes && changes.lcm ? other : 'motion' in changes ? undefined : honest;
    const result = await judge(await baked(other), { lock, plan: merged });
    expect(result.verdict).toBe('failed');
    expect(result.reason).toMatch(reason);
  });

  it('is missed of a LoRA whose changes are all zero, though all of it was applied', async () => {
    const path = join(await temporaryFolder(), 'nothing.safetensors');
    await using ink = await openTensorFile('models/tiny/ink.safetensors');
    const tensors = await Promise.all(
      [...ink.tensors.values()].map(async ({ name, dtype, shape }) => {
        const data = await readTensor(ink, ink.tensors.get(name) as never);
        return { name, dtype, shape, data: name.endsWith('lora_up.weight') ? new Uint8Array(data.length) : data };
      }),
    );
    await writeSafetensors(path, tensors);
    const both = [
      { lora: resolve(path), alpha: 1 },
      { lora: 'ink.safetensors', alpha: 0.8 },
    ];
    const planned = await planOf({ personalized: both });
    const result = await judge(await baked(planned), { plan: planned });
    expect(result.verdict).toBe('failed');
    expect(result.reason).toMatch(/^personalized\[0\] does nothing: [^;]*$/);
  });

  it('is seen of weights that never learned to paint, but not what it is good for', async () => {
    const family = await writeFamily();
    const planned = await plan(family.recipe({ output: { frames: 4, width: 64, height: 64, dtype: 'fp32' } }));
    const result = await judge(await baked(planned), { plan: planned });
    expect(result).toMatchObject({ verdict: 'passed' });
  });

  it('ends at once when it is told to, and leaves nothing', async () => {
    const folder = await copyOf(sound);
    const controller = new AbortController();
    const context = await contextOf(folder, { plan: honest, signal: controller.signal });
    const stopping = drain(effect.stage?.(context) as never, () => setTimeout(() => controller.abort(), 300));
    await expect(stopping).rejects.toThrow('aborted');
    await expect(access(join(folder, 'verification.partial'))).rejects.toThrow('ENOENT');
  });

  it('could not tell where the package does not run', async () => {
    expect(await judge(sound, { video: new Error('no device') })).toMatchObject({ verdict: 'unknown' });
  });
});

async function copyOf(folder: string): Promise<string> {
  const copy = join(await temporaryFolder(), 'package');
  await cp(folder, copy, { recursive: true });
  return copy;
}

/** Zeroes the UNet's weights of these names; returns how many there were. */
async function silence(folder: string, names: RegExp): Promise<number> {
  const model = join(folder, 'unet', 'model.onnx');
  const places = (await readModelInfo(model)).initializers.filter(({ name }) => names.test(name));
  for (const { external } of places) {
    if (!external) throw new RangeError('The package has weights in its graph.');
    await using file = await open(join(dirname(model), external.location), 'r+');
    await file.write(new Uint8Array(external.length), 0, external.length, external.offset);
  }
  return places.length;
}

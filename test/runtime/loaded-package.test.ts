import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError, InputMissingError, RuntimeFailure, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { loadPackage } from '../../src/runtime/loaded-package.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { SMALL, writeSmall } from '../helpers/small.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { recipeIn } from '../helpers/tiny.ts';

const recipe = recipeIn((await writeSmall()).folder, SMALL);
let folder: string;

beforeAll(async () => {
  ({ folder } = await drain(bake(await plan(recipe), { into: await temporaryFolder() })));
});

const PROMPT = 'a red circle';

const started: ChildProcess[] = [];
const remember = (message: unknown) => started.push((message as { process: ChildProcess }).process);
subscribe('child_process', remember);
afterAll(() => unsubscribe('child_process', remember));

/** Inference processes that live. */
const inferenceProcesses = () =>
  started.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map(({ pid }) => pid);

describe('loadPackage', () => {
  it('gives what `sample` gives, in one process for all clips', async () => {
    const pkg = await openPackage(folder);
    await using video = await loadPackage(folder, { device: 'cpu' });
    const loaded = inferenceProcesses();
    expect(loaded).toHaveLength(1);
    for (const options of [
      { prompt: PROMPT, seed: 0, steps: 2 },
      { prompt: 'a blue square', negative: 'ink', guidance: 2, seed: 3, steps: 1 },
    ]) {
      const events: Event[] = [];
      const clip = await video.sample(options, (event) => events.push(event));
      const alone = await drain(sample(pkg, { ...options, device: 'cpu' }));
      expect(clip.latents).toEqual(alone.latents);
      expect(clip.frames.data).toEqual(alone.frames.data);
      const steps = Array.from({ length: options.steps }, () => ['latents', 'progress']).flat();
      expect(events.map(({ type }) => type)).toEqual(['stage-started', ...steps, 'stage-finished']);
      expect(inferenceProcesses()).toEqual(loaded);
    }
    expect(video).toMatchObject({ device: 'cpu', package: { folder } });
  });

  it('takes samples that are asked for at once one after the other', async () => {
    await using video = await loadPackage(folder, { device: 'cpu' });
    const order: string[] = [];
    const clips = await Promise.all(
      [1, 2, 3].map((seed) =>
        video.sample({ prompt: PROMPT, seed, steps: 1 }, ({ type }) => order.push(`${seed} ${type}`)),
      ),
    );
    expect(order).toEqual(
      [1, 2, 3].flatMap((seed) =>
        ['stage-started', 'latents', 'progress', 'stage-finished'].map((type) => `${seed} ${type}`),
      ),
    );
    expect(new Set(clips.map(({ latents }) => latents[0])).size).toBe(3);
  });

  it('lives on after a sample that is refused, abandoned, aborted or loses its process', async () => {
    await using video = await loadPackage(folder, { device: 'cpu' });
    const clip = { prompt: PROMPT, steps: 2 };
    const expected = await video.sample(clip);
    const [first] = inferenceProcesses();

    await expect(video.sample({ prompt: PROMPT, steps: 51 })).rejects.toThrow(UsageError);
    for await (const event of video.stream(clip)) if (event.type === 'progress') break;
    expect((await video.sample(clip)).latents).toEqual(expected.latents);
    expect(inferenceProcesses()).toEqual([first]);

    const soon = new AbortController();
    const aborted = video.sample({ ...clip, signal: soon.signal }, ({ type }) => {
      if (type === 'progress') soon.abort(new Error('enough'));
    });
    await expect(aborted).rejects.toThrow('enough');
    expect((await video.sample(clip)).latents).toEqual(expected.latents);
    const [second] = inferenceProcesses();
    expect(second).not.toBe(first);
    // a signal that aborts when its sample is done has no say any more
    const late = new AbortController();
    await video.sample({ ...clip, signal: late.signal });
    late.abort();
    expect((await video.sample(clip)).latents).toEqual(expected.latents);
    expect(inferenceProcesses()).toEqual([second]);

    const orphaned = video.sample(clip, ({ type }) => {
      if (type === 'progress') process.kill(second as number, 'SIGKILL');
    });
    await expect(orphaned).rejects.toThrow(RuntimeFailure);
    expect((await video.sample(clip)).latents).toEqual(expected.latents);
  });

  it('ends its process when it is disposed, and samples no more', async () => {
    const video = await loadPackage(folder, { device: 'cpu' });
    expect(inferenceProcesses()).toHaveLength(1);
    await video[Symbol.asyncDispose]();
    expect(inferenceProcesses()).toEqual([]);
    await expect(video.sample({ prompt: PROMPT })).rejects.toThrow(/has been closed; load it again/);
    expect(inferenceProcesses()).toEqual([]);
  });

  it('leaves no process behind when loading fails', async () => {
    await expect(loadPackage(`${folder}-elsewhere`)).rejects.toThrow(InputMissingError);
    const controller = new AbortController();
    const loading = loadPackage(folder, { device: 'cpu', signal: controller.signal });
    setTimeout(() => controller.abort(new Error('never mind')), 20);
    await expect(loading).rejects.toThrow('never mind');

    const broken = await temporaryFolder();
    await drain(bake(await plan(recipe), { into: broken }));
    await writeFile(join(broken, 'vae_decoder', 'model.onnx_data'), '');
    await expect(loadPackage(broken, { device: 'cpu' })).rejects.toThrow(FormatError);
    await rm(join(broken, 'vae_decoder', 'model.onnx_data'));
    await expect(loadPackage(broken, { device: 'cpu' })).rejects.toThrow(InputMissingError);
    expect(inferenceProcesses()).toEqual([]);
  });
});

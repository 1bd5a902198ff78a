/** Clips of more frames than a graph takes: held to diffusers' UNet in windows of AnimateDiff-Evolved, and to what is refused. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { contextWindows, windowsAt } from '../../src/runtime/context-windows.ts';
import { denoise, type LoadedGraph } from '../../src/runtime/denoise.ts';
import type { HostTensor } from '../../src/runtime/host.ts';
import { type LoadedPackage, loadPackage } from '../../src/runtime/loaded-package.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import type { ClipOptions } from '../../src/runtime/pipeline.ts';
import { openGolden } from '../helpers/golden.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

/** Made by `python test/oracle/context_windows.py`: float32 arithmetic on weights rounded to fp16. */
const golden = await openGolden<
  Readonly<Record<string, Required<Omit<ClipOptions, 'signal' | 'negative' | 'width' | 'height'>>>>
>('test/golden/context-windows.safetensors');

const SHAPES = { frames: 8, width: 64, height: 64 };
const PACKAGES = {
  static: {},
  dynamic: { output: { shapes: 'dynamic' } },
  listed: { output: { shapes: [SHAPES, { ...SHAPES, frames: 12 }], ...SHAPES } },
} as const satisfies Record<string, Readonly<Record<string, Section>>>;

const packages = {} as Record<keyof typeof PACKAGES, LoadedPackage>;

beforeAll(async () => {
  for (const name of Object.keys(PACKAGES) as (keyof typeof PACKAGES)[]) {
    const { folder } = await drain(bake(await plan(tinyRecipe(PACKAGES[name])), { into: await temporaryFolder() }));
    packages[name] = await loadPackage(folder, { device: 'cpu' });
  }
});

afterAll(async () => {
  for (const pkg of Object.values(packages)) await pkg[Symbol.asyncDispose]();
});

function run(pkg: LoadedPackage, options: Partial<ClipOptions>, onEvent?: (event: Event) => void) {
  return pkg.sample({ prompt: 'a red circle', seed: 0, ...options }, onEvent);
}

describe('a clip in windows', () => {
  // model.cpu.onnx computes in float32 on the fp16 weights; three to four steps, of which guidance amplifies the rounding
  it.each(Object.entries(golden.cases))(
    '%s is what diffusers and AnimateDiff-Evolved make of it',
    async (name, options) => {
      const pkg = options.context === 16 ? packages.static : packages.dynamic;
      const video = await run(pkg, options);
      const expected = await golden.tensor(name);
      expect(video.shape).toEqual([1, 4, options.frames, 8, 8]);
      expect(relativeRms(video.latents, expected)).toBeLessThan(1e-3);
      expect(video.frames.count).toBe(options.frames);
      expect(video.seam?.mean).toBeGreaterThan(0);
    },
  );

  it('is another with other windows, weights or noise', async () => {
    const options = { ...golden.cases['clip.0'], steps: 1 } as const;
    const { latents } = await run(packages.static, options);
    for (const other of [{ overlap: 12 }, { fuse: 'flat' }, { noise: 'freenoise' }] as const)
      expect(relativeRms((await run(packages.static, { ...options, ...other })).latents, latents)).toBeGreaterThan(
        1e-2,
      );
  });

  it('of one window is the plain clip, bit for bit', async () => {
    for (const pkg of [packages.static, packages.dynamic]) {
      const plain = await run(pkg, { steps: 2 });
      const same = { frames: 16, context: 16, overlap: 8, schedule: 'looped', noise: 'freenoise' } as const;
      const windowed = await run(pkg, { steps: 2, ...same });
      expect(windowed.latents).toEqual(plain.latents);
      expect([plain.seam, windowed.seam]).toEqual([undefined, undefined]);
    }
  });

  it('says what it does', async () => {
    const events: Event[] = [];
    const { seam } = await run(packages.static, { frames: 25, overlap: 8, steps: 2 }, (event) => events.push(event));
    const steps = events.filter((event) => event.type === 'progress');
    const windows = [1, 2, 3].map((n) => `window ${n} of 3`);
    expect(steps.map(({ done, total, detail }) => `${done}/${total} ${detail}`)).toEqual([
      ...windows.map((window) => `0/2 t = 999, ${window}`),
      '1/2 t = 999',
      ...windows.map((window) => `1/2 t = 499, ${window}`),
      '2/2 t = 499',
    ]);
    const [started, finished] = [events.at(0), events.at(-1)];
    const described = '25 frames in 3 windows of 16 that overlap by 8';
    expect(started?.type === 'stage-started' && started.subject).toContain(described);
    expect(finished?.type === 'stage-finished' && finished.summary).toContain(described);
    expect(finished?.type === 'stage-finished' && finished.summary).toContain(`seam ${seam?.mean.toFixed(2)}`);
    expect(seam?.borders).toEqual([7, 8, 15, 23]);
  });

  it('takes the graph of the most frames, unless a window is asked for', async () => {
    const longest = await run(packages.listed, { frames: 20, steps: 1 });
    expect(longest.graphs.unet).toContain('12x64x64');
    expect((await run(packages.listed, { frames: 20, steps: 1, context: 8 })).graphs.unet).not.toContain('12x64x64');
    expect((await run(packages.listed, { frames: 12, steps: 1 })).seam).toBeUndefined();
  });

  it('is made where the motion module has no more positions', async () => {
    const { shape, seam } = await run(packages.dynamic, { frames: 66, steps: 1 });
    expect(shape).toEqual([1, 4, 66, 8, 8]);
    expect(seam?.borders).toEqual([1, 63]);
  });

  it('stops between windows', async () => {
    const stop = new AbortController();
    const running = run(packages.static, { frames: 64, signal: stop.signal }, (event) => {
      if (event.type === 'progress' && event.detail?.includes('window 2')) stop.abort();
    });
    await expect(running).rejects.toThrow(/abort/i);
  });

  it.each<[keyof typeof PACKAGES, Partial<ClipOptions>, RegExp]>([
    ['static', { frames: 15 }, /is made for 16 frames and a width of 64 and a height of 64, not for 15 frames/],
    ['static', { frames: 40, width: 72 }, /not for 40 frames and a width of 72/],
    ['static', { frames: 40, context: 8 }, /is made for 16 frames .*, not for windows of 8 frames/],
    ['dynamic', { frames: 40, context: 65 }, /A window of 65 frames was asked for, and a clip of 40/],
    ['dynamic', { frames: 80, context: 65 }, /65 frames at a time .* positional encodings for 64/],
    ['dynamic', { context: 0 }, /window of frames 0 is no positive whole number/],
    ['static', { frames: 40, overlap: 16 }, /cannot overlap by 16/],
    ['static', { frames: 1025 }, /1025 frames were asked for; 1024 at most/],
    ['dynamic', { frames: 1000, context: 16, width: 16384, height: 16384 }, /pixels; \d+ at most can be sampled/],
  ])('refuses of a %s package %j', async (name, options, message) => {
    const running = run(packages[name], options);
    await expect(running).rejects.toThrow(UsageError);
    await expect(running).rejects.toThrow(message);
  });
});

describe('denoise', () => {
  const shape = [1, 4, 5, 1, 1];
  const scheduler = {
    timesteps: [7],
    initNoiseSigma: 1,
    step: (noise: Float32Array) => ({ prevSample: noise, denoised: noise }),
  };
  const windows = contextWindows(5, 3, { overlap: 1, schedule: 'static', fuse: 'flat' });

  /** A graph that answers each frame with its text states' first number, and remembers what it was asked. */
  function echo(perFrame: boolean): { unet: LoadedGraph; asked: HostTensor[] } {
    const asked: HostTensor[] = [];
    const run = async ({ sample, encoder_hidden_states: states }: Record<string, HostTensor>) => {
      asked.push(states as HostTensor);
      const [batch, , frames] = (sample as HostTensor).dims as [number, number, number];
      const size = (states as HostTensor).data.length / batch / (perFrame ? frames : 1);
      const data = Float32Array.from({ length: batch * 4 * frames }, (_, i) => {
        const [b, f] = [Math.floor(i / (4 * frames)), perFrame ? i % frames : 0];
        return (states as HostTensor).data[(b * (perFrame ? frames : 1) + f) * size] as number;
      });
      return { outputs: { out_sample: { type: 'float32', dims: (sample as HostTensor).dims, data } }, milliseconds: 1 };
    };
    const inputs = [
      { name: 'sample', type: 'FLOAT', shape: ['batch', 4, 'frames', 1, 1] },
      { name: 'encoder_hidden_states', type: 'FLOAT', shape: [perFrame ? 'batch * frames' : 'batch', 'tokens', 1] },
    ];
    return { unet: { session: { run }, batch: undefined, inputs } as unknown as LoadedGraph, asked };
  }

  async function result(unet: LoadedGraph, states: { dims: number[]; data: Float32Array }[], guidance = 1) {
    let latents = new Float32Array();
    for await (const event of denoise(unet, {
      states,
      shape,
      scheduler,
      generator: createGenerator(0),
      guidance,
      windows,
    }))
      if (event.kind === 'step') latents = Float32Array.from(event.latents);
    return latents;
  }

  it('hands each window the text states of its own frames', async () => {
    const { unet, asked } = echo(true);
    const states = { dims: [5, 2, 1], data: Float32Array.of(0, 0, 10, 10, 20, 20, 30, 30, 40, 40) };
    const latents = await result(unet, [states]);
    expect(windowsAt(windows, 0)).toEqual([
      [0, 1, 2],
      [2, 3, 4],
    ]);
    expect(asked.map(({ dims, data }) => [dims, [...data]])).toEqual([
      [
        [3, 2, 1],
        [0, 0, 10, 10, 20, 20],
      ],
      [
        [3, 2, 1],
        [20, 20, 30, 30, 40, 40],
      ],
    ]);
    expect([...latents]).toEqual([0, 10, 20, 30, 40, 0, 10, 20, 30, 40, 0, 10, 20, 30, 40, 0, 10, 20, 30, 40]);
  });

  it('hands a graph for text states of every frame those of a prompt that stands still once for each', async () => {
    const { unet, asked } = echo(true);
    const states = [1, 3].map((value) => ({ dims: [2, 1], data: Float32Array.of(value, value) }));
    const latents = await result(unet, states, 2);
    expect(asked.map(({ dims }) => dims)).toEqual([
      [6, 2, 1],
      [6, 2, 1],
    ]);
    expect([...(asked[0]?.data ?? [])]).toEqual([1, 1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 3]); // the frames of the first prompt first
    expect([...latents]).toEqual(Array(20).fill(5));
  });

  it('refuses states of every frame where the graph takes them once', async () => {
    const { unet } = echo(false);
    const sampling = result(unet, [{ dims: [5, 1, 1], data: new Float32Array(5) }]);
    await expect(sampling).rejects.toThrow(/takes text states once for all frames/);
  });

  it('hands every window the text states of the whole clip, and guides what it has averaged', async () => {
    const { unet, asked } = echo(false);
    const latents = await result(
      unet,
      [1, 3].map((value) => ({ dims: [2, 1], data: Float32Array.of(value, value) })),
      2,
    );
    expect(asked.map(({ dims }) => dims)).toEqual([
      [2, 2, 1],
      [2, 2, 1],
    ]);
    expect([...latents]).toEqual(Array(20).fill(5)); // 1 + 2·(3 − 1)
  });
});

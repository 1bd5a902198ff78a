import { setTimeout } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain, type Event, type Preview } from '../../src/events.ts';
import { decode, type LoadedGraph, middleFrame } from '../../src/runtime/denoise.ts';
import { openPackage, type VideoPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { previewOf } from '../../src/runtime/preview.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

/** A decoder whose pixels are 8×8 copies of the first channel; counts what it is given. */
function copyingDecoder(batch?: number): LoadedGraph & { readonly given: number[] } {
  const given: number[] = [];
  return {
    given,
    batch,
    inputs: [],
    session: {
      async run({ latent_sample }) {
        const [n = 0, , h = 0, w = 0] = latent_sample?.dims ?? [];
        given.push(n);
        if (batch !== undefined && n !== batch) throw new RangeError(`${n} pictures for a graph of ${batch}`);
        const latents = latent_sample?.data as Float32Array;
        const dims = [n, 3, 8 * h, 8 * w];
        const data = Float32Array.from({ length: n * 3 * 64 * h * w }, (_, i) => {
          const [y, x] = [Math.floor(i / (8 * w)) % (8 * h), i % (8 * w)];
          return latents[(Math.floor(i / (192 * h * w)) * 4 * h + Math.floor(y / 8)) * w + Math.floor(x / 8)] as number;
        });
        return { milliseconds: 1, outputs: { sample: { type: 'float32', dims, data } } };
      },
    },
  };
}

const pkg = { scaling_factor: 0.5 };
/** `[1, 4, 5, 1, 2]`: tells its frame and place, in the first channel. */
const SHAPE = [1, 4, 5, 1, 2] as const;
const latents = Float32Array.from({ length: 40 }, (_, i) => (i < 10 ? i / 100 : 9));

describe('previewOf', () => {
  it('takes the middle frame, of every channel', () => {
    expect([...middleFrame(latents, SHAPE)].map((x) => Math.fround(x))).toEqual([
      ...[Math.fround(0.04), Math.fround(0.05)],
      ...[9, 9, 9, 9, 9, 9],
    ]);
  });

  it('decodes one picture where the graph leaves the number open, as many as it wants where it does not', async () => {
    const pictures = await Promise.all(
      [undefined, 1, 3].map(async (batch) => {
        const decoder = copyingDecoder(batch);
        const preview = await previewOf({ index: 1, denoised: latents }, 4, SHAPE, { pkg, decoder });
        expect(decoder.given).toEqual([batch ?? 1]);
        return preview as Preview;
      }),
    );
    // 0.04/0.5 → (0.08/2 + 0.5)·255 = 137.7, 0.05/0.5 → 140.25
    const row = [...Array<number>(24).fill(138), ...Array<number>(24).fill(140)];
    const pixels = Array<number[]>(8).fill(row).flat();
    for (const picture of pictures) {
      expect(picture).toMatchObject({ step: 2, total: 4, width: 16, height: 8 });
      expect([...picture.pixels]).toEqual(pixels);
    }
  });

  it('a clip of 5 frames goes through a graph of 3 pictures in two runs, and nothing of the filling is kept', async () => {
    const [open, fixed] = [copyingDecoder(), copyingDecoder(3)];
    const expected = await decode(pkg, open, latents, SHAPE);
    expect(await decode(pkg, fixed, latents, SHAPE)).toEqual(expected);
    expect([open.given, fixed.given]).toEqual([[5], [3, 3]]);
  });

  it('is none where the decoder gives no colour', async () => {
    const denoised = latents.map((x, i) => (i === 4 ? Number.NaN : x));
    expect(await previewOf({ index: 0, denoised }, 4, SHAPE, { pkg, decoder: copyingDecoder() })).toBeUndefined();
  });
});

describe('a run with previews', () => {
  let tiny: VideoPackage;
  beforeAll(async () => {
    tiny = await openPackage((await bakeAndCheck(tinyRecipe(), await temporaryFolder())).folder);
  });
  const options = { prompt: 'a red circle', seed: 0, device: 'cpu' } as const;

  it('yields each step as it goes, and ends with the clip that it has without', async () => {
    const events: Event[] = [];
    const video = await drain(sample(tiny, { ...options, preview: true }), (event) => events.push(event));
    const steps = ['latents', 'progress', 'preview'];
    expect(events.map(({ type }) => type)).toEqual([
      ...['stage-started', ...steps, ...steps, ...steps, ...steps],
      'stage-finished',
    ]);
    expect(events.filter(({ type }) => type === 'preview')).toEqual(
      video.previews.map((preview) => ({ type: 'preview', stage: 'run', ...preview })),
    );
    expect(video.previews).toMatchObject([1, 2, 3, 4].map((step) => ({ step, total: 4, width: 64, height: 64 })));

    const without = await drain(sample(tiny, options));
    expect(without.previews).toEqual([]);
    expect(video.latents).toEqual(without.latents);
    const middle = (data: Uint8Array) => [...data.subarray(8 * 64 * 64 * 3, 9 * 64 * 64 * 3)];
    expect([...(video.previews.at(-1) as Preview).pixels]).toEqual(middle(video.frames.data));
    // LCM's first step is at t = 999 whatever their number, and a run of one step ends with its estimate
    const one = await drain(sample(tiny, { ...options, steps: 1 }));
    expect([...(video.previews[0] as Preview).pixels]).toEqual(middle(one.frames.data));
    expect(video.previews[0]?.pixels).not.toEqual(video.previews[3]?.pixels);
  });

  it('counts neither previews nor whoever looks at them as denoising', async () => {
    let looking = 0;
    const started = performance.now();
    const { timing } = await drain(sample(tiny, { ...options, preview: true }), async ({ type }) => {
      const at = performance.now();
      if (type === 'preview') await setTimeout(200);
      looking += performance.now() - at;
    });
    const all = performance.now() - started;
    expect(looking).toBeGreaterThan(700);
    expect(timing.denoise_ms + timing.load_ms + timing.decode_ms).toBeLessThan(all - looking);
    expect(timing.denoise_ms).toBeGreaterThanOrEqual(timing.step_ms.reduce((a, b) => a + b));
  });
});

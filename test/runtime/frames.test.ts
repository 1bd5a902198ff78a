import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { IoError, RuntimeFailure, UsageError } from '../../src/errors.ts';
import { encodeAnimatedWebp, writePng } from '../../src/runtime/frame-files.ts';
import { type Frames, framesFromDecoder } from '../../src/runtime/frames.ts';

/** Made by `python test/oracle/frames.py`; infinities are strings there. */
const golden = JSON.parse(await readFile('test/golden/frames.json', 'utf8')) as {
  cases: readonly {
    readonly name: string;
    readonly shape: readonly [number, number, number, number];
    readonly sample: readonly (number | string)[];
    readonly rgb: readonly number[];
  }[];
};

/** Every frame differs from the one before, and no two rows, columns or channels of a frame are alike. */
function gradient(count: number, height: number, width: number): Frames {
  const data = Uint8Array.from({ length: count * height * width * 3 }, (_, i) => (i * 37 + (i >> 5) * 11) % 256);
  return { count, height, width, data };
}

describe('framesFromDecoder', () => {
  it.each(golden.cases)('rounds as diffusers: $name', ({ shape, sample, rgb }) => {
    const frames = framesFromDecoder(Float32Array.from(sample, Number), shape);
    expect(frames).toMatchObject({ count: shape[0], height: shape[2], width: shape[3] });
    expect([...frames.data]).toEqual(rgb);
  });

  it('names the frame in which NaN stands', () => {
    const sample = new Float32Array(2 * 3 * 2 * 2);
    expect(framesFromDecoder(sample, [2, 3, 2, 2]).data).toEqual(new Uint8Array(24).fill(128));
    sample[13] = Number.NaN;
    expect(() => framesFromDecoder(sample, [2, 3, 2, 2])).toThrow(/NaN in frame 2 of 2/);
  });

  it.each([[[1, 4, 2, 2]], [[1, 3, 2, 3]]] as const)('refuses data that is not of the shape %j', (shape) => {
    expect(() => framesFromDecoder(new Float32Array(12), shape)).toThrow(RuntimeFailure);
  });
});

describe('writePng', () => {
  it('writes one frame without loss', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'frames-'));
    try {
      const frames = gradient(3, 6, 10);
      const path = join(folder, 'frame.png');
      await writePng(path, frames, 1);
      const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
      expect(info).toMatchObject({ width: 10, height: 6, channels: 3 });
      expect(new Uint8Array(data)).toEqual(frames.data.slice(180, 360));
      expect((await sharp(path).metadata()).format).toBe('png');
      await expect(writePng(join(folder, 'missing', 'frame.png'), frames, 0)).rejects.toThrow(IoError);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each([-1, 3, 0.5])('refuses frame %s of 3', async (index) => {
    await expect(writePng('never-written.png', gradient(3, 2, 2), index)).rejects.toThrow(UsageError);
  });
});

describe('encodeAnimatedWebp', () => {
  it('keeps every frame without loss, at 8 frames per second, in a loop', async () => {
    const frames = gradient(16, 24, 32);
    const webp = await encodeAnimatedWebp(frames, { fps: 8, lossless: true });
    const { format, pages, pageHeight, loop, delay } = await sharp(webp, { animated: true }).metadata();
    expect({ format, pages, pageHeight, loop }).toEqual({ format: 'webp', pages: 16, pageHeight: 24, loop: 0 });
    expect(delay).toEqual(Array(16).fill(125));
    const { data, info } = await sharp(webp, { animated: true })
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width: 32, height: 16 * 24, channels: 3 });
    expect(new Uint8Array(data)).toEqual(frames.data);
  });

  it('shares out milliseconds so that the clip keeps its time', async () => {
    const webp = await encodeAnimatedWebp(gradient(12, 4, 4), { fps: 24, lossless: true });
    const { delay = [] } = await sharp(webp, { animated: true }).metadata();
    expect(delay).toHaveLength(12);
    expect(new Set(delay)).toEqual(new Set([41, 42]));
    expect(delay.reduce((sum, ms) => sum + ms, 0)).toBe(500);
  });

  it('keeps the time of frames that are alike, and a clip without motion as a still', async () => {
    const flat = (levels: readonly number[]): Frames => {
      const data = Uint8Array.from(levels.flatMap((level) => Array<number>(48).fill(level)));
      return { count: levels.length, height: 4, width: 4, data };
    };
    const delays = async (frames: Frames) => {
      const webp = await encodeAnimatedWebp(frames, { fps: 8, lossless: true });
      return (await sharp(webp, { animated: true }).metadata()).delay;
    };
    expect(await delays(flat([60, 90, 90, 90]))).toEqual([125, 375]);
    expect(await delays(flat([90, 90, 90, 90]))).toBeUndefined();
  });

  it('encodes a single frame, and lossy clips that stay close', async () => {
    const single = await encodeAnimatedWebp(gradient(1, 8, 8), { fps: 8, lossless: true });
    expect(new Uint8Array(await sharp(single).removeAlpha().raw().toBuffer())).toEqual(gradient(1, 8, 8).data);

    const data = Uint8Array.from({ length: 4 * 32 * 32 * 3 }, (_, i) => 60 + 40 * Math.floor(i / 3072));
    const lossy = await encodeAnimatedWebp({ count: 4, height: 32, width: 32, data }, { fps: 8, lossless: false });
    const decoded = await sharp(lossy, { animated: true }).removeAlpha().raw().toBuffer();
    expect(decoded).toHaveLength(data.length);
    expect(Math.max(...decoded.map((value, i) => Math.abs(value - (data[i] as number))))).toBeLessThanOrEqual(6);
  });

  it.each([0, -8, Number.NaN, 1001, Number.POSITIVE_INFINITY])('refuses %s frames per second', async (fps) => {
    await expect(encodeAnimatedWebp(gradient(2, 2, 2), { fps, lossless: true })).rejects.toThrow(UsageError);
  });
});

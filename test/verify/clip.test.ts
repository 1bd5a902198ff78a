import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeAnimatedWebp } from '../../src/runtime/frame-files.ts';
import type { Frames } from '../../src/runtime/frames.ts';
import { CLIP_FPS } from '../../src/runtime/frames.ts';
import { readClip } from '../../src/verify/clip.ts';
import { VERIFICATION_FOLDER } from '../../src/verify/report.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** Frames of 6×4 pixels, no two pixels alike; equal numbers make equal frames. */
function numbered(...numbers: readonly number[]): Frames {
  const data = numbers.flatMap((number) => Array.from({ length: 6 * 4 * 3 }, (_, i) => (i * 3 + number * 17) % 256));
  return { width: 6, height: 4, count: numbers.length, data: Uint8Array.from(data) };
}

async function packageWith(frames: Frames): Promise<string> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, VERIFICATION_FOLDER));
  const webp = await encodeAnimatedWebp(frames, { fps: CLIP_FPS, lossless: true });
  await writeFile(join(folder, VERIFICATION_FOLDER, 'frames.webp'), webp);
  return folder;
}

describe('readClip', () => {
  it.each([
    ['frames that all differ', numbered(0, 1, 2, 3)],
    ['frames that stand still for a while, which the file holds once', numbered(0, 1, 1, 1, 2, 2)],
    ['one frame', numbered(5)],
  ])('gives back %s', async (_, frames) => {
    const { data, ...size } = await readClip(await packageWith(frames));
    expect(size).toEqual({ width: 6, height: 4, count: frames.count });
    expect([...data]).toEqual([...frames.data]);
  });
  it('rejects where there is no clip, or none that can be read', async () => {
    const folder = await temporaryFolder();
    await expect(readClip(folder)).rejects.toThrow(/has no clip.*lcm-merge verify/);
    await mkdir(join(folder, VERIFICATION_FOLDER));
    await writeFile(join(folder, VERIFICATION_FOLDER, 'frames.webp'), 'RIFF, or not');
    await expect(readClip(folder)).rejects.toThrow(/format/);
  });
});

/** The clip that verification has left in a package, as frames. It was written lossless: these are the frames that were judged. */
import { join } from 'node:path';
import sharp from 'sharp';
import { InputMissingError } from '../errors.ts';
import { kindOf } from '../recipe/input-files.ts';
import { CLIP_FPS, type Frames } from '../runtime/frames.ts';
import { CLIP_FILE, VERIFICATION_FOLDER } from './verdict.ts';

/** The frames of the package in `folder`. @throws InputMissingError when there are none; what sharp says when they are damaged. */
export async function readClip(folder: string): Promise<Frames> {
  const file = join(folder, VERIFICATION_FOLDER, CLIP_FILE);
  if ((await kindOf(file)) !== 'file')
    throw new InputMissingError(
      `${folder} has no clip. It was never verified (lcm-merge verify ${folder} does that), or its run gave no frames; then Gate says why.`,
      { file },
    );
  const image = sharp(file, { animated: true });
  const { delay = [] } = await image.metadata();
  const { data, info } = await image.removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  const height = info.pageHeight ?? info.height;
  const bytes = info.width * height * info.channels;
  const pages = Array.from({ length: info.height / height }, (_, i) => data.subarray(i * bytes, (i + 1) * bytes));
  // a frame that equals the one before has become a longer delay of that one
  const frames = pages.flatMap((page, i) => Array<Uint8Array>(framesIn(delay[i])).fill(page));
  return { width: info.width, height, count: frames.length, data: Buffer.concat(frames) };
}

function framesIn(delay: number | undefined): number {
  return delay === undefined ? 1 : Math.max(1, Math.round((delay * CLIP_FPS) / 1000));
}

/** Frames as files: PNG pictures and animated WebP, through sharp (libvips). */
import { writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { UsageError } from '../errors.ts';
import { writingTo } from '../formats/byte-source.ts';
import { CHANNELS, CLIP_FPS, type Frames } from './frames.ts';

export interface WebpOptions {
  readonly fps: number;
  readonly lossless: boolean;
}

export interface StillOptions {
  readonly lossless?: boolean;
  /** Pixels; a wider picture is made smaller. */
  readonly maxWidth?: number;
}

/** Writes frame `index` (from 0) as an RGB PNG. Throws UsageError where there is no such frame, IoError where writing fails. */
export async function writePng(path: string, frames: Frames, index: number): Promise<void> {
  const png = await still(frames, index).png().toBuffer();
  await writingTo(path, writeFile(path, png));
}

/** Frame `index` (from 0) as a WebP picture, lossy unless asked otherwise. Throws UsageError where there is no such frame. */
export async function encodeWebp(
  frames: Frames,
  index: number,
  { lossless = false, maxWidth = Infinity }: StillOptions = {},
): Promise<Uint8Array> {
  const picture = still(frames, index);
  return (frames.width > maxWidth ? picture.resize(maxWidth) : picture).webp({ lossless }).toBuffer();
}

function still(frames: Frames, index: number) {
  if (!Number.isInteger(index) || index < 0 || index >= frames.count) {
    throw new UsageError(`There is no frame ${index}: the clip has ${frames.count} frames, counted from 0.`);
  }
  const { width, height } = frames;
  const bytes = width * height * CHANNELS;
  const raw = { width, height, channels: CHANNELS } as const;
  return sharp(frames.data.subarray(index * bytes, (index + 1) * bytes), { raw });
}

/**
 * All frames as one WebP that plays in a loop. libwebp stores a frame that equals the one before as a longer delay of that one,
 * and a clip of equal frames as a still picture: the pages of the file are at most as many as the frames.
 * Throws UsageError for a frame rate that cannot be told in milliseconds.
 */
export async function encodeAnimatedWebp(frames: Frames, options: WebpOptions): Promise<Uint8Array> {
  const { width, height, count, data } = frames;
  const delay = frameDelays(count, options.fps);
  const raw = { width, height: height * count, channels: CHANNELS, pageHeight: height } as const;
  return sharp(data, { raw }).webp({ lossless: options.lossless, loop: 0, delay }).toBuffer();
}

/** The same into a file. Throws IoError where writing fails. */
export async function writeWebp(path: string, frames: Frames, options: Partial<WebpOptions> = {}): Promise<void> {
  const animation = await encodeAnimatedWebp(frames, { fps: CLIP_FPS, lossless: false, ...options });
  await writingTo(path, writeFile(path, animation));
}

/** Milliseconds per frame: whole numbers, differing by one where they must, so that the clip as a whole keeps its time. */
function frameDelays(count: number, fps: number): number[] {
  if (!(fps > 0 && fps <= 1000)) {
    throw new UsageError(`${fps} frames per second cannot be shown; expected a number above 0 and up to 1000.`);
  }
  const startOf = (frame: number) => Math.round((frame * 1000) / fps);
  return Array.from({ length: count }, (_, frame) => startOf(frame + 1) - startOf(frame));
}

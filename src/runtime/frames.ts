/**
 * Pictures: from the VAE decoder's float32 to 8-bit RGB frames, and those to PNG files and animated WebP.
 * Source of truth: diffusers 0.42.1 image_processor.py (`denormalize`, `numpy_to_pil`) for the numbers; sharp (libvips) encodes.
 */
import { writeFile } from 'node:fs/promises';
import sharp from 'sharp';
import { RuntimeFailure, UsageError } from '../errors.ts';
import { writingTo } from '../formats/byte-source.ts';

export interface Frames {
  readonly width: number;
  readonly height: number;
  readonly count: number;
  /** RGB, 8 bit, [count, height, width, 3]. */
  readonly data: Uint8Array;
}

export interface WebpOptions {
  readonly fps: number;
  readonly lossless: boolean;
}

const CHANNELS = 3;
/** AnimateDiff was trained on clips of 8 frames a second. */
const DEFAULT_FPS = 8;
const f32 = Math.fround;

/**
 * Decoded pictures [N, 3, H, W] in −1 … 1 to frames; what lies outside is clamped. Throws RuntimeFailure for NaN, which has no
 * colour (a graph that overflowed fp16 decodes to it), and for data that does not fill the shape.
 */
export function framesFromDecoder(
  sample: Float32Array,
  shape: readonly [count: number, channels: number, height: number, width: number],
): Frames {
  const [count, channels, height, width] = shape;
  if (channels !== CHANNELS || sample.length !== count * channels * height * width) {
    throw new RuntimeFailure(
      `The decoder gave ${sample.length} values of shape [${shape.join(', ')}]; expected a full [frames, 3, height, width].`,
    );
  }
  const plane = height * width;
  const data = new Uint8Array(sample.length);
  for (let source = 0; source < sample.length; source++) {
    const value = sample[source] as number;
    const picture = Math.floor(source / (plane * CHANNELS));
    if (Number.isNaN(value)) {
      throw new RuntimeFailure(
        `The decoder gave NaN in frame ${picture + 1} of ${count}: a layer before it overflowed, so there is no picture.`,
      );
    }
    const channel = Math.floor(source / plane) % CHANNELS;
    const pixel = picture * plane + (source % plane);
    data[pixel * CHANNELS + channel] = toByte(value);
  }
  return { width, height, count, data };
}

/** (x/2 + ½) clamped to 0 … 1, times 255, to the nearest integer and a half to the even one; in float32 as numpy computes it. */
function toByte(value: number): number {
  const unit = Math.min(1, Math.max(0, f32(f32(value * 0.5) + 0.5)));
  const scaled = f32(unit * 255);
  const below = Math.floor(scaled);
  const isTie = scaled - below === 0.5;
  return isTie ? below + (below % 2) : Math.round(scaled);
}

/** Writes frame `index` (from 0) as an RGB PNG. Throws UsageError where there is no such frame, IoError where writing fails. */
export async function writePng(path: string, frames: Frames, index: number): Promise<void> {
  if (!Number.isInteger(index) || index < 0 || index >= frames.count) {
    throw new UsageError(`There is no frame ${index}: the clip has ${frames.count} frames, counted from 0.`);
  }
  const { width, height } = frames;
  const bytes = width * height * CHANNELS;
  const raw = { width, height, channels: CHANNELS } as const;
  const png = await sharp(frames.data.subarray(index * bytes, (index + 1) * bytes), { raw })
    .png()
    .toBuffer();
  await writingTo(path, writeFile(path, png));
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
  const animation = await encodeAnimatedWebp(frames, { fps: DEFAULT_FPS, lossless: false, ...options });
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

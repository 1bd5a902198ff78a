/**
 * Pictures: from the VAE decoder's float32 to 8-bit RGB frames. Needs nothing of Node, so that it runs in browsers too.
 * Source of truth: diffusers 0.42.1 image_processor.py (`denormalize`, `numpy_to_pil`).
 */
import { RuntimeFailure } from '../errors.ts';

export interface Frames {
  readonly width: number;
  readonly height: number;
  readonly count: number;
  /** RGB, 8 bit, [count, height, width, 3]. */
  readonly data: Uint8Array;
}

/** Frames a second: AnimateDiff was trained on clips of that rate. */
export const CLIP_FPS = 8;
/** RGB. */
export const CHANNELS = 3;
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

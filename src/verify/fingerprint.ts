/**
 * What a package made of its prompt, small enough to keep: verification/fingerprint.json. Whoever runs the same bytes later, on
 * another machine or device, sees from it whether they still make the same clip.
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { readConfig } from '../architecture/config-file.ts';
import type { Frames } from '../runtime/frames.ts';
import type { Video } from '../runtime/pipeline.ts';
import { relativeRms } from '../runtime/relative-rms.ts';
import { meanDifference } from '../runtime/statistics.ts';

export const FINGERPRINT_FILE = 'fingerprint.json';

/** Of the kept latents, in height and in width: 16 frames of 4 channels are then 32 KB. */
const MAX_SIDE = 16;
/** Of a frame's thumbnail: every clip has that many pixels in both directions. */
const THUMBNAIL = 8;
const CHANNELS = 3;

export interface Fingerprint {
  readonly fingerprint_version: 1;
  readonly device: string;
  /** What was sampled. */
  readonly run: Readonly<Record<string, string | number>>;
  readonly latents: {
    /** `[4, F, h, w]`, after pooling. */
    readonly shape: readonly number[];
    /** Side of the squares whose means these are. */
    readonly pooled: number;
    /** Base64, little-endian. */
    readonly float16: string;
  };
  readonly frames: {
    readonly sha256: readonly string[];
    /** 8×8 means of RGB, `[F, 8, 8, 3]`; base64. */
    readonly thumbnails: string;
  };
  /** File → SHA-256 of the package that ran. */
  readonly package: Readonly<Record<string, string>>;
}

const base64 = z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/, 'must be base64');
const fingerprintSchema = z.looseObject({
  fingerprint_version: z.literal(1),
  device: z.string(),
  run: z.record(z.string(), z.union([z.string(), z.number()])),
  latents: z.looseObject({
    shape: z.array(z.number().int().positive()).length(4),
    pooled: z.number().int().positive(),
    float16: base64,
  }),
  frames: z.looseObject({ sha256: z.array(z.string()), thumbnails: base64 }),
  package: z.record(z.string(), z.string()),
});

/** @throws InputMissingError, FormatError */
export function readFingerprint(file: string): Promise<Fingerprint> {
  return readConfig(file, fingerprintSchema, (raw) => raw);
}

export function makeFingerprint(
  { latents, shape, frames, device }: Pick<Video, 'latents' | 'shape' | 'frames' | 'device'>,
  about: Pick<Fingerprint, 'run' | 'package'>,
): Fingerprint {
  const small = poolLatents(latents, shape);
  const size = frames.width * frames.height * CHANNELS;
  return {
    fingerprint_version: 1,
    device,
    run: about.run,
    latents: { shape: small.shape, pooled: small.pooled, float16: encode(new Float16Array(small.values)) },
    frames: {
      sha256: Array.from({ length: frames.count }, (_, i) =>
        createHash('sha256')
          .update(frames.data.subarray(i * size, (i + 1) * size))
          .digest('hex'),
      ),
      thumbnails: encode(thumbnails(frames)),
    },
    package: about.package,
  };
}

export interface FingerprintDifference {
  /** Of the latents, relative to their size; infinite where the shapes are not the same. */
  readonly latents: number;
  /** Of the thumbnails: mean, in levels of 0…255. */
  readonly levels: number;
  /** Frames that are the same to the last bit. */
  readonly identical_frames: number;
}

export function compareFingerprints(found: Fingerprint, expected: Fingerprint): FingerprintDifference {
  const sameShape =
    found.latents.shape.join() === expected.latents.shape.join() && found.latents.pooled === expected.latents.pooled;
  const [values, wanted] = [latentsOf(found), latentsOf(expected)];
  const [pictures, wantedPictures] = [decode(found.frames.thumbnails), decode(expected.frames.thumbnails)];
  return {
    latents: sameShape && values.length === wanted.length ? relativeRms(values, wanted) : Number.POSITIVE_INFINITY,
    levels:
      pictures.length === wantedPictures.length ? meanDifference(pictures, wantedPictures) : Number.POSITIVE_INFINITY,
    identical_frames: found.frames.sha256.filter((hash, i) => hash === expected.frames.sha256[i]).length,
  };
}

/** `[1, 4, F, h, w]` to squares' means, no side longer than 16. */
function poolLatents(latents: Float32Array, [, channels, frames, height, width]: Video['shape']) {
  const pooled = Math.ceil(Math.max(height, width) / MAX_SIDE);
  const [h, w] = [Math.ceil(height / pooled), Math.ceil(width / pooled)];
  const values = new Float64Array(channels * frames * h * w);
  for (let plane = 0; plane < channels * frames; plane += 1) {
    for (let i = 0; i < h * w; i += 1) {
      const [top, left] = [Math.floor(i / w) * pooled, (i % w) * pooled];
      const [bottom, right] = [Math.min(height, top + pooled), Math.min(width, left + pooled)];
      let sum = 0;
      for (let y = top; y < bottom; y += 1)
        for (let x = left; x < right; x += 1) sum += latents[(plane * height + y) * width + x] as number;
      values[plane * h * w + i] = sum / ((bottom - top) * (right - left));
    }
  }
  return { shape: [channels, frames, h, w], pooled, values };
}

function thumbnails({ data, width, height, count }: Frames): Uint8Array {
  const cells = THUMBNAIL * THUMBNAIL * CHANNELS;
  const [sums, counts] = [new Float64Array(count * cells), new Float64Array(count * cells)];
  for (let i = 0; i < data.length; i += 1) {
    const pixel = Math.floor(i / CHANNELS);
    const [frame, at] = [Math.floor(pixel / (width * height)), pixel % (width * height)];
    const row = Math.floor((Math.floor(at / width) * THUMBNAIL) / height);
    const column = Math.floor(((at % width) * THUMBNAIL) / width);
    const cell = frame * cells + (row * THUMBNAIL + column) * CHANNELS + (i % CHANNELS);
    sums[cell] = (sums[cell] as number) + (data[i] as number);
    counts[cell] = (counts[cell] as number) + 1;
  }
  return Uint8Array.from(sums, (sum, i) => Math.round(sum / (counts[i] as number)));
}

function latentsOf({ latents }: Fingerprint): Float16Array {
  const bytes = decode(latents.float16);
  return new Float16Array(bytes.buffer, 0, Math.floor(bytes.length / 2));
}

function encode(values: Uint8Array | Float16Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
}

/** In memory of its own, so that it begins at a multiple of every element's size. */
function decode(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

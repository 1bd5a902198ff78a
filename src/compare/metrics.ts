/** What can be said of clips without a model: how far one is from another, and how its frames follow each other. */

import { UsageError } from '../errors.ts';
import type { Frames } from '../runtime/frames.ts';
import { correlation, mean, meanDifference } from '../runtime/statistics.ts';

/** Root mean square difference of two clips, in levels of 0…255. @throws UsageError for clips of different shapes. */
export function pixelDistance(a: Frames, b: Frames): number {
  if (a.data.length !== b.data.length || a.width !== b.width) {
    throw new UsageError(
      `A clip of ${shapeOf(a)} cannot be compared with one of ${shapeOf(b)}; the packages must make clips of the same shape.`,
    );
  }
  let squares = 0;
  for (const [i, value] of a.data.entries()) squares += (value - (b.data[i] as number)) ** 2;
  return Math.sqrt(squares / a.data.length);
}

const shapeOf = ({ count, width, height }: Frames) => `${count} frames of ${width}×${height}`;

/**
 * Temporal consistency: the mean Pearson correlation of the pixels of neighbouring frames. 1 for a still, near 0 for frames that know nothing
 * of each other (of one scene they share its background, so less than 1 is all that can be said of them). 1 for a single frame.
 */
export function temporalConsistency(frames: Frames): number {
  return meanOverPairs(frames, correlation, 1);
}

/** Mean absolute change from a frame to the next, in levels of 0…255. */
export function motion(frames: Frames): number {
  return meanOverPairs(frames, meanDifference, 0);
}

function meanOverPairs({ count, data }: Frames, of: (a: Uint8Array, b: Uint8Array) => number, alone: number): number {
  if (count < 2) return alone;
  const size = data.length / count;
  let sum = 0;
  for (let at = 0; at + size < data.length; at += size) {
    sum += of(data.subarray(at, at + size), data.subarray(at + size, at + 2 * size));
  }
  return sum / (count - 1);
}

/** Cosine of the angle between two embeddings. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let [product, squaresA, squaresB] = [0, 0, 0];
  for (const [i, x] of a.entries()) {
    const y = b[i] as number;
    product += x * y;
    squaresA += x * x;
    squaresB += y * y;
  }
  return product / Math.sqrt(squaresA * squaresB);
}

/** CLIPSIM (Wu et al. 2021, GODIVA): 100 times the mean cosine between a prompt's embedding and those of the frames. */
export function clipSimilarity(text: Float32Array, frames: readonly Float32Array[]): number {
  return 100 * mean(frames.map((frame) => cosine(text, frame)));
}

/** 100 times the mean cosine between the embeddings of neighbouring frames; 100 for a single one. */
export function clipConsistency(frames: readonly Float32Array[]): number {
  if (frames.length < 2) return 100;
  return 100 * mean(frames.slice(1).map((frame, i) => cosine(frames[i] as Float32Array, frame)));
}

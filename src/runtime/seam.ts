/**
 * How visible the borders of context windows are: the change from frame to frame across them against the change elsewhere.
 * Where windows do not fit together a clip jumps, so 1 means that there is no seam to be seen. docs/long-videos.md has figures.
 */

import { CHANNELS, type Frames } from './frames.ts';
import { mean, meanDifference } from './statistics.ts';

export interface Seam {
  /** Mean change across borders over the mean change elsewhere. */
  readonly mean: number;
  /** The largest change across a border over the mean change elsewhere. */
  readonly worst: number;
  /** The border of that: between this frame, counted from 0, and the next. */
  readonly worst_after: number;
  readonly borders: readonly number[];
}

/** In levels of 0…255: what changes less is still to the eye, and says nothing of what stands beside it. */
const STILL_LEVELS = 0.02;

/**
 * `borders` names pairs of neighbouring frames by the first of them; after the last frame comes frame 0. Where every pair is a border,
 * they are held against the mean of them all. Undefined where there is no border.
 */
export function measureSeam(frames: Frames, borders: readonly number[]): Seam | undefined {
  const others = Array.from({ length: frames.count - 1 }, (_, i) => i).filter((i) => !borders.includes(i));
  if (borders.length === 0) return undefined;
  const elsewhere = Math.max(
    STILL_LEVELS,
    mean((others.length > 0 ? others : borders).map((i) => changeAfter(frames, i))),
  );
  const changes = borders.map((i) => changeAfter(frames, i));
  const largest = Math.max(...changes);
  return {
    mean: mean(changes) / elsewhere,
    worst: largest / elsewhere,
    worst_after: borders[changes.indexOf(largest)] as number,
    borders,
  };
}

/** `seam 1.04, at worst 1.31 after frame 23` */
export function describeSeam({ mean, worst, worst_after }: Seam): string {
  return `seam ${mean.toFixed(2)}, at worst ${worst.toFixed(2)} after frame ${worst_after}`;
}

/** Mean absolute difference to the next frame, in levels of 0…255. */
export function changeAfter({ data, width, height, count }: Frames, index: number): number {
  const size = width * height * CHANNELS;
  const frame = (i: number) => data.subarray(i * size, (i + 1) * size);
  return meanDifference(frame(index), frame((index + 1) % count));
}

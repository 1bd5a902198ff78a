/**
 * Overlapping windows of frames over a clip that is longer than the motion module's own: which windows a step evaluates, and by what
 * weights their noise predictions are averaged. Sources of truth: AnimateDiff-Evolved's animatediff/context.py for the schedules,
 * diffusers' FreeNoiseTransformerBlock (Qiu et al. 2023, arXiv 2310.15169) for the weights.
 */
import { UsageError } from '../errors.ts';

/** `static`: the same windows in every step. `uniform`: they begin elsewhere in every step. `looped`: and go on from the last frame to the first. */
export const WINDOW_SCHEDULES = ['static', 'uniform', 'looped'] as const;
export type WindowSchedule = (typeof WINDOW_SCHEDULES)[number];

export const FUSE_METHODS = ['flat', 'pyramid', 'delayed_reverse_sawtooth'] as const;
export type FuseMethod = (typeof FUSE_METHODS)[number];

export interface WindowOptions {
  /** Frames that two windows share; a quarter of the window if not said. */
  readonly overlap?: number;
  readonly schedule?: WindowSchedule;
  readonly fuse?: FuseMethod;
}

export interface ContextWindows extends Required<WindowOptions> {
  /** Of the clip. */
  readonly frames: number;
  /** Frames of each window, which is at most `frames`. */
  readonly length: number;
}

/** The frames of the clip that the graph sees as its frames 0, 1, …: `length` of them, all different. */
export type Window = readonly number[];

/** Chosen by the measured seam: docs/long-videos.md. */
const DEFAULTS = {
  overlapOf: (length: number) => Math.floor(length / 4),
  schedule: 'static',
  fuse: 'pyramid',
} as const;

/** @throws UsageError for an overlap that leaves no new frame to a window. */
export function contextWindows(frames: number, length: number, options: WindowOptions = {}): ContextWindows {
  const { overlap = DEFAULTS.overlapOf(length), schedule = DEFAULTS.schedule, fuse = DEFAULTS.fuse } = options;
  if (!Number.isInteger(overlap) || overlap < 0 || overlap >= length) {
    throw new UsageError(
      `Windows of ${length} frames cannot overlap by ${overlap}: the overlap is a whole number from 0 to ${length - 1}, so that every window has a frame of its own.`,
    );
  }
  return { frames, length, overlap, schedule, fuse };
}

/** The windows of one step, counted from 0: together they cover every frame. A clip of one window's length is that window. */
export function windowsAt(windows: ContextWindows, step: number): readonly Window[] {
  const { frames, length, schedule } = windows;
  const starts = frames === length ? [0] : STARTS[schedule](windows, step);
  return starts.map((start) => Array.from({ length }, (_, i) => (start + i) % frames));
}

/** First frames of the windows; one that reaches past the end goes on from frame 0. */
const STARTS: Readonly<Record<WindowSchedule, (windows: ContextWindows, step: number) => readonly number[]>> = {
  static: ({ frames, length, overlap }) => {
    const hop = length - overlap;
    const count = Math.ceil((frames - length) / hop) + 1;
    return Array.from({ length: count }, (_, i) => Math.min(i * hop, frames - length));
  },
  uniform: ({ frames, length, overlap }, step) => {
    const rolling = rollingStarts(frames, length - overlap, step, frames - overlap);
    const wraps = (start: number) => start + length > frames;
    const starts: number[] = [];
    for (const [i, start] of rolling.entries()) {
      starts.push(wraps(start) ? frames - length : start);
      // What the window had of the beginning, unless the next has it.
      const next = rolling[i + 1] ?? (starts[0] as number);
      if (wraps(start) && next !== 0 && !wraps(next)) starts.push(0);
    }
    return [...new Set(starts)];
  },
  looped: ({ frames, length, overlap }, step) => rollingStarts(frames, length - overlap, step, frames),
};

/** Every `hop` frames over a span of the circle of frames, from where `step` begins: at 0, 1/2, 1/4, 3/4, 1/8, … of the clip. */
function rollingStarts(frames: number, hop: number, step: number, span: number): number[] {
  const offset = roundHalfEven(frames * bitReversed(step));
  return Array.from({ length: Math.ceil(span / hop) }, (_, i) => (offset + i * hop) % frames);
}

/** The binary digits of a whole number mirrored at the point: 1, 2, 3, 4 → 1/2, 1/4, 3/4, 1/8 (van der Corput's sequence). */
function bitReversed(value: number): number {
  let fraction = 0;
  for (let [rest, place] = [value, 0.5]; rest > 0; rest = Math.floor(rest / 2), place /= 2) {
    if (rest % 2 === 1) fraction += place;
  }
  return fraction;
}

function roundHalfEven(x: number): number {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2) : Math.round(x);
}

/** How much frame `i` of a window of `n` counts against the same frame in other windows. */
const FUSE: Readonly<Record<FuseMethod, (i: number, n: number) => number>> = {
  flat: () => 1,
  /** 1 2 3 3 2 1: in the overlap of two windows a linear crossfade. */
  pyramid: (i, n) => Math.min(i + 1, n - i),
  /** 0.01 0.01 3 3 2 1: the earlier window keeps a frame until its own middle. */
  delayed_reverse_sawtooth: (i, n) => (i < Math.ceil(n / 2) - 1 ? 0.01 : Math.min(n - i, Math.ceil(n / 2))),
};

/** The part that each window has in each of its frames: over all windows the parts of a frame are one. */
export function sharesOf(
  { frames, length, fuse }: ContextWindows,
  windows: readonly Window[],
): readonly Float64Array[] {
  const weights = Float64Array.from({ length }, (_, i) => FUSE[fuse](i, length));
  const sums = new Float64Array(frames);
  for (const window of windows)
    for (const [i, frame] of window.entries()) sums[frame] = (sums[frame] as number) + (weights[i] as number);
  return windows.map((window) => weights.map((weight, i) => weight / (sums[window[i] as number] as number)));
}

/**
 * Pairs of neighbouring frames between which a window of some step begins or ends, by the first frame of the pair: where a seam can be.
 * The last frame and the first are neighbours in a loop only.
 */
export function bordersOf(windows: ContextWindows, steps: number): readonly number[] {
  const { frames, schedule } = windows;
  const borders = new Set<number>();
  for (let step = 0; step < steps; step += 1) {
    for (const window of windowsAt(windows, step)) {
      borders.add(((window[0] as number) + frames - 1) % frames);
      borders.add(window.at(-1) as number);
    }
  }
  const isLoop = schedule === 'looped';
  return [...borders].filter((frame) => isLoop || frame < frames - 1).sort((a, b) => a - b);
}

/** `[…, F, h, w]` → the same of a window's frames. */
export function takeFrames(values: Float32Array, shape: readonly number[], window: Window): Float32Array {
  const taken = new Float32Array((values.length / framesOf(shape)) * window.length);
  forEachImage(shape, window, (from, to, area) => taken.set(values.subarray(from, from + area), to));
  return taken;
}

/** Adds a window's values, each frame times its share, to where they belong in `sum` `[…, F, h, w]`. */
export function addFrames(
  sum: Float32Array,
  shape: readonly number[],
  { window, shares, values }: { window: Window; shares: Float64Array; values: Float32Array },
): void {
  forEachImage(shape, window, (to, from, area, i) => {
    const share = shares[i] as number;
    for (let k = 0; k < area; k += 1) sum[to + k] = (sum[to + k] as number) + share * (values[from + k] as number);
  });
}

/** Where each image of a window lies in the clip and in the window. */
function forEachImage(
  shape: readonly number[],
  window: Window,
  visit: (inClip: number, inWindow: number, area: number, index: number) => void,
): void {
  const [frames, area] = [framesOf(shape), (shape.at(-1) as number) * (shape.at(-2) as number)];
  const channels = shape.slice(0, -3).reduce((n, dim) => n * dim, 1);
  for (let c = 0; c < channels; c += 1)
    for (const [i, frame] of window.entries())
      visit((c * frames + frame) * area, (c * window.length + i) * area, area, i);
}

function framesOf(shape: readonly number[]): number {
  return shape.at(-3) as number;
}

/** `40 frames in 4 windows of 16 that overlap by 8`; the number of windows can differ from step to step. */
export function describeWindows(windows: ContextWindows, steps: number): string {
  const { frames, length, overlap } = windows;
  const counts = Array.from({ length: steps }, (_, step) => windowsAt(windows, step).length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return `${frames} frames in ${least === most ? least : `${least} to ${most}`} windows of ${length} that overlap by ${overlap}`;
}

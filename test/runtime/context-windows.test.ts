import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import {
  addFrames,
  bordersOf,
  contextWindows,
  describeWindows,
  FUSE_METHODS,
  type FuseMethod,
  sharesOf,
  takeFrames,
  WINDOW_SCHEDULES,
  type WindowSchedule,
  windowsAt,
} from '../../src/runtime/context-windows.ts';
import { initialNoise } from '../../src/runtime/initial-noise.ts';
import { createGenerator } from '../../src/runtime/noise.ts';

/** Made by `python test/oracle/context_windows.py`. */
const golden = JSON.parse(await readFile('test/golden/context-windows.json', 'utf8')) as {
  /** `schedule frames length overlap` → step → first frames. */
  readonly windows: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
  /** `scheme n` */
  readonly weights: Readonly<Record<string, readonly number[]>>;
  readonly noise: readonly {
    readonly length: number;
    readonly overlap: number;
    readonly seed: number;
    readonly shape: readonly number[];
    readonly values: readonly number[];
  }[];
};

/** Many clips, windows and overlaps, all schedules and methods. */
function* manyWindows() {
  for (const schedule of WINDOW_SCHEDULES)
    for (const [length, overlap] of [
      [16, 4],
      [16, 15],
      [7, 3],
      [2, 0],
      [1, 0],
    ] as const)
      for (const frames of [length, length + 1, 2 * length, 41, 64].filter((n) => n >= length))
        for (const fuse of FUSE_METHODS) yield contextWindows(frames, length, { overlap, schedule, fuse });
}

describe('windowsAt', () => {
  it.each(Object.entries(golden.windows))('makes the windows of AnimateDiff-Evolved: %s', (name, steps) => {
    const [schedule, frames, length, overlap] = name.split(' ') as [WindowSchedule, string, string, string];
    const windows = contextWindows(Number(frames), Number(length), { overlap: Number(overlap), schedule });
    for (const [step, starts] of Object.entries(steps))
      expect(
        windowsAt(windows, Number(step)).map(([first]) => first),
        `step ${step}`,
      ).toEqual(starts);
  });

  it('covers every frame, with windows of one length and of different frames', () => {
    for (const windows of manyWindows()) {
      for (let step = 0; step < 9; step += 1) {
        const found = windowsAt(windows, step);
        expect(new Set(found.flat()), JSON.stringify(windows)).toEqual(
          new Set(Array.from({ length: windows.frames }, (_, i) => i)),
        );
        for (const window of found) expect(new Set(window).size).toBe(windows.length);
        if (windows.schedule !== 'looped')
          for (const window of found) expect(window).toEqual(window.toSorted((a, b) => a - b));
      }
    }
  });

  it('moves the last window back', () => {
    const windows = contextWindows(25, 16, { overlap: 12, schedule: 'static' });
    expect(windowsAt(windows, 0).map(([first]) => first)).toEqual([0, 4, 8, 9]); // the example in diffusers' FreeNoiseTransformerBlock
  });
});

describe('sharesOf', () => {
  it.each(Object.entries(golden.weights))("weights a window as diffusers' FreeNoise: %s", (name, expected) => {
    const [fuse, n] = name.split(' ') as [FuseMethod, string];
    const length = Number(n);
    // beside a window that shares all frames but one, a share is the weight over the sum of both
    const windows = contextWindows(length + 1, length, { overlap: length - 1, schedule: 'static', fuse });
    const [shares] = sharesOf(windows, windowsAt(windows, 0)) as [Float64Array, Float64Array];
    for (const [i, share] of shares.entries()) {
      const [own, other] = [expected[i] as number, i === 0 ? 0 : (expected[i - 1] as number)];
      expect(share).toBeCloseTo(own / (own + other), 12);
    }
  });

  it('divides every frame wholly among its windows', () => {
    for (const windows of manyWindows()) {
      const found = windowsAt(windows, 3);
      const sums = new Float64Array(windows.frames);
      for (const [w, shares] of sharesOf(windows, found).entries())
        for (const [i, frame] of (found[w] as readonly number[]).entries())
          sums[frame] = (sums[frame] as number) + (shares[i] as number);
      for (const sum of sums) expect(sum).toBeCloseTo(1, 12);
    }
  });
});

describe('bordersOf', () => {
  it('names the pairs of frames between which a window begins or ends', () => {
    const windows = contextWindows(40, 16, { overlap: 8, schedule: 'static' });
    expect(bordersOf(windows, 4)).toEqual([7, 15, 23, 31]); // windows begin at 0, 8, 16, 24
    expect(bordersOf(contextWindows(16, 16), 4)).toEqual([]);
  });

  it('counts every step where windows move, and the way back to the first frame in a loop', () => {
    expect(bordersOf(contextWindows(8, 4, { overlap: 0, schedule: 'uniform' }), 1)).toEqual([3]);
    expect(bordersOf(contextWindows(8, 4, { overlap: 0, schedule: 'looped' }), 1)).toEqual([3, 7]);
    expect(bordersOf(contextWindows(8, 4, { overlap: 0, schedule: 'looped' }), 3)).toEqual([1, 3, 5, 7]);
  });
});

describe('takeFrames and addFrames', () => {
  const shape = [1, 2, 3, 1, 2];
  const values = Float32Array.from({ length: 12 }, (_, i) => i);

  it('take frames of each channel and put them back', () => {
    expect([...takeFrames(values, shape, [2, 0])]).toEqual([4, 5, 0, 1, 10, 11, 6, 7]);
    const sum = new Float32Array(12);
    const part = { window: [2, 0], shares: Float64Array.of(0.5, 1), values: takeFrames(values, shape, [2, 0]) };
    addFrames(sum, shape, part);
    addFrames(sum, shape, part);
    expect([...sum]).toEqual([0, 2, 0, 0, 4, 5, 12, 14, 0, 0, 10, 11]);
  });
});

describe('contextWindows', () => {
  it.each([16, -1, 1.5, Number.NaN])('refuses windows of 16 frames that overlap by %s', (overlap) => {
    expect(() => contextWindows(40, 16, { overlap })).toThrow(UsageError);
    expect(() => contextWindows(40, 16, { overlap })).toThrow(/Windows of 16 frames cannot overlap by .*from 0 to 15/);
  });

  it('says what it does', () => {
    const windows = contextWindows(40, 16, { overlap: 8, schedule: 'static' });
    expect(describeWindows(windows, 4)).toBe('40 frames in 4 windows of 16 that overlap by 8');
    expect(describeWindows({ ...windows, overlap: 4, schedule: 'uniform' }, 4)).toBe(
      '40 frames in 3 to 4 windows of 16 that overlap by 4',
    );
  });

  it('overlaps by a quarter', () => {
    expect([16, 32, 3, 1].map((length) => contextWindows(64, length).overlap)).toEqual([4, 8, 0, 0]);
  });
});

describe('initialNoise', () => {
  it.each(golden.noise)(
    "shuffles as diffusers' FreeNoise: $shape in windows of $length that overlap by $overlap",
    ({ seed, shape, values, ...windows }) => {
      const noise = initialNoise('freenoise', createGenerator(seed), shape, windows);
      expect(Math.max(...noise.map((x, i) => Math.abs(x - (values[i] as number))))).toBeLessThan(2e-6);
      const plain = createGenerator(seed).randn(noise.length);
      expect(initialNoise('random', createGenerator(seed), shape, windows)).toEqual(plain);
      expect(noise).not.toEqual(plain);
    },
  );
});

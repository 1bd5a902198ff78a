/**
 * How visible the borders of context windows are: long clips of a recipe under every way of cutting and averaging, some seeds each,
 * beside plain clips of one window's length. docs/long-videos.md has the table; `--sheets` also draws each clip's frames.
 *
 *     node bench/seams.ts [RECIPE] [--frames 40] [--seeds 5] [--overlaps 0,2,4,8] [--fuse flat,pyramid] [--schedules static,uniform]
 *       [--prompt P] [--dir out] [--sheets]
 */

import { mkdir, mkdtempDisposable } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { drain } from '../src/events.ts';
import { bake } from '../src/export/package.ts';
import { plan } from '../src/merge/plan.ts';
import { loadRecipe } from '../src/recipe/load.ts';
import type { ClipLengths } from '../src/runtime/clip-shape.ts';
import { contextWindows, FUSE_METHODS, WINDOW_SCHEDULES, windowsAt } from '../src/runtime/context-windows.ts';
import type { Frames } from '../src/runtime/frames.ts';
import { NOISE_TYPES } from '../src/runtime/initial-noise.ts';
import { loadPackage } from '../src/runtime/loaded-package.ts';
import type { ClipOptions } from '../src/runtime/pipeline.ts';
import { changeAfter, type Seam } from '../src/runtime/seam.ts';
import { mean } from '../src/runtime/statistics.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string', default: '40' },
    seeds: { type: 'string', default: '5' },
    overlaps: { type: 'string', default: '0,2,4,8' },
    fuse: { type: 'string', default: 'flat,pyramid' },
    schedules: { type: 'string', default: 'static,uniform' },
    prompt: { type: 'string' },
    dir: { type: 'string', default: 'out' },
    sheets: { type: 'boolean', default: false },
  },
});
const recipePath = positionals[0] ?? 'recipes/tiny.yaml';
const recipe = await loadRecipe(recipePath);
const [frames, window, { steps }] = [Number(values.frames), recipe.output.frames, recipe.sampler];
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed);
const prompt = values.prompt ?? recipe.verify.prompt;

await mkdir(values.dir, { recursive: true });
await using scratch = await mkdtempDisposable(join(values.dir, 'seams-'));
const folder = join(scratch.path, 'package');
await mkdir(folder);
await drain(bake(await plan({ ...recipe, output: { ...recipe.output, shapes: 'static' } }), { into: folder }));
await using pkg = await loadPackage(folder, { device: 'cpu' });

/** What is measured on one clip. */
interface Measured {
  readonly seam: Seam | undefined;
  /** Mean change from frame to frame, in levels. */
  readonly change: number;
  /** The largest over the mean, wherever it is. */
  readonly jump: number;
}

async function measure(seed: number, options: Omit<ClipOptions, 'prompt'>, lengths: ClipLengths): Promise<Measured> {
  const video = await pkg.sample({ prompt, negative: recipe.verify.negative, seed, ...options, ...lengths });
  const changes = Array.from({ length: video.frames.count - 1 }, (_, i) => changeAfter(video.frames, i));
  const change = mean(changes);
  const windows = contextWindows(video.frames.count, window, lengths);
  if (values.sheets && seed < 2) {
    const { schedule, overlap, fuse } = windows;
    await drawSheet(
      video.frames,
      join(values.dir, `${[video.frames.count, schedule, overlap, fuse, options.noise, seed].join('-')}.png`),
    );
  }
  return {
    seam: video.seam,
    change,
    jump: Math.max(...changes) / change,
  };
}

/** One window's length of frames a row. */
async function drawSheet({ data, width, height, count }: Frames, path: string): Promise<void> {
  const tile = (i: number) =>
    sharp(data.subarray(i * width * height * 3, (i + 1) * width * height * 3), { raw: { width, height, channels: 3 } })
      .png()
      .toBuffer();
  const tiles = await Promise.all(Array.from({ length: count }, (_, i) => tile(i)));
  const gap = 2;
  const [columns, rows] = [window, Math.ceil(count / window)];
  await sharp({
    create: { width: columns * (width + gap), height: rows * (height + gap), channels: 3, background: 'white' },
  })
    .composite(
      tiles.map((input, i) => ({
        input,
        left: (i % columns) * (width + gap),
        top: Math.floor(i / columns) * (height + gap),
      })),
    )
    .png()
    .toFile(path);
}

const cell = (text: string, width: number) => text.padStart(width);
const figure = (numbers: readonly (number | undefined)[]) => {
  const known = numbers.filter((n) => n !== undefined);
  return known.length === 0 ? '–' : mean(known).toFixed(2);
};
const row = (cells: readonly string[]) =>
  console.log(`| ${cells.map((text, i) => cell(text, i === 2 ? 24 : 9)).join(' | ')} |`);

const plain = await Promise.all(seeds.map((seed) => measure(seed, {}, {})));
const plainChange = mean(plain.map(({ change }) => change));
console.log(
  `${recipePath}, "${prompt}": ${frames} frames in windows of ${window}, ${steps} steps, means of ${seeds.length} seeds`,
);
console.log(
  `a plain clip of ${window}: ${plainChange.toFixed(2)} levels from frame to frame, jump ${figure(plain.map(({ jump }) => jump))}`,
);
row(['schedule', 'overlap', 'fuse', 'noise', 'frames ×', 'seam', 'worst', 'jump', 'motion']);
row(Array.from({ length: 9 }, () => '---:'));
for (const schedule of WINDOW_SCHEDULES.filter((name) => values.schedules.split(',').includes(name))) {
  for (const overlap of values.overlaps.split(',').map(Number)) {
    const methods = FUSE_METHODS.filter((method) => values.fuse.split(',').includes(method));
    for (const fuse of methods) {
      for (const noise of NOISE_TYPES) {
        const lengths = { frames, overlap, schedule, fuse };
        const windows = contextWindows(frames, window, lengths);
        const evaluated = mean(Array.from({ length: steps }, (_, step) => windowsAt(windows, step).length)) * window;
        const clips = [];
        for (const seed of seeds) clips.push(await measure(seed, { noise }, lengths));
        row([
          schedule,
          `${overlap}`,
          fuse,
          noise,
          (evaluated / frames).toFixed(2),
          figure(clips.map(({ seam }) => seam?.mean)),
          figure(clips.map(({ seam }) => seam?.worst)),
          figure(clips.map(({ jump }) => jump)),
          figure(clips.map(({ change }) => change / plainChange)),
        ]);
      }
    }
  }
}

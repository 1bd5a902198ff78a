/**
 * Packages and samplers side by side: the same prompts and seeds through every row, each measured against the first (the teacher).
 * Rows of one package run in one process, one package after the other, so that no two models are in memory at a time.
 */

import { samplerConfig } from '../architecture/sampler-config.ts';
import { samplerTimesteps } from '../architecture/timesteps.ts';
import { UsageError } from '../errors.ts';
import type { Event, Stage } from '../events.ts';
import { describeClip } from '../recipe/clip-shapes.ts';
import { chooseDevice } from '../runtime/choose-device.ts';
import { defaultClip } from '../runtime/clip-shape.ts';
import type { Device } from '../runtime/device.ts';
import type { Frames } from '../runtime/frames.ts';
import { startHost } from '../runtime/host.ts';
import { loadPackage } from '../runtime/loaded-package.ts';
import { openPackage, type VideoPackage } from '../runtime/package-folder.ts';
import type { Video } from '../runtime/pipeline.ts';
import { relativeRms } from '../runtime/relative-rms.ts';
import { mean, median } from '../runtime/statistics.ts';
import { count } from '../text/quantity.ts';
import { type ClipEncoders, openClipEncoders } from './clip-encoders.ts';
import { frechetDistance } from './frechet.ts';
import { gridRows, packageRows, type Row } from './grid.ts';
import { clipConsistency, clipSimilarity, motion, pixelDistance, temporalConsistency } from './metrics.ts';
import { openVideoFeatures, type VideoFeatures } from './video-features.ts';

export interface CompareOptions {
  readonly packages: readonly string[];
  /** Default: the first package. */
  readonly teacher?: string | undefined;
  /** The paper's grid of samplers and steps, instead of each package as its recipe says. */
  readonly grid?: boolean;
  /** Default: the prompt of the first package's recipe. */
  readonly prompts?: readonly string[] | undefined;
  readonly negative?: string | undefined;
  /** Default: the seed of the first package's recipe. */
  readonly seed?: number | undefined;
  /** Seeds per prompt, from `seed` on. */
  readonly seeds?: number | undefined;
  /** Of the teacher in the grid, and of nothing else. Default: its recipe's where that is above 1, else 7.5. */
  readonly guidance?: number | undefined;
  /** A folder: CLIP as ONNX. */
  readonly clip?: string | undefined;
  /** A file: a video network as ONNX. */
  readonly videoFeatures?: string | undefined;
  readonly device?: Device | 'auto' | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ComparedRow extends Row {
  readonly sampler: NonNullable<Row['sampler']>;
  readonly steps: number;
  readonly guidance: number;
  /** Of the UNet for one clip. */
  readonly evaluations: number;
  /** Median over the clips, VAE excluded, after a warm-up. */
  readonly denoise_ms: number;
  /** The first row's time over this one's. */
  readonly speedup: number;
  /** From the first row's clips of the same prompt and seed: pixels in levels of 0…255, latents relative. */
  readonly distance: { readonly pixels: number; readonly latents: number };
  /** Mean correlation of neighbouring frames. */
  readonly consistency: number;
  /** Mean change from frame to frame, in levels. */
  readonly motion: number;
  readonly clip?: { readonly similarity: number; readonly consistency: number };
  /** To the first row. */
  readonly fvd?: number;
}

export interface Comparison {
  readonly device: Device;
  readonly prompts: readonly string[];
  readonly negative: string;
  readonly seeds: readonly number[];
  readonly rows: readonly ComparedRow[];
}

/** What is looked at, and not told in figures: of every row the first prompt's first clip. */
export interface Compared {
  readonly comparison: Comparison;
  readonly clips: readonly Frames[];
}

/** The usual guidance of SD1.5. */
const GUIDANCE = 7.5;

/**
 * @throws UsageError when the packages make clips of different shapes, or too few for a distribution; what loading and sampling throw.
 */
export async function* compare(options: CompareOptions): Stage<Compared> {
  const started = performance.now();
  const { rows, prompts, negative, promptWeights, seeds } = await plan(options);
  const { signal } = options;
  const clips = prompts.flatMap((prompt) => seeds.map((seed) => ({ prompt, negative, promptWeights, seed, signal })));
  if (options.videoFeatures !== undefined && clips.length < 2) {
    throw new UsageError(
      'FVD compares distributions of clips, and there is only one. Give more prompts (--prompts) or more seeds (--seeds).',
    );
  }
  yield { type: 'stage-started', stage: 'compare', subject: `rows: ${rows.length}, clips in each: ${clips.length}` };
  await using stack = new AsyncDisposableStack();
  const judges = await openJudges(options, stack);
  const total = rows.length * clips.length;
  let done = 0;
  let device: Device = 'cpu';
  let reference: readonly Measured[] = [];
  const compared = new Map<Row, { readonly row: ComparedRow; readonly frames: Frames }>();
  for (const [folder, ofPackage] of Map.groupBy(rows, (row) => row.package)) {
    await using loaded = await loadPackage(folder, { device: options.device ?? 'auto', signal: options.signal });
    device = loaded.device;
    for (const row of ofPackage) {
      const settings = settingsOf(loaded.package, row);
      await loaded.sample({ ...settings, ...(clips[0] as (typeof clips)[0]), steps: 1 }); // warm: memory, kernels
      const measured: Measured[] = [];
      for (const clip of clips) {
        const warnings: Event[] = [];
        const video = await loaded.sample({ ...settings, ...clip }, (event) => {
          if (event.type === 'warning') warnings.push(event);
        });
        yield* warnings;
        measured.push(await measure(video, clip.prompt, judges, reference[measured.length]));
        if (measured.length === 1) yield tileOf(rows, row, measured[0] as Measured);
        done += 1;
        yield { type: 'progress', stage: 'compare', done, total, unit: 'clips', detail: row.label };
      }
      if (row === rows[0]) reference = measured;
      compared.set(row, {
        row: summarise({ ...row, ...settings }, measured, reference),
        frames: (measured[0] as Measured).frames,
      });
    }
  }
  yield {
    type: 'stage-finished',
    stage: 'compare',
    milliseconds: performance.now() - started,
    summary: `${count(total, 'clip')} on ${device}`,
  };
  const results = rows.flatMap((row) => compared.get(row) ?? []);
  return {
    comparison: { device, prompts, negative, seeds, rows: results.map(({ row }) => row) },
    clips: results.map(({ frames }) => frames),
  };
}

/** What is sampled, from what was asked for and what the recipes suggest. */
async function plan(options: CompareOptions) {
  const [first] = options.packages;
  if (first === undefined) throw new UsageError('A comparison takes at least one package.');
  const teacher = options.teacher ?? first;
  const opened = new Map<string, VideoPackage>();
  for (const folder of new Set([teacher, ...options.packages])) opened.set(folder, await openPackage(folder));
  const recipe = opened.get(first)?.lock?.recipe;
  const prompts = options.prompts ?? (recipe && [recipe.verify.prompt]);
  if (prompts === undefined)
    throw new UsageError(`${first} was not baked by lcm-merge and suggests no prompt. Give one with --prompt.`);
  const seed = options.seed ?? recipe?.verify.seed ?? 0;
  const suggested = opened.get(teacher)?.lock?.recipe.sampler.guidance ?? 1;
  const guidance = options.guidance ?? (suggested > 1 ? suggested : GUIDANCE);
  if (options.guidance !== undefined && !options.grid) {
    throw new UsageError(
      'Guidance is for the teacher in the grid; without --grid every package is sampled as its recipe says. Leave it out, or add --grid.',
    );
  }
  const rows = options.grid
    ? gridRows(options.packages, teacher, guidance)
    : packageRows(options.packages, options.teacher);
  refuseWhatCannotBe(rows, opened);
  return {
    rows,
    prompts,
    negative: options.negative ?? recipe?.verify.negative ?? '',
    promptWeights: recipe?.verify.prompt_weights ?? false,
    seeds: Array.from({ length: options.seeds ?? 1 }, (_, i) => seed + i),
  };
}

/**
 * A comparison can take hours, so what its last row would fail of is found before the first is sampled.
 * @throws UsageError for packages whose clips have different shapes, or steps that a sampler cannot take.
 */
function refuseWhatCannotBe(rows: readonly Row[], opened: ReadonlyMap<string, VideoPackage>): void {
  let first: { readonly folder: string; readonly clip: string } | undefined;
  for (const [folder, ofPackage] of Map.groupBy(rows, (row) => row.package)) {
    const pkg = opened.get(folder) as VideoPackage;
    const clip = describeClip(defaultClip(pkg));
    first ??= { folder, clip };
    if (clip !== first.clip) {
      throw new UsageError(
        `${first.folder} makes ${first.clip}, and ${folder} makes ${clip}; only clips of one shape can be compared. Bake both with the same frames, width and height.`,
      );
    }
    for (const row of ofPackage) {
      const { sampler, steps, timestep_spacing } = settingsOf(pkg, row);
      const config = samplerConfig(pkg.scheduler, sampler);
      samplerTimesteps({ ...config, timestep_spacing: timestep_spacing ?? config.timestep_spacing }, steps);
    }
  }
}

/** A row's first clip, for whoever watches, as soon as it is there. */
function tileOf(rows: readonly Row[], row: Row, { frames, denoise_ms, distance, motion }: Measured): Event {
  const moves = `motion ${motion.toFixed(1)}`;
  return {
    type: 'tile',
    stage: 'compare',
    index: rows.indexOf(row),
    total: rows.length,
    label: row.label,
    frames,
    milliseconds: denoise_ms,
    note: row === rows[0] ? moves : `distance ${distance.pixels.toFixed(1)} · ${moves}`,
  };
}

/** The same as the pipeline takes where nothing is said, so that it can be reported. */
function settingsOf({ lock, scheduler }: VideoPackage, row: Row) {
  const { steps = 4, guidance = 1 } = lock?.recipe.sampler ?? {};
  return {
    sampler: row.sampler ?? scheduler.kind,
    steps: row.steps ?? steps,
    guidance: row.guidance ?? guidance,
    ...(row.timestep_spacing && { timestep_spacing: row.timestep_spacing }),
  };
}

// ---------------------------------------------------------------------------------------------------- measuring

interface Judges {
  readonly clip?: ClipEncoders;
  readonly features?: VideoFeatures;
}

async function openJudges(
  { clip, videoFeatures, device, signal }: CompareOptions,
  stack: AsyncDisposableStack,
): Promise<Judges> {
  if (clip === undefined && videoFeatures === undefined) return {};
  const host = stack.use(startHost(signal));
  const { device: runsOn } = await chooseDevice(device ?? 'auto', 'float32', signal);
  return {
    ...(clip !== undefined && { clip: await openClipEncoders(clip, host, runsOn) }),
    ...(videoFeatures !== undefined && { features: await openVideoFeatures(videoFeatures, host, runsOn) }),
  };
}

/** What is kept of a clip: not its trajectory, which is larger than all the rest. */
interface Measured extends Pick<Video, 'frames' | 'latents'> {
  readonly denoise_ms: number;
  readonly distance: ComparedRow['distance'];
  readonly consistency: number;
  readonly motion: number;
  readonly clip?: ComparedRow['clip'];
  readonly features?: Float32Array;
}

/** `reference` is the first row's clip of the same prompt and seed; the first row is its own. */
async function measure(
  { frames, latents, timing }: Pick<Video, 'frames' | 'latents' | 'timing'>,
  prompt: string,
  { clip, features }: Judges,
  reference: Pick<Video, 'frames' | 'latents'> = { frames, latents },
): Promise<Measured> {
  const pictures = await clip?.images(frames);
  return {
    frames,
    latents,
    denoise_ms: timing.denoise_ms,
    distance: {
      pixels: pixelDistance(frames, reference.frames),
      latents: relativeRms(latents, reference.latents),
    },
    consistency: temporalConsistency(frames),
    motion: motion(frames),
    ...(clip &&
      pictures && {
        clip: {
          similarity: clipSimilarity(await clip.text(prompt), pictures),
          consistency: clipConsistency(pictures),
        },
      }),
    ...(features && { features: await features(frames) }),
  };
}

function summarise(
  row: Row & ReturnType<typeof settingsOf>,
  measured: readonly Measured[],
  reference: readonly Measured[],
): ComparedRow {
  const time = (clips: readonly Measured[]) => median(clips.map(({ denoise_ms }) => denoise_ms));
  const average = (of: (clip: Measured) => number) => mean(measured.map(of));
  const features = (clips: readonly Measured[]) => clips.flatMap((clip) => clip.features ?? []);
  return {
    ...row,
    evaluations: row.steps * (row.guidance > 1 ? 2 : 1),
    denoise_ms: time(measured),
    speedup: time(reference) / time(measured),
    distance: {
      pixels: average(({ distance }) => distance.pixels),
      latents: average(({ distance }) => distance.latents),
    },
    consistency: average(({ consistency }) => consistency),
    motion: average((clip) => clip.motion),
    ...(measured[0]?.clip && {
      clip: {
        similarity: average(({ clip }) => clip?.similarity ?? Number.NaN),
        consistency: average(({ clip }) => clip?.consistency ?? Number.NaN),
      },
    }),
    ...(measured[0]?.features && { fvd: frechetDistance(features(measured), features(reference)) }),
  };
}

/**
 * A grid over one or two numbers of a recipe, sampled small with one prompt and one seed: what each of its tiles shows is what a bake of its
 * recipe at that size would show. What is merged for one tile serves all others that have it (variants.ts), and the weights of the next
 * are merged while a tile loads and is sampled.
 */

import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { motion, pixelDistance, temporalConsistency } from '../compare/metrics.ts';
import { drain, type Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import type { Plan } from '../merge/plan.ts';
import { describeClip } from '../recipe/clip-shapes.ts';
import { knobAt } from '../recipe/knobs.ts';
import type { ClipShape, Recipe } from '../recipe/schema.ts';
import { chooseDevice } from '../runtime/choose-device.ts';
import { type Device, TRAITS } from '../runtime/device.ts';
import type { Frames } from '../runtime/frames.ts';
import { openGraphs, sharedWith } from '../runtime/graph-sessions.ts';
import { targetFor } from '../runtime/graph-target.ts';
import { sampleOn, type Video } from '../runtime/pipeline.ts';
import { relativeRms } from '../runtime/relative-rms.ts';
import { count } from '../text/quantity.ts';
import type { Axis } from './axis.ts';
import { type GridOptions, type PlannedTile, planGrid } from './grid.ts';
import { openVariants, type Variant } from './variants.ts';

export interface SweepOptions extends GridOptions {
  /** Default: what the recipe is verified with. */
  readonly prompt?: string | undefined;
  readonly negative?: string | undefined;
  readonly seed?: number | undefined;
  readonly device?: Device | 'auto' | undefined;
  /**
   * Where to work: a path beside which `.partial` may be written, on a disk with room for the weights. What a killed process left there goes
   * when the next one starts. Default: in the system's folder for such files.
   */
  readonly scratch?: string | undefined;
}

export interface SweptTile extends Pick<PlannedTile, 'index' | 'column' | 'row' | 'label' | 'settings'> {
  /** Is it what the recipe says now? */
  readonly own: boolean;
  /** Weights that were merged for it and for no tile before it. */
  readonly merged: Omit<Variant, 'package'>;
  readonly load_ms: number;
  readonly denoise_ms: number;
  readonly decode_ms: number;
  /** From the end of the tile before it (or of merging the first one's weights) to the end of this one. */
  readonly milliseconds: number;
  /** Mean change from frame to frame, in levels of 0…255. */
  readonly motion: number;
  /** Mean correlation of neighbouring frames. */
  readonly consistency: number;
  /** From the recipe's own tile, where the grid has one: pixels in levels, latents relative. */
  readonly distance?: { readonly pixels: number; readonly latents: number };
}

export interface SweepFigures {
  readonly x: Axis;
  readonly y?: Axis | undefined;
  readonly device: Device;
  readonly clip: ClipShape;
  readonly prompt: string;
  readonly negative: string;
  /** Where no knob turns it. */
  readonly seed: number;
  /** Row by row. */
  readonly tiles: readonly SweptTile[];
}

export interface Sweep {
  readonly figures: SweepFigures;
  /** Of every tile: what is looked at, and not told in figures. */
  readonly clips: readonly Frames[];
}

/**
 * @throws UsageError for a grid that cannot be; what planning, baking and sampling throw. Nothing is left behind.
 */
export async function* sweep(plan: Pick<Plan, 'recipe'>, options: SweepOptions): Stage<Sweep> {
  const started = performance.now();
  const recipe = withWish(plan.recipe, options);
  const { prompt, negative, seed, prompt_weights: promptWeights } = recipe.verify;
  yield { type: 'stage-started', stage: 'sweep', subject: recipe.name };
  const type = recipe.output.dtype === 'fp16' ? 'float16' : 'float32';
  const choice = await chooseDevice(options.device ?? recipe.verify.device, type, options.signal);
  const { device } = choice;
  const grid = await planGrid(recipe, TRAITS[device].target, options);
  const { x, y, clip, tiles } = grid;

  await using stack = new AsyncDisposableStack();
  const leaving = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, leaving.signal]) : leaving.signal;
  const scratch = stack.use(await openStaging(options.scratch ?? defaultScratch(), () => undefined));
  const plans = tiles.map(({ plan }) => plan) as [Plan, ...Plan[]];
  const variants = stack.use(await openVariants(plans, { folder: scratch.path, signal }));
  let ahead: Promise<Variant> | undefined;
  stack.defer(async () => {
    leaving.abort();
    await ahead?.catch(() => undefined); // it writes where all is about to be removed
  });
  let variant = yield* variants.make(0);
  const sessions = stack.use(openGraphs(variant.package, choice));
  const { target, warning } = await targetFor(variant.package, device, signal);
  if (warning !== undefined) yield { type: 'warning', stage: 'sweep', message: warning };

  const made: Made[] = [];
  const warned = new Set<string>();
  let ended = performance.now();
  for (const [i, tile] of tiles.entries()) {
    if (i > 0) variant = await (ahead as Promise<Variant>);
    ahead = i + 1 < tiles.length ? drain(variants.make(i + 1, target)) : undefined;
    ahead?.catch(() => undefined); // met when it is wanted
    const { sampler, verify } = tile.plan.recipe;
    const warnings: string[] = [];
    const video = await drain(
      sampleOn(sharedWith(sessions, variant.package), {
        prompt,
        negative,
        promptWeights,
        seed: verify.seed,
        steps: sampler.steps,
        guidance: sampler.guidance,
        signal,
      }),
      (event) => {
        if (event.type === 'warning') warnings.push(event.message);
      },
    );
    for (const message of new Set(warnings).difference(warned)) yield { type: 'warning', stage: 'sweep', message };
    for (const message of warnings) warned.add(message);
    await variants.release(i);
    const milliseconds = performance.now() - ended;
    ended = performance.now();
    const { index, label, settings } = tile;
    const { plan: _, ...place } = tile;
    const { package: _package, ...merged } = variant;
    const { load_ms, denoise_ms, decode_ms } = video.timing;
    const figures = { motion: motion(video.frames), consistency: temporalConsistency(video.frames) };
    const swept = {
      ...place,
      own: settings.every(({ path, value }) => knobAt(recipe, path).value === value),
      merged,
      load_ms,
      denoise_ms,
      decode_ms,
      milliseconds,
      ...figures,
    };
    made[tile.index] = { tile: swept, frames: video.frames, latents: video.latents };
    yield {
      type: 'tile',
      stage: 'sweep',
      index,
      total: tiles.length,
      label,
      settings,
      frames: video.frames,
      milliseconds,
      note: `motion ${figures.motion.toFixed(1)}, consistency ${figures.consistency.toFixed(3)}`,
    };
    yield { type: 'progress', stage: 'sweep', done: i + 1, total: tiles.length, unit: 'clips', detail: label };
  }
  yield {
    type: 'stage-finished',
    stage: 'sweep',
    milliseconds: performance.now() - started,
    summary: `${count(tiles.length, 'clip')} of ${describeClip(clip)} on ${device}`,
  };
  return {
    figures: { x, y, device, clip, prompt, negative, seed, tiles: withDistances(made) },
    clips: made.map(({ frames }) => frames),
  };
}

interface Made extends Pick<Video, 'frames' | 'latents'> {
  readonly tile: SweptTile;
}

function withDistances(made: readonly Made[]): SweptTile[] {
  const own = made.find(({ tile }) => tile.own);
  return made.map(({ tile, frames, latents }) => ({
    ...tile,
    ...(own && {
      distance: { pixels: pixelDistance(frames, own.frames), latents: relativeRms(latents, own.latents) },
    }),
  }));
}

/** The recipe, verified with what was asked for. */
function withWish(recipe: Recipe, { prompt, negative, seed }: SweepOptions): Recipe {
  const { verify } = recipe;
  return {
    ...recipe,
    verify: {
      ...verify,
      prompt: prompt ?? verify.prompt,
      negative: negative ?? verify.negative,
      seed: seed ?? verify.seed,
    },
  };
}

/** One for each user: what others have left may not be removed. A user of a container may have a number and no name. */
function defaultScratch(): string {
  return join(tmpdir(), `lcm-merge-sweep-${process.getuid?.() ?? userInfo().username}`);
}

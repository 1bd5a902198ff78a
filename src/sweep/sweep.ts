/**
 * A grid over one or two numbers of a recipe, sampled small with one prompt and one seed: what each of its tiles shows is what a bake of its
 * recipe at that size would show. What is merged for one tile serves all others that have it (variants.ts), and the weights of the next
 * are merged while a tile loads and is sampled.
 */

import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { motion, pixelDistance, temporalConsistency } from '../compare/metrics.ts';
import { MergeError, RuntimeFailure } from '../errors.ts';
import { drain, type Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import type { Plan } from '../merge/plan.ts';
import { describeClip } from '../recipe/clip-shapes.ts';
import { knobAt } from '../recipe/knobs.ts';
import type { ClipShape, Recipe, TargetName } from '../recipe/schema.ts';
import { chooseDevice } from '../runtime/choose-device.ts';
import { type Device, TRAITS } from '../runtime/device.ts';
import type { Frames } from '../runtime/frames.ts';
import { type GraphSessions, openGraphs, sharedWith } from '../runtime/graph-sessions.ts';
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

/** A tile that could not be made: its weights or its picture leave the range of numbers. */
export interface FailedTile extends Pick<PlannedTile, 'index' | 'column' | 'row' | 'label' | 'settings'> {
  readonly reason: string;
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
  /** Row by row; without those that failed. */
  readonly tiles: readonly SweptTile[];
  readonly failed: readonly FailedTile[];
}

export interface Sweep {
  readonly figures: SweepFigures;
  /** Of every one of the tiles: what is looked at, and not told in figures. */
  readonly clips: readonly Frames[];
}

/**
 * A tile that fails does not end the sweep: a warning names it, and the result its reason.
 * @throws UsageError for a grid that cannot be; what planning, baking and sampling throw; what the first tile threw where all failed.
 * Nothing is left behind.
 */
export async function* sweep(plan: Pick<Plan, 'recipe'>, options: SweepOptions): Stage<Sweep> {
  const started = performance.now();
  const recipe = withWish(plan.recipe, options);
  const { prompt, negative, seed, prompt_weights: promptWeights } = recipe.verify;
  yield { type: 'stage-started', stage: 'sweep', subject: recipe.name };
  const type = recipe.output.dtype === 'fp16' ? 'float16' : 'float32';
  const choice = await chooseDevice(options.device ?? recipe.verify.device, type, options.signal);
  const { device } = choice;
  const grid = yield* planGrid(recipe, TRAITS[device].target, options);
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
  let running: { readonly sessions: GraphSessions; readonly target: TargetName } | undefined;

  /** By their place in the grid. */
  const made: Made[] = [];
  const failures: { readonly tile: FailedTile; readonly error: Error }[] = [];
  const warned = new Set<string>();
  let ended = performance.now();
  for (const [i, tile] of tiles.entries()) {
    const { plan: _, ...place } = tile;
    const { index, label, settings } = tile;
    const { sampler, verify } = tile.plan.recipe;
    const warnings: string[] = [];
    let [variant, video]: [Variant?, Video?] = [];
    try {
      const coming = ahead;
      ahead = undefined;
      variant = await (coming ?? (yield* variants.make(i, running?.target)));
      if (!running) {
        const { target, warning } = await targetFor(variant.package, device, signal);
        if (warning !== undefined) warnings.push(warning);
        running = { sessions: stack.use(openGraphs(variant.package, choice)), target };
        ended = performance.now();
      }
      ahead = i + 1 < tiles.length ? drain(variants.make(i + 1, running.target)) : undefined;
      ahead?.catch(() => undefined); // met when it is wanted
      video = await drain(
        sampleOn(sharedWith(running.sessions, variant.package), {
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
    } catch (error) {
      if (!isOfOneTile(error)) throw error;
      failures.push({ tile: { ...place, reason: error.message }, error });
      warnings.push(`${label} is left out: ${error.message}`);
    }
    for (const message of new Set(warnings).difference(warned)) yield { type: 'warning', stage: 'sweep', message };
    for (const message of warnings) warned.add(message);
    await variants.release(i);
    const milliseconds = performance.now() - ended;
    ended = performance.now();
    const done = {
      type: 'progress',
      stage: 'sweep',
      done: i + 1,
      total: tiles.length,
      unit: 'clips',
      detail: label,
    } as const;
    if (!variant || !video) {
      yield done;
      continue;
    }
    const own = settings.every(({ path, value }) => knobAt(recipe, path).value === value);
    const swept = { ...place, own, milliseconds, ...figuresOf(variant, video) };
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
      note: `motion ${swept.motion.toFixed(1)}, consistency ${swept.consistency.toFixed(3)}`,
    };
    yield done;
  }
  const [failure] = failures;
  if (failure && failures.length === tiles.length) throw failure.error;
  const clips = made.filter((one) => one !== undefined); // none where one failed
  yield {
    type: 'stage-finished',
    stage: 'sweep',
    milliseconds: performance.now() - started,
    summary: `${count(clips.length, 'clip')} of ${describeClip(clip)} on ${device}${failures.length > 0 ? `; ${failures.length} failed` : ''}`,
  };
  return {
    figures: {
      x,
      y,
      device,
      clip,
      prompt,
      negative,
      seed,
      tiles: withDistances(clips),
      failed: failures.map(({ tile }) => tile),
    },
    clips: clips.map(({ frames }) => frames),
  };
}

/** Is it a matter of the numbers that this tile asks for? A machine that fails, fails all of them. */
function isOfOneTile(error: unknown): error is MergeError | RuntimeFailure {
  return error instanceof MergeError || (error instanceof RuntimeFailure && error.blame === 'graph');
}

function figuresOf({ package: _, ...merged }: Variant, { frames, timing: { load_ms, denoise_ms, decode_ms } }: Video) {
  const seen = { motion: motion(frames), consistency: temporalConsistency(frames) };
  return { merged, load_ms, denoise_ms, decode_ms, ...seen };
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

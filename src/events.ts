/**
 * The one stream of events that every stage yields and every consumer (plain CLI, NDJSON, terminal UI) reads.
 * Events carry facts (bytes, counts, milliseconds); rates and ETAs are the viewer's business.
 */

import type { KeyPath } from './recipe/located-yaml.ts';
import type { Frames } from './runtime/frames.ts';

export type StageName =
  | 'survey'
  | 'fetch'
  | 'plan'
  | 'bake'
  | 'run'
  | 'verify'
  | 'compare'
  | 'sweep'
  | 'diff'
  | 'reproduce'
  | 'sign'
  | 'publish';

/** A number of the recipe and where it stands there: `['lcm', 'beta']`. */
export interface Setting {
  readonly path: KeyPath;
  readonly value: number;
}

export type CheckVerdict = 'passed' | 'failed' | 'unknown';

export type Event =
  | { readonly type: 'stage-started'; readonly stage: StageName; readonly subject: string }
  /** `done` of `total` units; bytes while fetching and baking, evaluations of the UNet while sampling, and before each check, which `detail` names, checks. */
  | {
      readonly type: 'progress';
      readonly stage: StageName;
      readonly done: number;
      readonly total: number;
      readonly unit: 'bytes' | 'steps' | 'frames' | 'clips' | 'checks' | 'tensors' | 'files';
      readonly detail?: string;
      /** What the unit that is done last took by itself, where each is measured: a step of sampling. */
      readonly milliseconds?: number;
    }
  | { readonly type: 'warning'; readonly stage: StageName; readonly message: string }
  /** Latents after one sampler step, for previews: float32 [1, 4, frames, height/8, width/8]. Left out of NDJSON. */
  | {
      readonly type: 'latents';
      readonly stage: StageName;
      readonly step: number;
      readonly shape: readonly number[];
      readonly data: Float32Array;
    }
  /** What a step's clean estimate looks like: its middle frame. Steps are counted from 1. In NDJSON the pixels are a picture (`webp`). */
  | {
      readonly type: 'preview';
      readonly stage: StageName;
      readonly step: number;
      readonly total: number;
      readonly width: number;
      readonly height: number;
      /** RGB, 8 bit, [height, width, 3]. */
      readonly pixels: Uint8Array;
    }
  /** One of several clips that are looked at side by side. In NDJSON its frames are an animated picture (`webp`). */
  | {
      readonly type: 'tile';
      readonly stage: 'compare' | 'sweep';
      /** From 0 to below `total`; tiles may come in any order. */
      readonly index: number;
      readonly total: number;
      /** What sets it apart from the others: `α 0.4  β 1`. */
      readonly label: string;
      /** Of a sweep: what to write into the recipe for it to be this one. */
      readonly settings?: readonly Setting[];
      readonly frames: Frames;
      readonly milliseconds: number;
      /** What else is worth a line beside it. */
      readonly note?: string;
    }
  | {
      readonly type: 'check';
      readonly stage: 'verify';
      readonly id: string;
      readonly verdict: CheckVerdict;
      readonly reason: string;
      readonly seconds: number;
    }
  /** Of a package that came from elsewhere: whose it is, whether it is what was verified, whether it does what it did there. */
  | {
      readonly type: 'finding';
      readonly stage: 'verify';
      readonly id: 'signature' | 'hashes' | 'fingerprint';
      readonly verdict: CheckVerdict | 'not checked';
      readonly reason: string;
    }
  | {
      readonly type: 'stage-finished';
      readonly stage: StageName;
      readonly milliseconds: number;
      readonly summary: string;
    };

export type Tile = Omit<Extract<Event, { type: 'tile' }>, 'type' | 'stage'>;

export type Preview = Omit<Extract<Event, { type: 'preview' }>, 'type' | 'stage'>;

/** What every stage is: it yields events and returns its result. */
export type Stage<Result> = AsyncGenerator<Event, Result, void>;

/** Runs a stage to its end, handing each event to `onEvent` (and waiting for a promise that it gives), and returns its result. */
export async function drain<Result>(stage: Stage<Result>, onEvent?: (event: Event) => unknown): Promise<Result> {
  for (;;) {
    const next = await stage.next();
    if (next.done) return next.value;
    await onEvent?.(next.value);
  }
}

/**
 * Work that tells its steps, as a stage: `tell` makes an event of each. Who stops listening ends the work, too, so that it leaves no file
 * open.
 */
export async function* telling<Step, Result>(
  work: AsyncGenerator<Step, Result, void>,
  tell: (step: Step) => Event,
): Stage<Result> {
  try {
    for (;;) {
      const next = await work.next();
      if (next.done) return next.value;
      yield tell(next.value);
    }
  } finally {
    await work.return(undefined as never);
  }
}

/** What a process that runs stages and the one that has started it say to each other (structured clones over Node's IPC channel). */
import type { Event, Stage } from '../events.ts';
import type { PackedError } from './packed-error.ts';

/** A stage's last argument is its options; the signal in it is not sent, but told by `abort`. */
// biome-ignore lint/suspicious/noExplicitAny: any stage, whatever it takes and gives
export type AnyStage = (...args: any[]) => Stage<any>;

/** Stages by name, each with what loads it. */
export type StageTable = Readonly<Record<string, () => Promise<AnyStage>>>;

export type ToStage =
  /** Make ready: what takes time to import. */
  | { readonly type: 'load'; readonly stages: readonly string[] }
  | { readonly type: 'start'; readonly stage: string; readonly args: readonly unknown[] }
  /** The caller has taken one event. */
  | { readonly type: 'taken' }
  | { readonly type: 'abort' }
  /** Stop, clean up and end. */
  | { readonly type: 'leave' };

export type FromStage =
  | { readonly type: 'event'; readonly event: Event }
  | { readonly type: 'done'; readonly result: unknown }
  /** `last`: the process ends after that. */
  | { readonly type: 'failed'; readonly error: PackedError; readonly last: boolean };

/**
 * So many events may be on their way. A stage then works on while its caller draws a screen, and stops when the caller
 * takes none for longer.
 */
export const EVENTS_AHEAD = 64;

/** Milliseconds in which whoever is asked to stop must have cleaned up; removing 3 GB takes seconds on a busy disk. */
export const GRACE = 10_000;

/** How far a comparison is, in bytes of one of the two packages: files and tensors that differ are read after one another. */
import type { Event } from '../../events.ts';

export interface Tracker {
  /** So many bytes more have been compared; ends the work when somebody has asked for that. */
  advance(bytes: number, detail: string): Event;
}

export function createTracker(total: number, signal: AbortSignal | undefined): Tracker {
  let done = 0;
  return {
    advance(bytes, detail) {
      signal?.throwIfAborted();
      done = Math.min(total, done + bytes);
      return { type: 'progress', stage: 'diff', done, total, unit: 'bytes', detail };
    },
  };
}

/** How far a comparison is, in bytes of one of the two packages. What is left is known better once it is known which files differ. */
import type { Event } from '../../events.ts';

export interface Tracker {
  /** So many bytes more have been compared; ends the work when somebody has asked for that. */
  advance(bytes: number, detail: string): Event;
  /** So many are still to be compared. */
  setLeft(bytes: number): void;
}

export function createTracker(signal: AbortSignal | undefined): Tracker {
  let [done, total] = [0, 0];
  return {
    advance(bytes, detail) {
      signal?.throwIfAborted();
      done += bytes;
      return { type: 'progress', stage: 'diff', done, total, unit: 'bytes', detail };
    },
    setLeft(bytes) {
      total = done + bytes;
    },
  };
}

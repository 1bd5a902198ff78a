/**
 * Clips in motion: which frame is due at what time. The clock decides and not a count of ticks, so that a busy terminal shows a
 * later frame and never a slower clip; what it left out is counted.
 */
import { CLIP_FPS } from '../runtime/frames.ts';

export interface Playback {
  /** Of the frame that is shown, from 0. */
  readonly at: number;
  readonly playing: boolean;
  /** When the next frame is due, in milliseconds of the clock that ticks; undefined until the first tick. */
  readonly due?: number | undefined;
  /** Frames that were due and never shown, since it began to play. */
  readonly skipped: number;
}

export type PlaybackCommand = 'play' | 'earlier-frame' | 'later-frame';

export const FRAME_MILLISECONDS = 1000 / CLIP_FPS;

export const START: Playback = { at: 0, playing: true, skipped: 0 };

/** `count` is that of the frames, at least 1. Stepping stops the motion. */
export function obeyPlayback<P extends Playback>(playback: P, command: PlaybackCommand, count: number): P {
  if (command === 'play') return { ...playback, playing: !playback.playing, due: undefined, skipped: 0 };
  const by = command === 'later-frame' ? 1 : -1;
  return { ...playback, at: (playback.at + by + count) % count, playing: false, due: undefined, skipped: 0 };
}

/** The frame that is due at `now`; the same object as long as that is the one that is shown. */
export function tick<P extends Playback>(playback: P, count: number, now: number): P {
  const { at, playing, due, skipped } = playback;
  if (!playing || (due !== undefined && now < due)) return playback;
  const late = due === undefined ? Infinity : Math.floor((now - due) / FRAME_MILLISECONDS);
  // so late nobody was looking, as when another pane was shown: it goes on where it was
  if (late >= count) return { ...playback, due: now + FRAME_MILLISECONDS };
  return {
    ...playback,
    at: (at + 1 + late) % count,
    due: (due as number) + (1 + late) * FRAME_MILLISECONDS,
    skipped: skipped + late,
  };
}

/** Milliseconds from `now` to the next frame; undefined while nothing moves. */
export function untilNext({ playing, due }: Playback, now: number): number | undefined {
  return playing ? Math.max(0, (due ?? now) - now) : undefined;
}

/** `▶ frame 3 of 16`, and what was left out. */
export function describePlayback({ at, playing, skipped }: Playback, count: number): string {
  const missing = skipped === 0 ? '' : `, ${skipped} skipped`;
  return `${playing ? '▶' : '‖'} frame ${(at % count) + 1} of ${count}${missing}`;
}

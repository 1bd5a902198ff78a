/** A clip as text of a certain size: each frame is drawn, or sent to the terminal, once, when it is first shown. */
import { randomInt } from 'node:crypto';
import type { Frames } from '../runtime/frames.ts';
import { MAX_ID, MAX_SPAN, placeholders, remove, transmit } from './kitty.ts';
import { type Cells, halfBlocks, type Picture, resize, type Size, sizeIn } from './pixels.ts';

export interface Drawing {
  readonly cells: Cells;
  /** The lines of a frame. */
  readonly lines: (frame: number) => readonly string[];
  /** To be called when the frame is on the screen. */
  readonly shown?: (frame: number) => void;
  /** To be called when no frame is on the screen any more. */
  readonly end?: () => void;
}

/** How this terminal shows pictures. */
export interface Graphics {
  /** In `room`, and in no more than `budget` cells (default: what can be drawn in time). */
  readonly draw: (frames: Frames, room: Cells, budget?: number) => Drawing;
}

export function frameOf({ width, height, data }: Frames, frame: number): Picture {
  const bytes = width * height * 3;
  return { width, height, data: data.subarray(frame * bytes, (frame + 1) * bytes) };
}

/** In every terminal; `depth` as for `halfBlocks`. */
export function blockGraphics(depth: number): Graphics {
  return {
    draw(frames, room, budget) {
      const size = sizeIn(frames, room, budget);
      const drawn: (readonly string[])[] = [];
      return {
        cells: cellsOf(size),
        lines: (frame) => (drawn[frame] ??= halfBlocks(resize(frameOf(frames, frame), size), depth)),
      };
    },
  };
}

/** On kitty and what understands it; `write` goes to the terminal past Ink, which would take the pictures for dirt in a text. */
export function kittyGraphics(write: (commands: string) => void, first = randomInt(1, MAX_ID >> 1)): Graphics {
  let next = first; // a number of somebody else's picture in the same terminal is unlikely
  const number = () => {
    const id = next;
    next = id === MAX_ID ? 1 : id + 1;
    return id;
  };
  return {
    draw(frames, room, budget) {
      const within = { columns: Math.min(MAX_SPAN, room.columns), rows: Math.min(MAX_SPAN, room.rows) };
      const cells = cellsOf(sizeIn(frames, within, budget));
      const ids = Array.from({ length: frames.count }, number);
      const sent = new Set<number>();
      const send = (frame: number) => {
        const id = ids[frame] as number;
        if (!sent.has(id)) write(transmit(id, frameOf(frames, frame), cells));
        sent.add(id);
      };
      return {
        cells,
        lines: (frame) => placeholders(ids[frame] as number, cells),
        shown(frame) {
          send(frame);
          send((frame + 1) % frames.count); // is there when it is due
        },
        end() {
          if (sent.size > 0) write(remove([...sent]));
          sent.clear();
        },
      };
    },
  };
}

function cellsOf({ width, height }: Size): Cells {
  return { columns: width, rows: height / 2 };
}

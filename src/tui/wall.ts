/** Clips side by side that move in step, one of them selected; and how they are arranged in the cells that there are. */
import type { Tile } from '../events.ts';
import { type Cells, MAX_CELLS, type Size, sizeIn } from './pixels.ts';
import { obeyPlayback, type Playback, type PlaybackCommand, START, tick } from './playback.ts';

/** All begin again with the longest, so that they stay in step; a shorter one begins again on its own as well. */
export interface Wall extends Playback {
  /** By their index; those that are not there yet are undefined. */
  readonly tiles: readonly (Tile | undefined)[];
  readonly total: number;
  /** What stands beside each other, as in a grid; a row begins after so many. */
  readonly columns: number;
  /** Of those still to come, by index, where they are known. */
  readonly labels: readonly string[];
  readonly selected: number;
}

export type WallCommand = 'up' | 'down' | 'left' | 'right' | 'first' | 'last' | PlaybackCommand;

/** Without a grid as many columns as rows, about. */
export function startWall(
  total: number,
  columns: number = Math.ceil(Math.sqrt(total)),
  labels: readonly string[] = [],
): Wall {
  return { ...START, tiles: Array(total).fill(undefined), total, columns: Math.max(1, columns), labels, selected: 0 };
}

/** A tile of a wall of another size is none of this one's. */
export function hearTile(wall: Wall, tile: Tile): Wall {
  const isOfIt = tile.total === wall.total && tile.index < tile.total && tile.frames.count > 0;
  return isOfIt ? { ...wall, tiles: wall.tiles.with(tile.index, tile) } : wall;
}

export function obeyWall(wall: Wall, command: WallCommand): Wall {
  const { selected, columns, total } = wall;
  const column = selected % columns;
  switch (command) {
    case 'left':
      return select(wall, column === 0 ? selected : selected - 1);
    case 'right':
      return select(wall, column === columns - 1 ? selected : selected + 1);
    case 'up':
      return select(wall, selected < columns ? selected : selected - columns);
    case 'down': // the last row may be shorter
      return select(wall, Math.ceil((selected + 1) / columns) * columns >= total ? selected : selected + columns);
    case 'first':
      return select(wall, 0);
    case 'last':
      return select(wall, total - 1);
    default:
      return obeyPlayback(wall, command, frameCount(wall));
  }
}

/** Time has passed; the same wall as long as nothing is due. */
export function tickWall(wall: Wall, now: number): Wall {
  return wall.tiles.some((tile) => tile !== undefined) ? tick(wall, frameCount(wall), now) : wall;
}

/** Of the longest clip, at least 1. */
export function frameCount({ tiles }: Wall): number {
  return Math.max(1, ...tiles.map((tile) => tile?.frames.count ?? 1));
}

export function labelOf({ tiles, labels }: Wall, index: number): string {
  return tiles[index]?.label ?? labels[index] ?? '';
}

function select(wall: Wall, index: number): Wall {
  const selected = Math.min(wall.total - 1, Math.max(0, index));
  return selected === wall.selected ? wall : { ...wall, selected };
}

// ---------------------------------------------------------------------------------------------------- arrangement

/** Smaller pictures cannot be told from each other. */
const SMALLEST: Cells = { columns: 12, rows: 6 };
/** A frame around each. */
export const FRAME = 2;

export interface WallArrangement {
  /** Of a tile with its frame. */
  readonly tile: Cells;
  /** How many cells a picture may cover. */
  readonly budget: number;
  /** What can be seen: indices, row by row. */
  readonly rows: readonly (readonly number[])[];
}

/** As many tiles as can be recognised, and those as large as they may be; the selected one is among them. */
export function arrangeWall({ total, columns, tiles, selected }: Wall, cells: Cells): WallArrangement {
  const size: Size = tiles.find((tile) => tile !== undefined)?.frames ?? { width: 1024, height: 1024 };
  const allRows = Math.ceil(total / columns);
  const budgetOf = (across: number, down: number) => Math.floor(MAX_CELLS / (across * down));
  const roomOf = (across: number, down: number): Cells => ({
    columns: Math.floor(cells.columns / across) - FRAME,
    rows: Math.floor(cells.rows / down) - FRAME,
  });
  let [across, down, best] = [1, 1, -1];
  for (let a = 1; a <= Math.min(columns, total); a++) {
    for (let d = 1; d <= allRows; d++) {
      const picture = sizeIn(size, roomOf(a, d), budgetOf(a, d));
      const isRecognised =
        picture.width >= Math.min(SMALLEST.columns, size.width) &&
        picture.height / 2 >= Math.min(SMALLEST.rows, size.height / 2);
      const score = isRecognised ? a * d * 1e6 + picture.width * picture.height : -1;
      if (score > best) [across, down, best] = [a, d, score];
    }
  }
  const room = roomOf(across, down);
  const budget = budgetOf(across, down);
  const { width, height } = sizeIn(size, room, budget);
  const left = around(selected % columns, across, columns);
  const top = around(Math.floor(selected / columns), down, allRows);
  return {
    tile: {
      columns: Math.min(room.columns, Math.max(width, LABEL)) + FRAME,
      rows: Math.min(room.rows, height / 2) + FRAME,
    },
    budget,
    rows: Array.from({ length: down }, (_, row) =>
      Array.from({ length: across }, (__, column) => (top + row) * columns + left + column).filter((i) => i < total),
    ),
  };
}

/** Columns that a label wants beside its picture, where there is room. */
const LABEL = 20;

/** The first of `shown` out of `all` that are seen, with the selected one in their middle where that can be. */
function around(selected: number, shown: number, all: number): number {
  return Math.max(0, Math.min(all - shown, selected - Math.floor(shown / 2)));
}

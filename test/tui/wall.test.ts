import { describe, expect, it } from 'vitest';
import type { Tile } from '../../src/events.ts';
import { MAX_CELLS, sizeIn } from '../../src/tui/pixels.ts';
import {
  arrangeWall,
  frameCount,
  hearTile,
  labelOf,
  obeyWall,
  startWall,
  tickWall,
  type Wall,
  type WallCommand,
} from '../../src/tui/wall.ts';

const tile = (index: number, total: number, { width = 64, height = 64, count = 16 } = {}): Tile => ({
  index,
  total,
  label: `α 0.${index}`,
  frames: { width, height, count, data: new Uint8Array(width * height * count * 3) },
  milliseconds: 1200,
});
const full = (total: number, columns?: number, clip?: Parameters<typeof tile>[2]) =>
  Array.from({ length: total }, (_, i) => tile(i, total, clip)).reduce(hearTile, startWall(total, columns));
const given = (wall: Wall, ...commands: readonly WallCommand[]) => commands.reduce(obeyWall, wall);

describe('a wall', () => {
  it('takes tiles in any order, each in its place', () => {
    const wall = [tile(2, 3), tile(0, 3)].reduce(hearTile, startWall(3, 3, ['α 0.0', 'α 0.1', 'α 0.2']));
    expect(wall.tiles.map((one) => one?.index)).toEqual([0, undefined, 2]);
    expect([0, 1, 2].map((i) => labelOf(wall, i))).toEqual(['α 0.0', 'α 0.1', 'α 0.2']);
    expect(labelOf(startWall(2), 1)).toBe('');
  });
  it('takes none of another wall', () => {
    const wall = startWall(3);
    expect(hearTile(wall, tile(1, 9))).toBe(wall);
    expect(hearTile(wall, tile(3, 3))).toBe(wall);
  });
  it('selects along rows and columns and stops at their ends', () => {
    const wall = full(8, 3); // 3, 3, 2
    expect(given(wall, 'left').selected).toBe(0);
    expect(given(wall, 'up').selected).toBe(0);
    expect(given(wall, 'right', 'right', 'right').selected).toBe(2);
    expect(given(wall, 'right', 'down').selected).toBe(4);
    expect(given(wall, 'right', 'right', 'down', 'down').selected).toBe(7); // below 5 there is nothing but the last
    expect(given(wall, 'last').selected).toBe(7);
    expect(given(wall, 'last', 'down').selected).toBe(7);
    expect(given(wall, 'last', 'right').selected).toBe(7);
    expect(given(wall, 'last', 'up').selected).toBe(4);
    expect(given(wall, 'last', 'first').selected).toBe(0);
  });
  it('is about as wide as high where nothing asks for a grid', () => {
    expect([1, 2, 3, 4, 5, 9].map((total) => startWall(total).columns)).toEqual([1, 2, 2, 2, 3, 3]);
  });
  it('moves once there is a clip, all with the longest', () => {
    const empty = startWall(2);
    expect(tickWall(tickWall(empty, 0), 1000)).toBe(empty);
    const wall = [tile(0, 2, { count: 4 }), tile(1, 2, { count: 6 })].reduce(hearTile, empty);
    expect(frameCount(wall)).toBe(6);
    const times = [0, 125, 250, 375, 500, 625];
    expect(times.reduce(tickWall, wall).at).toBe(5);
    expect([...times, 750].reduce(tickWall, wall).at).toBe(0);
    expect(tickWall(given(wall, 'play'), 500)).toEqual(given(wall, 'play'));
    expect(given(wall, 'earlier-frame')).toMatchObject({ at: 5, playing: false });
  });
});

describe('arrangeWall', () => {
  const SCREENS = [
    { columns: 56, rows: 15 },
    { columns: 76, rows: 19 },
    { columns: 116, rows: 35 },
    { columns: 246, rows: 65 },
  ];
  it.each(SCREENS)('in %j shows what fits and can be recognised, and costs no more than it may', (cells) => {
    for (const wall of [
      full(9, 3),
      full(16, 8),
      full(2),
      full(1),
      full(9, 3, { width: 512, height: 512, count: 1 }),
      startWall(12, 4),
    ]) {
      const { tile: box, rows, budget } = arrangeWall(wall, cells);
      const seen = rows.flat();
      expect(seen).toContain(wall.selected);
      expect(rows.length * box.rows).toBeLessThanOrEqual(cells.rows);
      expect(Math.max(...rows.map((row) => row.length)) * box.columns).toBeLessThanOrEqual(cells.columns);
      const clip = wall.tiles[0]?.frames ?? { width: 1024, height: 1024 };
      const picture = sizeIn(clip, { columns: box.columns - 2, rows: box.rows - 2 }, budget);
      expect(picture.width).toBeGreaterThanOrEqual(12);
      expect(picture.height / 2).toBeGreaterThanOrEqual(6);
      expect((seen.length * picture.width * picture.height) / 2).toBeLessThanOrEqual(MAX_CELLS * 1.8); // enlarged ones cost half
    }
  });
  it.each([
    [{ columns: 76, rows: 19 }, 6],
    [{ columns: 116, rows: 35 }, 9],
    [{ columns: 246, rows: 65 }, 9],
  ])('shows of nine tiles in %j %i', (cells, count) => {
    expect(arrangeWall(full(9, 3), cells).rows.flat()).toHaveLength(count);
  });
  it('keeps the selected one in sight, in rows and columns', () => {
    const cells = { columns: 60, rows: 17 };
    const wall = full(64, 8);
    for (let i = 0; i < 64; i++) expect(arrangeWall({ ...wall, selected: i }, cells).rows.flat()).toContain(i);
    expect(
      arrangeWall({ ...wall, selected: 63 }, cells)
        .rows.at(-1)
        ?.at(-1),
    ).toBe(63);
  });
  it('shows one where none can be recognised', () => {
    expect(arrangeWall(full(9, 3), { columns: 10, rows: 5 }).rows).toEqual([[0]]);
  });
});

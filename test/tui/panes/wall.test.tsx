import { describe, expect, it } from 'vitest';
import type { Tile } from '../../../src/events.ts';
import { WallView } from '../../../src/tui/panes/wall.tsx';
import { hearTile, obeyWall, startWall, type Wall } from '../../../src/tui/wall.ts';
import { linesOf } from './lines.ts';

/** All white, so that without colours it is all █. */
const white = (count: number) => ({
  width: 16,
  height: 16,
  count,
  data: new Uint8Array(16 * 16 * 3 * count).fill(255),
});
const tile = (index: number, total: number, more: Partial<Tile> = {}): Tile => ({
  index,
  total,
  label: `α 0.${index}`,
  frames: white(2),
  milliseconds: 1500,
  ...more,
});

const shown = (wall: Wall, columns: number, rows: number) =>
  linesOf(<WallView coming wall={wall} cells={{ columns, rows }} />, columns);

describe('WallView', () => {
  it('frames the selected tile, and has label and note at each', () => {
    const wall = [tile(0, 2, { note: 'as it was' }), tile(1, 2, { note: '0.12 away' })].reduce(hearTile, startWall(2));
    expect(shown(obeyWall(wall, 'right'), 46, 12)).toEqual(
      [
        `  α 0.0               ┏▸α 0.1 ━━━━━━━━━━━━━┓`,
        ...Array(8).fill(`   ${'█'.repeat(16)}   ┃  ${'█'.repeat(16)}  ┃`),
        ` as it was            ┗0.12 away ━━━━━━━━━━┛`,
        '',
        '2 of 2  α 0.1 · ▶ frame 1 of 2 · 0.12 away · …',
      ].map((line) => line.trimEnd()),
    );
  });
  it('keeps a place for what is still to come, with its label', () => {
    const wall = hearTile(startWall(3, 3, ['α 0.0', 'α 0.1', 'α 0.2']), tile(1, 3));
    const lines = shown(wall, 70, 12);
    expect(lines[0]).toMatch(/^┏▸α 0\.0 ━+┓ {2}α 0\.1 +α 0\.2$/);
    expect(lines[4]).toMatch(/^┃ +… +┃ +█{16} +…$/);
    expect(lines.at(-1)).toBe('1 of 3  α 0.0 · ▶ frame 1 of 2 · still to come');
  });
  it('scrolls to the selected one, and says how many are in sight', () => {
    const wall = Array.from({ length: 9 }, (_, i) => tile(i, 9)).reduce(hearTile, startWall(9, 3));
    const first = shown(wall, 66, 12);
    expect(first.join('\n')).toContain('▸α 0.0');
    expect(first.at(-1)).toContain('1 of 9 (3 in sight)  α 0.0');
    const last = shown(obeyWall(wall, 'last'), 66, 12).join('\n');
    expect(last).toContain('▸α 0.8');
    expect(last).not.toContain('α 0.0');
  });
  it('cuts no figure in two', () => {
    const note = 'motion 13.3, consistency 0.815';
    const wall = [tile(0, 2, { note }), tile(1, 2, { note })].reduce(hearTile, startWall(2));
    expect(shown(wall, 46, 12)[9]).toBe('┗motion 13.3 ━━━━━━━━┛ motion 13.3');
    expect(shown(wall, 70, 22).join('\n')).toContain('┗motion 13.3, consistency 0.815 ━');
  });
  it('moves all in step', () => {
    const blinking = { ...white(2), data: white(2).data.fill(0, 16 * 16 * 3) }; // white, then black
    const wall = [tile(0, 2, { frames: blinking }), tile(1, 2, { frames: blinking })].reduce(hearTile, startWall(2));
    expect(shown(wall, 46, 12)[3]).toContain('█');
    expect(shown({ ...wall, at: 1 }, 46, 12).join('')).not.toContain('█');
    expect(shown({ ...wall, skipped: 3 }, 80, 12).at(-1)).toContain('3 skipped');
  });
  it('lets nothing in a label act on the terminal', () => {
    const wall = hearTile(startWall(1), tile(0, 1, { label: 'a\u001b[2Jb', note: 'c\u0007' }));
    const text = shown(wall, 60, 12).join('\n');
    for (const control of ['\u0007', '\u001b']) expect(text).not.toContain(control);
    expect(text).toContain('a\\u001b[2Jb');
  });
});

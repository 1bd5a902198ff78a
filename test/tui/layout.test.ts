import { describe, expect, it } from 'vitest';
import { arrange, PANES } from '../../src/tui/layout.ts';

describe('arrange', () => {
  it.each([
    [160, 50],
    [120, 30],
    [301, 97],
  ])('fills %i×%i with all panes, none over another', (columns, rows) => {
    const arrangement = arrange(columns, rows);
    if (arrangement.kind !== 'columns') throw new Error(arrangement.kind);
    const panes = arrangement.columns.flat();
    expect(panes.map(({ pane }) => pane).toSorted()).toEqual([...PANES].toSorted());
    for (const column of arrangement.columns) {
      expect(column.reduce((sum, { height }) => sum + height, 0)).toBe(rows - 2);
      expect(new Set(column.map(({ width }) => width)).size).toBe(1);
    }
    expect(arrangement.columns.reduce((sum, [first]) => sum + (first?.width ?? 0), 0)).toBe(columns);
    for (const { height } of panes) expect(height).toBeGreaterThanOrEqual(5);
  });
  it('shows a clip of 64×64 pixel by pixel on 160×50', () => {
    const arrangement = arrange(160, 50);
    const frames =
      arrangement.kind === 'columns' ? arrangement.columns.flat().find(({ pane }) => pane === 'run') : undefined;
    expect(frames?.width).toBeGreaterThanOrEqual(64 + 4);
    expect(frames?.height).toBeGreaterThanOrEqual(32 + 3);
  });
  it.each([
    [80, 24],
    [60, 20],
    [119, 50],
    [200, 29],
    [40, 12],
  ])('shows one pane at a time on %i×%i', (columns, rows) => {
    expect(arrange(columns, rows)).toEqual({ kind: 'tabs', box: { width: columns, height: rows - 2 } });
  });
  it.each([
    [39, 24],
    [80, 11],
  ])('gives up on %i×%i', (columns, rows) => {
    expect(arrange(columns, rows)).toEqual({ kind: 'too-small' });
  });
});

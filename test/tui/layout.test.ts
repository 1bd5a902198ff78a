import { describe, expect, it } from 'vitest';
import { type ArrangeOptions, type Aside, arrange, asideOf, PANES } from '../../src/tui/layout.ts';

const USUAL: ArrangeOptions = { aside: 'job', zoomed: false, around: 2 };

describe('arrange', () => {
  it.each([
    [160, 50],
    [120, 30],
    [250, 70],
  ])('fills %i×%i with panes, none over another', (columns, rows) => {
    for (const aside of ['job', 'compare', 'publish'] as const) {
      const arrangement = arrange(columns, rows, { ...USUAL, aside });
      if (arrangement.kind !== 'columns') throw new Error(arrangement.kind);
      for (const column of arrangement.columns) {
        expect(column.reduce((sum, { height }) => sum + height, 0)).toBe(rows - 2);
        expect(new Set(column.map(({ width }) => width)).size).toBe(1);
        for (const { height } of column) expect(height).toBeGreaterThanOrEqual(6);
      }
      expect(arrangement.columns.reduce((sum, [first]) => sum + (first?.width ?? 0), 0)).toBe(columns);
    }
  });
  it('shows every pane when it has the focus', () => {
    const aside = PANES.map((pane) => asideOf(pane, 'job'));
    for (const [i, pane] of PANES.entries()) {
      const arrangement = arrange(160, 50, { ...USUAL, aside: aside[i] as Aside });
      if (arrangement.kind !== 'columns') throw new Error(arrangement.kind);
      expect(arrangement.columns.flat().map((box) => box.pane)).toContain(pane);
    }
    expect(asideOf('recipe', 'compare')).toBe('compare'); // turning a knob leaves what is compared in sight
  });
  it('shows a clip of 64×64 pixel by pixel on 250×70', () => {
    const arrangement = arrange(250, 70, USUAL);
    const run =
      arrangement.kind === 'columns' ? arrangement.columns.flat().find(({ pane }) => pane === 'run') : undefined;
    expect(run?.width).toBeGreaterThanOrEqual(64 + 4);
    expect(run?.height).toBeGreaterThanOrEqual(32 + 3);
  });
  it.each([
    [80, 24],
    [60, 20],
    [119, 50],
    [200, 29],
    [40, 12],
  ])('shows one pane at a time on %i×%i', (columns, rows) => {
    expect(arrange(columns, rows, USUAL)).toEqual({ kind: 'tabs', whole: { width: columns, height: rows - 2 } });
  });
  it('shows one pane alone where that is wanted, and leaves room for a foot of several lines', () => {
    expect(arrange(160, 50, { ...USUAL, zoomed: true, around: 4 })).toEqual({
      kind: 'tabs',
      whole: { width: 160, height: 46 },
    });
  });
  it.each([
    [39, 24],
    [80, 11],
  ])('gives up on %i×%i', (columns, rows) => {
    expect(arrange(columns, rows, USUAL)).toEqual({ kind: 'too-small' });
  });
});

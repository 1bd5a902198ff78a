import { describe, expect, it, vi } from 'vitest';
import { firstFrame, showFirstFrame } from '../../src/tui/first-frame.ts';

describe('the first frame', () => {
  it.each([
    [40, 12],
    [60, 20],
    [80, 24],
    [250, 70],
  ])('fits %i×%i', (columns, rows) => {
    const lines = firstFrame(columns, rows);
    expect(lines).toHaveLength(rows - 1);
    for (const line of lines.slice(1)) expect([...line]).toHaveLength(columns);
    expect([...(lines[0] ?? '')].length).toBeLessThanOrEqual(columns);
    expect(lines.join('\n')).toContain('▸1 Recipes');
  });
  it('leaves a screen that is too small alone', () => {
    expect(firstFrame(39, 24)).toEqual([]);
  });
  it('keeps keys from being echoed, and gives all back when nobody takes over', () => {
    let written = '';
    const stdout = { columns: 80, rows: 24, write: (text: string) => (written += text) !== '' };
    const setRawMode = vi.fn();
    const screen = showFirstFrame(stdout as never, { setRawMode });
    expect(setRawMode).toHaveBeenLastCalledWith(true);
    screen.leave();
    expect(setRawMode).toHaveBeenLastCalledWith(false);
    expect(written.startsWith('\u001b[?1049h')).toBe(true);
    expect(written.endsWith('\u001b[?1049l')).toBe(true);
  });
});

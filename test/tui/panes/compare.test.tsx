import { renderToString } from 'ink';
import { describe, expect, it } from 'vitest';
import type { FoundPackage } from '../../../src/compare/find-packages.ts';
import {
  type Comparison,
  type ComparisonCommand,
  compared,
  comparisonFailed,
  hearComparison,
  NO_COMPARISON,
  obeyComparison,
  packagesFound,
  setSeed,
} from '../../../src/tui/comparison.ts';
import { ComparePane } from '../../../src/tui/panes/compare.tsx';
import { brokenPackage, foundPackage, tileEvent } from '../comparisons.ts';

const PACKAGES: readonly FoundPackage[] = [
  foundPackage('out/ink'),
  foundPackage('out/oil', { verdict: 'failed' }),
  foundPackage('out/long', { clip: { frames: 32, width: 64, height: 64 } }),
  brokenPackage('out/broken'),
];
const LIST = packagesFound(NO_COMPARISON, PACKAGES);
const given = (comparison: Comparison, ...commands: readonly ComparisonCommand[]) =>
  commands.reduce(obeyComparison, comparison);
const MARKED = given(LIST, 'toggle', 'down', 'toggle');
const RUNNING = given(MARKED, 'open');
const DONE = compared(
  [tileEvent(0, 2, 'ink'), tileEvent(1, 2, 'oil')].reduce((before, tile) => hearComparison(before, tile, 0), RUNNING),
  [
    ['row', 'UNet runs', 'denoising', 'speedup', 'pixels off', 'latents off', 'consistency', 'motion'],
    ['ink', '4', '238 ms', '1.00×', '0.0', '0.000', '0.857', '7.75'],
    ['oil', '4', '239 ms', '0.99×', '12.3', '0.123', '0.850', '7.70'],
  ],
);

const SIZES = [
  [56, 18],
  [76, 22],
  [116, 36],
  [246, 66],
] as const;

/** What is drawn, without the frame around it; every line is as wide as the pane. */
function drawn(comparison: Comparison, width: number, height: number): string[] {
  const text = renderToString(<ComparePane comparison={comparison} box={{ width, height }} focused />, {
    columns: width,
  });
  const lines = text.split('\n');
  expect(lines).toHaveLength(height);
  for (const line of lines) expect(line.length, line).toBe(width);
  return lines.slice(1, -1).map((line) => line.slice(2, -2).trimEnd());
}

describe.each(SIZES)('the compare pane in %i×%i', (width, height) => {
  const show = (comparison: Comparison) => drawn(comparison, width, height);

  it('lists packages: the mark and its place, the verdict, what each is made of', () => {
    const lines = show(MARKED);
    expect(lines).toContain('  [1] out/ink  ✓ passed 2026-11-25 21:46, 21.8 MB');
    expect(lines).toContain('▸ [2] out/oil  ✗ failed 2026-11-25 21:46, 21.8 MB');
    expect(lines).toContain('      ink α 0.8 · β 1 · γ 1 · lcm 4 steps · 16×64×64');
    expect(lines).toContain('“a red circle”, seed 0');
    expect(lines).toContain('Space marks; Enter compares the others with [1].');
  });

  it('says what cannot be compared, and why, before it is tried', () => {
    const lines = show(MARKED);
    expect(lines).toContain('  [–] out/long  ✓ passed 2026-11-25 21:46, 21.8 MB');
    expect(lines[lines.indexOf('  [–] out/long  ✓ passed 2026-11-25 21:46, 21.8 MB') + 1]).toMatch(
      /^ {6}It makes 32 frames/,
    );
    expect(lines).toContain('  [–] out/broken  ✗ broken');
    const noticed = show(given(MARKED, 'last', 'toggle'))
      .join(' ')
      .replaceAll(/\s+/g, ' ');
    expect(noticed).toMatch(/^! out\/broken\/unet\/model\.onnx is missing\. Bake the package/);
  });

  it('shows the wall while clips come, named before they do', () => {
    const progress = { type: 'progress', stage: 'compare', done: 1, total: 2, unit: 'clips', detail: 'ink' } as const;
    const started = { type: 'stage-started', stage: 'compare', subject: 'x' } as const;
    const warning = { type: 'warning', stage: 'compare', message: 'careful' } as const;
    const events = [started, tileEvent(0, 2, 'ink'), warning, progress];
    const lines = show(events.reduce((before, event) => hearComparison(before, event, 0), RUNNING));
    expect(lines[0]).toBe('… Comparing 2 packages: “a red circle”, seed 0');
    expect(lines[1]).toBe('! careful');
    expect(lines.join('\n')).toMatch(/50%.*1 of 2 clips/s);
    expect(lines.join('\n')).toMatch(/▸ink ━.* oil/);
    expect(lines.at(-1)).toMatch(/^1 of 2 {2}ink · ▶ frame 1 of 2 · /);
  });

  it('shows clips and figures side by side when it is done', () => {
    const lines = show(DONE);
    expect(lines[0]).toBe('✓ Compared 2 packages: “a red circle”, seed 0');
    expect(lines.filter((line) => /┃.*▀.*┃/.test(line)).length).toBeGreaterThan(4);
    const text = lines.join(' ').replaceAll(/\s+/g, ' ');
    if (width > 100) {
      expect(lines.at(-2)).toMatch(/^▸ ink +4 +238 ms +1\.00× +0\.0 +0\.000 +0\.857 +7\.75$/);
      expect(lines.at(-1)).toMatch(/^ {2}oil +4 +239 ms +0\.99× +12\.3/);
    } else {
      expect(text).toMatch(/UNet runs 4 · denoising 238 ms · speedup 1\.00× · pixels off 0\.0 · .* motion 7\.75$/);
      const other = show(given(DONE, 'right')).join(' ').replaceAll(/\s+/g, ' ');
      expect(other).toMatch(/denoising 239 ms · speedup 0\.99× · pixels off 12\.3/);
    }
  });

  it('says what went wrong, and what was mistyped', () => {
    const failed = show(comparisonFailed(RUNNING, ['The device was lost.']));
    expect(failed[0]).toBe('✗ The device was lost.');
    expect(show(setSeed(DONE, 'x')).join(' ')).toContain('! “x” is no seed; a whole number from 0 on is.');
    expect(show(setSeed(LIST, 'x')).join(' ')).toContain('! “x” is no seed; a whole number from 0 on is.');
  });

  it('says that there is nothing yet, or that it is looking', () => {
    expect(show(NO_COMPARISON)).toContain('Looking for packages …');
    expect(show(packagesFound(NO_COMPARISON, [])).join(' ')).toContain('There is no package in out/.');
  });

  it('keeps the selected one in sight', () => {
    const many = Array.from({ length: 40 }, (_, i) => foundPackage(`out/p${i}`));
    const far = given(packagesFound(NO_COMPARISON, many), 'page-down', 'page-down', 'down');
    expect(show(far).join('\n')).toContain('▸ [ ] out/p21 ');
    expect(show(given(far, 'last')).join('\n')).toContain('▸ [ ] out/p39 ');
    const broken = packagesFound(NO_COMPARISON, [...many, brokenPackage(`out/${'long/'.repeat(20)}b`)]);
    const noticed = show(given(broken, 'last', 'toggle'));
    expect(noticed.join('\n')).toMatch(/^! out\/long.*▸ \[–\] out\/long/s);
    expect(noticed.some((line) => line.startsWith('      out/long'))).toBe(true);
  });
});

import { describe, expect, it } from 'vitest';
import type { FoundPackage, PackageFound } from '../../src/compare/find-packages.ts';
import type { Event } from '../../src/events.ts';
import {
  type Comparison,
  type ComparisonCommand,
  compared,
  comparisonFailed,
  comparisonStopped,
  hearComparison,
  isComparing,
  NO_COMPARISON,
  obeyComparison,
  packagesFound,
  requestOf,
  setPrompt,
  setSeed,
  tickComparison,
  whyNot,
  wishOf,
} from '../../src/tui/comparison.ts';
import { brokenPackage, foundPackage, tileEvent } from './comparisons.ts';

const INK = foundPackage('out/ink');
const OIL = foundPackage('out/oil');
const LONG = foundPackage('out/long', { clip: { frames: 32, width: 64, height: 64 } });
const BROKEN = brokenPackage('out/broken');
const THEIRS = foundPackage('out/theirs', { suggests: undefined as never });
const STRENGTHS = {
  kind: 'sweep',
  recipe: 'ink.yaml',
  text: 'name: ink',
  x: { path: ['personalized', 0, 'alpha'], values: [0.4, 1], label: 'α' },
  total: 2,
} as const;

const given = (comparison: Comparison, ...commands: readonly ComparisonCommand[]) =>
  commands.reduce(obeyComparison, comparison);
const among = (...packages: readonly FoundPackage[]) => packagesFound(NO_COMPARISON, packages);
const hears = (comparison: Comparison, ...events: readonly Event[]) =>
  events.reduce((before, event, at) => hearComparison(before, event, at), comparison);
const begun = () => given(among(INK, OIL), 'toggle', 'down', 'toggle', 'open');
const wallOf = ({ run }: Comparison) => {
  if (run.status === 'choosing') throw new Error('There is no wall.');
  return run.wall;
};

describe('choosing packages', () => {
  it('marks with Space, in the order in which they are to stand', () => {
    expect(given(among(INK, OIL), 'last', 'toggle', 'first', 'toggle').marked).toEqual(['out/oil', 'out/ink']);
    expect(given(among(INK, OIL), 'toggle', 'toggle').marked).toEqual([]);
    expect(given(NO_COMPARISON, 'down', 'toggle', 'open').run.status).toBe('choosing');
  });

  it('moves within the list', () => {
    expect(given(among(INK, OIL), 'up').selected).toBe(0);
    expect(given(among(INK, OIL), 'page-down').selected).toBe(1);
    expect(given(among(), 'last').selected).toBe(0);
  });

  it('does not take a broken one, nor one of another shape, and says why', () => {
    expect(given(among(BROKEN), 'toggle')).toMatchObject({ marked: [], notice: BROKEN.problem });
    const mixed = given(among(INK, LONG), 'toggle', 'down', 'toggle');
    expect(mixed).toMatchObject({ marked: ['out/ink'], notice: expect.stringContaining('32 frames of 64×64') });
    expect(whyNot(mixed, LONG)).toBe(mixed.notice);
    expect(whyNot(mixed, OIL)).toBeUndefined();
    expect(given(mixed, 'up')).not.toHaveProperty('notice');
    expect(given(among(INK, LONG), 'last', 'toggle').marked).toEqual(['out/long']);
  });

  it('does not begin with fewer than two', () => {
    const one = given(among(INK, OIL), 'toggle', 'open');
    expect(one).toMatchObject({
      run: { status: 'choosing' },
      notice: expect.stringContaining('Mark two packages or more'),
    });
    expect(requestOf(one)).toBeUndefined();
  });

  it('forgets marks of packages that are gone', () => {
    const marked = given(among(INK, OIL), 'toggle', 'down', 'toggle');
    expect(packagesFound(marked, [OIL])).toMatchObject({ marked: ['out/oil'], selected: 0 });
  });

  it('suggests prompt and seed of the first, until others are typed', () => {
    const oil = { ...OIL, suggests: { prompt: 'a blue square', seed: 7 } } as PackageFound;
    const marked = given(among(INK, oil), 'down', 'toggle', 'up', 'toggle');
    expect(wishOf(marked)).toEqual({ prompt: 'a blue square', seed: 7 });
    expect(wishOf(setPrompt(marked, ' a dog '))).toEqual({ prompt: 'a dog', seed: 7 });
    expect(wishOf(setSeed(setPrompt(marked, 'a dog'), '3'))).toEqual({ prompt: 'a dog', seed: 3 });
    expect(setPrompt(setPrompt(marked, 'a dog'), '')).toEqual(marked);
    expect(setSeed(setSeed(marked, '3'), ' ')).toEqual(marked);
  });

  it.each(['-1', '1.5', 'seven', '99999999999999999999'])('knows that %s is no seed', (text) => {
    expect(setSeed(among(INK), text)).toMatchObject({ notice: expect.stringContaining(`“${text}” is no seed`) });
    expect(setSeed(among(INK), text)).not.toHaveProperty('seed');
  });

  it('wants a prompt where the first package suggests none', () => {
    const marked = given(among(THEIRS, INK), 'toggle', 'down', 'toggle');
    expect(given(marked, 'open')).toMatchObject({
      run: { status: 'choosing' },
      notice: expect.stringContaining('Type one'),
    });
    expect(given(setPrompt(marked, 'a dog'), 'open').run.status).toBe('running');
  });
});

describe('comparing', () => {
  it('asks for the marked packages, with what was typed and nothing else', () => {
    expect(requestOf(begun())).toEqual({ kind: 'packages', packages: ['out/ink', 'out/oil'] });
    const typed = setSeed(setPrompt(given(among(INK, OIL), 'toggle', 'down', 'toggle'), 'a dog'), '3');
    expect(requestOf(given(typed, 'open'))).toMatchObject({ prompt: 'a dog', seed: 3 });
    expect(isComparing(begun())).toBe(true);
  });

  it('asks for one recipe at several strengths in the same way', () => {
    const comparison = given({ ...among(INK), source: STRENGTHS }, 'open');
    expect(requestOf(comparison)).toEqual(STRENGTHS);
    expect(wallOf(comparison)).toMatchObject({ total: 2 });
    const back = given(comparisonStopped(comparison), 'back');
    expect(back).toMatchObject({ source: { kind: 'packages' }, run: { status: 'choosing' } });
  });

  it('puts clips on the wall as they come, named before', () => {
    expect(wallOf(begun())).toMatchObject({ total: 2, labels: ['ink', 'oil'], tiles: [undefined, undefined] });
    const wall = wallOf(hears(begun(), tileEvent(1, 2)));
    expect(wall.tiles.map((tile) => tile?.label)).toEqual([undefined, 'clip 1']);
    expect(wall.tiles[1]).not.toHaveProperty('type');
  });

  it('follows its stages and keeps each warning once', () => {
    const warning: Event = { type: 'warning', stage: 'compare', message: 'careful' };
    const heard = hears(begun(), { type: 'stage-started', stage: 'compare', subject: 'rows: 2' }, warning, warning, {
      type: 'progress',
      stage: 'compare',
      done: 1,
      total: 2,
      unit: 'clips',
      detail: 'ink',
    });
    expect(heard.run).toMatchObject({
      warnings: ['careful'],
      row: { stage: 'compare', progress: { done: 1, total: 2 } },
    });
    expect(hears(among(INK), warning)).toEqual(among(INK));
  });

  it('moves on the wall, not in the list, while there is one', () => {
    const there = hears(begun(), tileEvent(0, 2), tileEvent(1, 2));
    expect(wallOf(given(there, 'right')).selected).toBe(1);
    expect(given(there, 'right').selected).toBe(there.selected);
    expect(wallOf(given(there, 'toggle')).playing).toBe(false);
    expect(given(there, 'page-down')).toEqual(there);
    const [first, later] = [tickComparison(there, 0), tickComparison(tickComparison(there, 0), 130)];
    expect(wallOf(later).at).toBe((wallOf(first).at + 1) % 2);
    expect(tickComparison(first, 1)).toBe(first);
  });

  it('stops on demand, and no second one begins before it has', () => {
    const stopping = given(begun(), 'back');
    expect(stopping.run.status).toBe('stopping');
    expect(given(stopping, 'open', 'back')).toEqual(stopping);
    expect(comparisonStopped(stopping).run.status).toBe('stopped');
    expect(given(comparisonStopped(stopping), 'back')).toMatchObject({
      marked: ['out/ink', 'out/oil'],
      run: { status: 'choosing' },
    });
  });

  it('ends with its figures, or with those of its clips, or with what went wrong', () => {
    const figures = [
      ['row', 'motion'],
      ['ink', '4.1'],
    ];
    expect(compared(begun(), figures).run).toMatchObject({ status: 'done', figures });
    const strengths = hears(given({ ...among(INK), source: STRENGTHS }, 'open'), tileEvent(1, 2), tileEvent(0, 2));
    expect(compared(strengths).run).toMatchObject({
      figures: [
        ['clip', 'made in', ''],
        ['clip 0', '1.23 s', 'motion 4.1'],
        ['clip 1', '1.23 s', 'motion 4.1'],
      ],
    });
    expect(comparisonFailed(begun(), ['The device was lost.']).run).toMatchObject({
      problems: ['The device was lost.'],
    });
    expect(compared(among(INK), figures)).toEqual(among(INK));
  });

  it('can be had again, with another prompt', () => {
    const done = setPrompt(compared(begun(), [['row']]), 'a dog');
    expect(done.run.status).toBe('done');
    const again = given(done, 'open');
    expect(requestOf(again)).toMatchObject({ packages: ['out/ink', 'out/oil'], prompt: 'a dog' });
    expect(requestOf(again)).not.toBe(requestOf(done));
    const strengths = given(compared(given({ ...among(INK), source: STRENGTHS }, 'open')), 'open');
    expect(requestOf(strengths)).toMatchObject(STRENGTHS);
  });
});

import type { Key } from 'ink';
import { describe, expect, it } from 'vitest';
import { commandFor, footer, helpSections, KEYS, type KeyContext, keyNames } from '../../src/tui/keys.ts';
import { PANES } from '../../src/tui/layout.ts';

const CONTEXTS: readonly KeyContext[] = [...PANES, 'help', 'confirm'];

const PLAIN: Key = {
  upArrow: false,
  downArrow: false,
  leftArrow: false,
  rightArrow: false,
  pageDown: false,
  pageUp: false,
  home: false,
  end: false,
  return: false,
  escape: false,
  ctrl: false,
  shift: false,
  tab: false,
  backspace: false,
  delete: false,
  meta: false,
  super: false,
  hyper: false,
  capsLock: false,
  numLock: false,
};

describe('the key table', () => {
  it.each(CONTEXTS)('gives no key two meanings in %s', (context) => {
    const keys = KEYS.filter((binding) => binding.in.includes(context)).flatMap((binding) => binding.keys);
    expect(keys.toSorted()).toEqual([...new Set(keys)].toSorted());
  });
  it.each(CONTEXTS)('lets one leave %s with Ctrl-C', (context) => {
    expect(commandFor('ctrl+c', context)).toBe('interrupt');
  });
  it('means what the pane it is pressed in is about', () => {
    expect(commandFor('return', 'recipes')).toBe('open');
    expect(commandFor('return', 'plan')).toBe('make');
    expect(commandFor('return', 'confirm')).toBe('leave');
    expect(commandFor(' ', 'gate')).toBeUndefined();
  });
  it('fits a footer of 80 columns everywhere', () => {
    for (const context of CONTEXTS) {
      const line = footer(context).map(([keys, hint]) => `${keys} ${hint}`);
      expect(line.length).toBeGreaterThan(0);
      expect(line.join('  ').length).toBeLessThanOrEqual(80);
    }
  });
  it('is told in full by the help', () => {
    const told = helpSections().flatMap(({ rows }) => rows.map(([, help]) => help));
    const ofPanes = KEYS.filter((binding) => PANES.some((pane) => binding.in.includes(pane))).map(({ help }) => help);
    expect(new Set(told)).toEqual(new Set(ofPanes));
  });
});

describe('keyNames', () => {
  it.each([
    ['', { upArrow: true }, ['up']],
    ['', { tab: true }, ['tab']],
    ['', { tab: true, shift: true }, ['shift+tab']],
    ['c', { ctrl: true }, ['ctrl+c']],
    ['G', { shift: true }, ['G']],
    ['jjq', {}, ['j', 'j', 'q']],
    ['q', { meta: true }, []],
  ] as const)('%j with %j is %j', (input, flags, names) => {
    expect(keyNames(input, { ...PLAIN, ...flags })).toEqual(names);
  });
});

import type { Key } from 'ink';
import { describe, expect, it } from 'vitest';
import {
  commandFor,
  footer,
  helpSections,
  KEYS,
  type KeyContext,
  keyNames,
  type Situation,
} from '../../src/tui/keys.ts';
import { PANES } from '../../src/tui/layout.ts';

const IN_PANES: readonly KeyContext[] = [...PANES, 'bars', 'wall', 'confirm'];
const CONTEXTS: readonly KeyContext[] = [...IN_PANES, 'help', 'quit', 'input', 'palette'];

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
    expect(commandFor('return', 'confirm')).toBe('confirm');
    expect(commandFor('return', 'quit')).toBe('leave');
    expect(commandFor(' ', 'gate')).toBeUndefined();
    expect(commandFor('q', 'input')).toBeUndefined();
  });
  it.each([false, true])(
    'says in a footer of 60 columns what matters most, and how to find the rest (working: %s)',
    (working) => {
      for (const context of IN_PANES) {
        const line = footer(context, { now: new Set([working ? 'working' : 'idle']), columns: 60 })
          .map(([keys, hint]) => `${keys} ${hint}`)
          .join('  ');
        expect(line.length).toBeLessThanOrEqual(60);
        expect(line).toContain('? help  q quit');
        expect(line.length).toBeGreaterThan('? help  q quit'.length);
      }
    },
  );
  it('shows keys that would do something now', () => {
    const hints = (...now: readonly Situation[]) =>
      footer('recipe', { now: new Set(now), columns: 80 }).map(([keys, hint]) => `${keys} ${hint}`);
    expect(hints()).not.toContain('s save');
    expect(hints('unsaved', 'undoable', 'turns').slice(0, 4)).toEqual(['← → turn', 'Enter type', 's save', 'u undo']);
    expect(hints('wrong', 'unmatched').slice(0, 2)).toEqual(['n mistake', 'o leave out']);
    expect(footer('recipes', { now: new Set(), columns: 80 })[0]).toEqual(['n', 'new']);
  });
  it('begins the help where one is', () => {
    expect(helpSections('bars')[0]?.title).toBe('Recipe, block weights');
    expect(helpSections('gate')[0]?.title).toBe('Gate');
    expect(
      helpSections('gate')
        .map(({ title }) => title)
        .toSorted(),
    ).toEqual(
      helpSections()
        .map(({ title }) => title)
        .toSorted(),
    );
  });
  it('is told in full by the help', () => {
    const told = helpSections().flatMap(({ rows }) => rows.map(([, help]) => help));
    const all = KEYS.filter(({ in: places }) =>
      [...IN_PANES, 'input' as const, 'palette' as const].some((at) => places.includes(at)),
    );
    expect(new Set(told)).toEqual(new Set(all.map(({ help }) => help)));
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
    ['ab\u007f\rl', {}, ['a', 'b', 'backspace', 'return', 'l']],
    ['jj\r', {}, ['j', 'j', 'return']],
    ['ab\t\u0013', {}, ['a', 'b', 'tab', 'ctrl+s']],
    ['q', { meta: true }, []],
  ] as const)('%j with %j is %j', (input, flags, names) => {
    expect(keyNames(input, { ...PLAIN, ...flags })).toEqual(names);
  });
});

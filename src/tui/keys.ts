/** The keys: one table from which handling, footer and help screen are made. Names are Ink's, or the character itself. */
import type { Key } from 'ink';
import { PANES, type PaneName } from './layout.ts';

/** Where a key is pressed: in the pane that has the focus, or in what covers it. */
export type KeyContext = PaneName | 'help' | 'confirm';

export type Command =
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'first'
  | 'last'
  | 'open'
  | 'make'
  | 'play'
  | 'earlier-frame'
  | 'later-frame'
  | `go-${PaneName}`
  | 'next-pane'
  | 'previous-pane'
  | 'back'
  | 'help'
  | 'close'
  | 'interrupt'
  | 'quit'
  | 'leave';

export interface Binding {
  readonly keys: readonly string[];
  readonly in: readonly KeyContext[];
  readonly does: Command;
  readonly help: string;
  /** Short, for the footer; without it the footer leaves the key out. */
  readonly hint?: string;
}

const EVERYWHERE: readonly KeyContext[] = [...PANES, 'help', 'confirm'];

export const KEYS: readonly Binding[] = [
  { keys: ['return'], in: ['recipes'], does: 'open', hint: 'plan', help: 'plan the recipe' },
  { keys: ['b'], in: ['recipes'], does: 'make', hint: 'bake and verify', help: 'bake and verify the recipe' },
  {
    keys: ['return', 'b'],
    in: ['plan'],
    does: 'make',
    hint: 'bake and verify',
    help: 'bake and verify what is planned',
  },
  { keys: [' '], in: ['run'], does: 'play', hint: 'play or pause', help: 'play or pause' },
  { keys: ['[', ','], in: ['run'], does: 'earlier-frame', hint: 'back', help: 'one frame back' },
  { keys: [']', '.'], in: ['run'], does: 'later-frame', hint: 'on', help: 'one frame on' },
  { keys: ['b'], in: ['bake'], does: 'make', hint: 'again', help: 'bake and verify it again' },
  {
    keys: ['escape'],
    in: ['bake'],
    does: 'back',
    hint: 'stop or leave',
    help: 'stop the job, or back to the recipes',
  },
  { keys: ['escape'], in: ['plan', 'run', 'gate'], does: 'back', hint: 'recipes', help: 'back to the recipes' },
  { keys: ['up', 'k'], in: PANES, does: 'up', help: 'one line up' },
  { keys: ['down', 'j'], in: PANES, does: 'down', help: 'one line down' },
  { keys: ['pageup'], in: PANES, does: 'page-up', help: 'ten lines up' },
  { keys: ['pagedown'], in: PANES, does: 'page-down', help: 'ten lines down' },
  { keys: ['home', 'g'], in: PANES, does: 'first', help: 'to the first line' },
  { keys: ['end', 'G'], in: PANES, does: 'last', help: 'to the last line' },
  { keys: ['tab'], in: PANES, does: 'next-pane', hint: 'next', help: 'next pane' },
  { keys: ['shift+tab'], in: PANES, does: 'previous-pane', help: 'previous pane' },
  ...PANES.map(
    (pane, i): Binding => ({ keys: [String(i + 1)], in: PANES, does: `go-${pane}`, help: `to the ${pane}` }),
  ),
  { keys: ['?'], in: PANES, does: 'help', hint: 'help', help: 'this help' },
  { keys: ['q'], in: PANES, does: 'quit', hint: 'quit', help: 'quit; asks while a job runs' },
  {
    keys: ['ctrl+c'],
    in: EVERYWHERE,
    does: 'interrupt',
    help: 'stop the job; once more, leave',
  },
  { keys: ['escape', '?', 'q', 'return'], in: ['help'], does: 'close', hint: 'close', help: 'close the help' },
  { keys: ['up', 'k'], in: ['help'], does: 'up', help: 'one line up' },
  { keys: ['down', 'j'], in: ['help'], does: 'down', hint: 'more', help: 'one line down' },
  {
    keys: ['y', 'return'],
    in: ['confirm'],
    does: 'leave',
    hint: 'stop the job and quit',
    help: 'stop the job and quit',
  },
  { keys: ['n', 'escape', 'q'], in: ['confirm'], does: 'close', hint: 'stay', help: 'stay' },
];

export function commandFor(key: string, context: KeyContext): Command | undefined {
  return KEYS.find((binding) => binding.in.includes(context) && binding.keys.includes(key))?.does;
}

/** The keys worth showing in `context`, each as it is written and with its hint. */
export function footer(context: KeyContext): readonly (readonly [keys: string, hint: string])[] {
  return KEYS.flatMap(({ keys, in: places, hint }) =>
    hint !== undefined && places.includes(context) ? [[label(keys[0] ?? ''), hint] as const] : [],
  );
}

/** All keys of the panes by where they work. */
export function helpSections(): readonly {
  readonly place: PaneName | 'everywhere';
  readonly rows: readonly (readonly [keys: string, help: string])[];
}[] {
  return ([...PANES, 'everywhere'] as const)
    .map((place) => ({
      place,
      rows: KEYS.filter((binding) => isOf(place, binding)).map(
        ({ keys, help }) => [keys.map(label).join(' '), help] as const,
      ),
    }))
    .filter(({ rows }) => rows.length > 0);
}

function isOf(place: PaneName | 'everywhere', { in: places }: Binding): boolean {
  const everywhere = PANES.every((pane) => places.includes(pane));
  return place === 'everywhere' ? everywhere : !everywhere && places.includes(place);
}

const LABELS: Readonly<Record<string, string>> = {
  return: 'Enter',
  escape: 'Esc',
  ' ': 'Space',
  up: '↑',
  down: '↓',
  pageup: 'PgUp',
  pagedown: 'PgDn',
  home: 'Home',
  end: 'End',
  tab: 'Tab',
  'shift+tab': 'Shift-Tab',
  'ctrl+c': 'Ctrl-C',
};

function label(key: string): string {
  return LABELS[key] ?? key;
}

/** Which flag of Ink's says which key. */
const FLAGS = {
  upArrow: 'up',
  downArrow: 'down',
  pageUp: 'pageup',
  pageDown: 'pagedown',
  home: 'home',
  end: 'end',
  return: 'return',
  escape: 'escape',
  tab: 'tab',
} as const satisfies Partial<Record<keyof Key, string>>;

/** The names of the keys in one event: keys pressed fast, or while the event loop was busy, arrive together. */
export function keyNames(input: string, key: Key): readonly string[] {
  const flag = (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).find((name) => key[name]);
  if (flag !== undefined) return [key.shift && key.tab ? 'shift+tab' : FLAGS[flag]];
  if (key.meta) return [];
  return key.ctrl ? [`ctrl+${input}`] : [...input];
}

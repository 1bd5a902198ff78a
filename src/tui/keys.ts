/** The keys: one table from which handling, footer and help screen are made. Names are Ink's, or the character itself. */
import type { Key } from 'ink';
import type { InputCommand } from './input.ts';
import { PANES, type PaneName, TITLES } from './layout.ts';

/** Where a key is pressed: in the pane that has the focus, in a part of it that has keys of its own, or in what covers it. */
export type KeyContext = PaneName | 'bars' | 'wall' | 'confirm' | 'help' | 'quit' | 'input' | 'palette';

export type Command =
  | Move
  | 'open'
  | 'toggle'
  | 'back'
  | 'make'
  | 'stop'
  | 'new-recipe'
  | 'duplicate'
  | 'rename'
  | 'edit-text'
  | 'reload'
  | 'filter'
  | EditorCommand
  | 'set-value'
  | 'add-source'
  | 'save'
  | 'save-as'
  | 'read-again'
  | 'strengths'
  | 'sweep'
  | 'choose-tile'
  | 'view'
  | 'set-prompt'
  | 'set-seed'
  | 'set-target'
  | 'previous-package'
  | 'next-package'
  | 'confirm'
  | 'play'
  | 'earlier-frame'
  | 'later-frame'
  | `go-${PaneName}`
  | 'next-pane'
  | 'previous-pane'
  | 'zoom'
  | 'palette'
  | 'help'
  | 'close'
  | 'commit'
  | InputCommand
  | 'interrupt'
  | 'quit'
  | 'leave';

/** What the editor of a recipe does. */
export type EditorCommand =
  | 'less'
  | 'more'
  | 'much-less'
  | 'much-more'
  | 'reset'
  | 'remove'
  | 'leave-out'
  | 'undo'
  | 'redo'
  | 'next-problem';

export type Move = 'up' | 'down' | 'left' | 'right' | 'page-up' | 'page-down' | 'first' | 'last';

/** What is so now, by which the footer tells keys that would do something from those that would not. */
export type Situation =
  | 'working'
  | 'idle'
  | 'listed' // there are recipes
  | 'filtered' // of which some are hidden
  | 'wrong' // the open recipe has mistakes
  | 'unmatched' // and tensors that fit nothing
  | 'turns' // the field under the cursor can be turned
  | 'unsaved'
  | 'undoable';

export interface Binding {
  readonly keys: readonly string[];
  /** For the footer, where the first of the keys is not all that is to be said. */
  readonly shown?: string;
  readonly in: readonly KeyContext[];
  readonly does: Command;
  readonly help: string;
  /** Short, for the footer; without it the footer leaves the key out. */
  readonly hint?: string;
  /** Shown in the footer only while this is so. */
  readonly when?: Situation;
  /** Moves about, and is no command that one would look for by its name. */
  readonly move?: true;
}

/** Parts of panes: what works in every pane works there, too. */
const IN_PANES: readonly KeyContext[] = [...PANES, 'bars', 'wall', 'confirm'];
/** Where lines are moved by; bars have a direction of their own. */
const IN_LISTS: readonly KeyContext[] = IN_PANES.filter((context) => context !== 'bars');
const EVERYWHERE: readonly KeyContext[] = [...IN_PANES, 'help', 'quit', 'input', 'palette'];
const TYPING: readonly KeyContext[] = ['input', 'palette'];

export const KEYS: readonly Binding[] = [
  { keys: ['escape'], in: ['recipes'], does: 'back', hint: 'all', when: 'filtered', help: 'all recipes again' },
  { keys: ['return'], in: ['recipes'], does: 'open', hint: 'open', when: 'listed', help: 'open the recipe' },
  { keys: ['n'], in: ['recipes'], does: 'new-recipe', hint: 'new', help: 'new recipe from the files of a folder' },
  { keys: ['b'], in: ['recipes'], does: 'make', hint: 'bake', when: 'listed', help: 'bake and verify the recipe' },
  { keys: ['d'], in: ['recipes'], does: 'duplicate', hint: 'duplicate', when: 'listed', help: 'duplicate the recipe' },
  {
    keys: ['r'],
    in: ['recipes'],
    does: 'rename',
    hint: 'rename',
    when: 'listed',
    help: 'rename the recipe and its file',
  },
  { keys: ['/'], in: ['recipes'], does: 'filter', hint: 'filter', when: 'listed', help: 'filter the list' },
  { keys: ['R'], in: ['recipes', 'compare', 'publish'], does: 'reload', help: 'look for files anew' },

  { keys: ['n'], in: ['recipe'], does: 'next-problem', hint: 'mistake', when: 'wrong', help: 'to the next mistake' },
  {
    keys: ['o'],
    in: ['recipe', 'plan'],
    does: 'leave-out',
    hint: 'leave out',
    when: 'unmatched',
    help: 'leave out the tensors that fit nothing (allow_unmatched)',
  },
  { keys: ['left', 'h'], in: ['recipe'], does: 'less', help: 'turn it down' },
  { keys: ['right', 'l'], shown: '← →', in: ['recipe'], does: 'more', hint: 'turn', when: 'turns', help: 'turn it up' },
  { keys: ['left', 'h'], in: ['bars'], does: 'left', help: 'the block before', move: true },
  {
    keys: ['right', 'l'],
    shown: '← →',
    in: ['bars'],
    does: 'right',
    hint: 'block',
    help: 'the next block',
    move: true,
  },
  { keys: ['up', 'k'], in: ['bars'], does: 'up', hint: 'more', help: 'more of the block', move: true },
  { keys: ['down', 'j'], in: ['bars'], does: 'down', hint: 'less', help: 'less of the block', move: true },
  {
    keys: ['H', 'shift+left'],
    in: ['recipe', 'bars'],
    does: 'much-less',
    help: 'turn it down a lot, or six blocks back',
  },
  { keys: ['L', 'shift+right'], in: ['recipe', 'bars'], does: 'much-more', help: 'turn it up a lot, or six blocks on' },
  {
    keys: ['return'],
    in: ['recipe', 'bars'],
    does: 'set-value',
    hint: 'type',
    help: 'type a value, choose a file, or open what has parts',
  },
  { keys: ['escape'], in: ['bars'], does: 'back', hint: 'done', help: 'close the block weights' },
  {
    keys: ['s', 'ctrl+s'],
    in: ['recipe', 'bars'],
    does: 'save',
    hint: 'save',
    when: 'unsaved',
    help: 'save the recipe',
  },
  { keys: ['u'], in: ['recipe', 'bars'], does: 'undo', hint: 'undo', when: 'undoable', help: 'undo' },
  { keys: ['b'], in: ['recipe', 'bars'], does: 'make', hint: 'bake', help: 'save what has changed, bake and verify' },
  { keys: ['a'], in: ['recipe'], does: 'add-source', hint: 'add', help: 'add a source: a LoRA, or another file' },
  { keys: ['w'], in: ['recipe'], does: 'sweep', hint: 'sweep', help: 'sweep two knobs by eye' },
  { keys: ['c'], in: ['recipe'], does: 'strengths', hint: 'compare', help: 'compare several values of this knob' },
  {
    keys: ['x', 'delete'],
    in: ['recipe'],
    does: 'remove',
    hint: 'remove',
    help: 'remove the source, or an unknown key',
  },
  {
    keys: ['e'],
    in: ['recipes', 'recipe'],
    does: 'edit-text',
    hint: 'edit',
    when: 'listed',
    help: 'save what has changed, and edit in $EDITOR',
  },
  { keys: ['S'], in: ['recipe', 'bars'], does: 'save-as', help: 'save the recipe under another name' },
  { keys: ['R'], in: ['recipe'], does: 'read-again', help: 'read the file again; undo brings back what was here' },
  { keys: ['U', 'ctrl+r'], in: ['recipe', 'bars'], does: 'redo', help: 'redo' },
  { keys: ['r', 'backspace'], in: ['recipe', 'bars'], does: 'reset', help: 'back to the default' },
  { keys: [' '], in: ['recipe'], does: 'toggle', help: 'turn it on or off, or to the next choice' },

  { keys: ['return', 'b'], in: ['plan'], does: 'make', hint: 'bake', help: 'bake and verify what is planned' },

  { keys: ['b'], in: ['bake'], does: 'make', hint: 'bake again', when: 'idle', help: 'bake and verify it again' },
  {
    keys: ['x'],
    in: ['bake', 'run', 'gate', 'compare', 'wall', 'publish'],
    does: 'stop',
    hint: 'stop',
    when: 'working',
    help: 'stop what runs',
  },

  {
    keys: ['return'],
    in: ['wall'],
    does: 'choose-tile',
    hint: 'take',
    help: 'put the values of this clip into the recipe',
  },
  { keys: ['escape'], in: ['wall'], does: 'back', hint: 'list', help: 'back to the packages' },
  { keys: [' '], in: ['run', 'wall'], does: 'play', hint: 'play or pause', help: 'play or pause' },
  { keys: ['[', ','], in: ['run', 'wall'], does: 'earlier-frame', hint: 'back', help: 'one frame back' },
  { keys: [']', '.'], in: ['run', 'wall'], does: 'later-frame', hint: 'on', help: 'one frame on' },

  { keys: [' '], in: ['compare'], does: 'toggle', hint: 'mark', help: 'mark the package, or no longer' },
  { keys: ['return'], in: ['compare'], does: 'open', hint: 'compare', help: 'compare what is marked' },
  {
    keys: ['v'],
    in: ['compare', 'wall'],
    does: 'view',
    hint: 'view',
    help: 'show the clip and the checks of the package',
  },
  { keys: ['p'], in: ['compare', 'wall'], does: 'set-prompt', hint: 'prompt', help: 'set the prompt' },
  { keys: ['S'], in: ['compare', 'wall'], does: 'set-seed', hint: 'seed', help: 'set the seed' },
  { keys: ['left', 'h'], in: ['wall'], does: 'left', help: 'the clip to the left', move: true },
  { keys: ['right', 'l'], in: ['wall'], does: 'right', help: 'the clip to the right', move: true },
  { keys: ['a'], in: ['wall'], does: 'open', help: 'all of it again, with the prompt and the seed as they are now' },

  { keys: ['return'], in: ['publish'], does: 'open', hint: 'publish', help: 'publish the package' },
  { keys: ['t'], in: ['publish'], does: 'set-target', hint: 'target', help: 'set the target' },
  {
    keys: ['left', 'h'],
    shown: '← →',
    in: ['publish'],
    does: 'previous-package',
    hint: 'package',
    help: 'the package before',
  },
  { keys: ['right', 'l'], in: ['publish'], does: 'next-package', help: 'the next package' },
  { keys: ['v'], in: ['publish'], does: 'view', hint: 'view', help: 'show the clip and the checks of the package' },
  { keys: ['y', 'return'], in: ['confirm'], does: 'confirm', hint: 'publish it', help: 'yes, publish it' },
  { keys: ['n', 'escape'], in: ['confirm'], does: 'back', hint: 'no', help: 'no, publish nothing' },

  {
    keys: ['escape'],
    in: PANES.filter((pane) => pane !== 'recipes'),
    does: 'back',
    help: 'back to the recipes',
  },
  { keys: ['up', 'k'], in: IN_LISTS, does: 'up', help: 'one line up', move: true },
  { keys: ['down', 'j'], in: IN_LISTS, does: 'down', help: 'one line down', move: true },
  { keys: ['pageup', 'ctrl+b'], in: IN_LISTS, does: 'page-up', help: 'ten lines up', move: true },
  { keys: ['pagedown', 'ctrl+f'], in: IN_LISTS, does: 'page-down', help: 'ten lines down', move: true },
  { keys: ['home', 'g'], in: IN_LISTS, does: 'first', help: 'to the first line', move: true },
  { keys: ['end', 'G'], in: IN_LISTS, does: 'last', help: 'to the last line', move: true },
  { keys: ['tab'], in: IN_PANES, does: 'next-pane', hint: 'next', help: 'next pane' },
  { keys: ['shift+tab'], in: IN_PANES, does: 'previous-pane', help: 'previous pane' },
  ...PANES.map(
    (pane, i): Binding => ({ keys: [String(i + 1)], in: IN_PANES, does: `go-${pane}`, help: `go to ${pane}` }),
  ),
  { keys: ['z'], in: IN_PANES, does: 'zoom', help: 'this pane alone, or all again' },
  { keys: [':', 'ctrl+p'], in: IN_PANES, does: 'palette', hint: 'commands', help: 'find a command by its name' },
  { keys: ['?'], in: IN_PANES, does: 'help', hint: 'help', help: 'this help' },
  { keys: ['q'], in: IN_PANES, does: 'quit', hint: 'quit', help: 'quit; asks while a job runs or changes are unsaved' },
  {
    keys: ['ctrl+c'],
    in: EVERYWHERE,
    does: 'interrupt',
    help: 'stop what runs; when nothing does, leave, but ask first where changes are unsaved',
  },

  { keys: ['escape', '?', 'q', 'return'], in: ['help'], does: 'close', hint: 'close', help: 'close the help' },
  { keys: ['up', 'k'], in: ['help'], does: 'up', help: 'one line up', move: true },
  { keys: ['down', 'j'], in: ['help'], does: 'down', hint: 'more', help: 'one line down', move: true },
  { keys: ['pageup', 'ctrl+b'], in: ['help'], does: 'page-up', help: 'ten lines up', move: true },
  { keys: ['pagedown', 'ctrl+f', ' '], in: ['help'], does: 'page-down', help: 'ten lines down', move: true },

  {
    keys: ['y', 'return'],
    in: ['quit'],
    does: 'leave',
    hint: 'quit',
    help: 'stop the job, drop what is unsaved, and quit',
  },
  { keys: ['n', 'escape', 'q'], in: ['quit'], does: 'close', hint: 'stay', help: 'stay' },

  { keys: ['return'], in: TYPING, does: 'commit', hint: 'take', help: 'take the line' },
  { keys: ['escape'], in: TYPING, does: 'close', hint: 'leave it', help: 'leave everything as it was' },
  { keys: ['up', 'ctrl+p'], in: ['palette'], does: 'up', help: 'the command or file above', move: true },
  { keys: ['down', 'ctrl+n', 'tab'], in: ['palette'], does: 'down', help: 'the command or file below', move: true },
  { keys: ['left', 'ctrl+b'], in: TYPING, does: 'cursor-left', help: 'one character to the left', move: true },
  { keys: ['right', 'ctrl+f'], in: TYPING, does: 'cursor-right', help: 'one character to the right', move: true },
  { keys: ['home', 'ctrl+a'], in: TYPING, does: 'cursor-start', help: 'to the beginning of the line', move: true },
  { keys: ['end', 'ctrl+e'], in: TYPING, does: 'cursor-end', help: 'to its end', move: true },
  { keys: ['backspace'], in: TYPING, does: 'erase', help: 'erase a character', move: true },
  {
    keys: ['delete', 'ctrl+d'],
    in: TYPING,
    does: 'erase-forward',
    help: 'erase the character under the cursor',
    move: true,
  },
  { keys: ['ctrl+w'], in: TYPING, does: 'erase-word', help: 'erase a word', move: true },
  { keys: ['ctrl+u'], in: TYPING, does: 'erase-line', help: 'erase the line', move: true },
];

const EDITING: ReadonlySet<string> = new Set<EditorCommand>([
  'less',
  'more',
  'much-less',
  'much-more',
  'reset',
  'remove',
  'leave-out',
  'undo',
  'redo',
  'next-problem',
]);

export function isEditorCommand(command: Command): command is EditorCommand {
  return EDITING.has(command);
}

const MOVES: ReadonlySet<string> = new Set<Move>([
  'up',
  'down',
  'left',
  'right',
  'page-up',
  'page-down',
  'first',
  'last',
]);

export function isMove(command: string): command is Move {
  return MOVES.has(command);
}

export function commandFor(key: string, context: KeyContext): Command | undefined {
  return KEYS.find((binding) => binding.in.includes(context) && binding.keys.includes(key))?.does;
}

/** Whatever else there is no room for: with these, the rest is found. */
const ALWAYS: readonly Command[] = ['help', 'quit'];
/** Between two hints. */
export const HINT_GAP = 2;

/** As many of the keys of `context` as fit, each as it is written and with its hint; those that lead to the others are always there. */
export function footer(
  context: KeyContext,
  { now, columns }: { readonly now: ReadonlySet<Situation>; readonly columns: number },
): readonly (readonly [keys: string, hint: string])[] {
  const usable = KEYS.filter(
    ({ in: places, hint, when }) =>
      hint !== undefined && places.includes(context) && (when === undefined || now.has(when)),
  ).map(({ keys, shown = label(keys[0] ?? ''), hint = '', does }) => ({
    shown: [shown, hint] as const,
    always: ALWAYS.includes(does),
  }));
  const width = ([keys, hint]: readonly [string, string]) => keys.length + 1 + hint.length + HINT_GAP;
  let room = columns + HINT_GAP - usable.reduce((sum, { shown, always }) => sum + (always ? width(shown) : 0), 0);
  return usable.flatMap(({ shown, always }) => {
    if (!always) room -= width(shown);
    return always || room >= 0 ? [shown] : [];
  });
}

/** Under which title the help shows the keys of which contexts; what works in every pane comes last. */
const SECTIONS: readonly (readonly [title: string, contexts: readonly KeyContext[]])[] = [
  ...PANES.map((pane) => [TITLES[pane], [pane]] as const),
  ['Recipe, block weights', ['bars']],
  ['Compare, clips', ['wall']],
  ['Publish, when asked', ['confirm']],
  ['Typing a line', TYPING],
  ['Everywhere', EVERYWHERE],
];

/** Of a pane, with keys of its own besides those of the pane. */
function isPart([context]: readonly KeyContext[]): boolean {
  return context === 'bars' || context === 'wall' || context === 'confirm';
}

/** All keys by where they work, those of `here` first; a part of a pane shows what the pane itself does not have. */
export function helpSections(here?: KeyContext): readonly {
  readonly title: string;
  readonly rows: readonly (readonly [keys: string, help: string])[];
}[] {
  const known = new Set<Binding>();
  const sections = SECTIONS.map(([title, contexts]) => ({
    title,
    isHere: here !== undefined && contexts !== EVERYWHERE && contexts.includes(here),
    rows: KEYS.filter((binding) => {
      const everywhere = PANES.every((pane) => binding.in.includes(pane));
      const fits = contexts === EVERYWHERE ? everywhere : !everywhere && binding.in.some((at) => contexts.includes(at));
      if (!fits || (isPart(contexts) && known.has(binding))) return false;
      known.add(binding);
      return true;
    }).map(({ keys, help }) => [keys.map(label).join(' '), help] as const),
  })).filter(({ rows }) => rows.length > 0);
  return sections.toSorted((a, b) => Number(b.isHere) - Number(a.isHere));
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
  left: '←',
  right: '→',
  'shift+left': 'Shift-←',
  'shift+right': 'Shift-→',
  backspace: 'Backspace',
  delete: 'Del',
};

export function label(key: string): string {
  const known = LABELS[key];
  if (known !== undefined) return known;
  return key.startsWith('ctrl+') ? `Ctrl-${key.slice(5).toUpperCase()}` : key;
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
  leftArrow: 'left',
  rightArrow: 'right',
  backspace: 'backspace',
  delete: 'delete',
} as const satisfies Partial<Record<keyof Key, string>>;

const SHIFTED: ReadonlySet<string> = new Set(['tab', 'left', 'right']);

/** The names of the keys in one event: keys pressed fast, or while the event loop was busy, arrive together. */
export function keyNames(input: string, key: Key): readonly string[] {
  const flag = (Object.keys(FLAGS) as (keyof typeof FLAGS)[]).find((name) => key[name]);
  if (flag !== undefined) return [key.shift && SHIFTED.has(FLAGS[flag]) ? `shift+${FLAGS[flag]}` : FLAGS[flag]];
  if (key.meta) return [];
  return key.ctrl ? [`ctrl+${input}`] : [...input].map(nameOf);
}

/** Of a character among others: Ink names control characters only where they come alone. */
function nameOf(character: string): string {
  const code = character.charCodeAt(0);
  if (character === '\r' || character === '\n') return 'return';
  if (character === '\t') return 'tab';
  if (character === '\u007f') return 'backspace';
  return code > 0 && code <= 26 ? `ctrl+${String.fromCharCode(96 + code)}` : character;
}

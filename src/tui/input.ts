/**
 * One line that is typed at the foot of the screen, and what for. What stands before and behind the cursor is kept apart, so that
 * moving and erasing go by what a reader takes for one character. Pure.
 */

/** What is done with the line when Enter is pressed. */
export type Purpose =
  | 'filter'
  | 'command'
  | 'value'
  | 'source'
  | 'folder'
  | 'rename'
  | 'save-as'
  | 'knobs'
  | 'prompt'
  | 'seed'
  | 'target';

/** Above such a line stands a list that it narrows down, and in which one is chosen. */
export const hasList = (input: Input | undefined): input is Input =>
  input?.purpose === 'command' || input?.purpose === 'source';

export interface Input {
  readonly purpose: Purpose;
  /** What is asked for. */
  readonly label: string;
  readonly before: string;
  readonly behind: string;
  /** Nothing was typed yet, and what is typed takes the place of the whole. */
  readonly fresh?: true;
  /** Why the line was not taken. */
  readonly problem?: string;
}

export type InputCommand =
  | 'cursor-left'
  | 'cursor-right'
  | 'cursor-start'
  | 'cursor-end'
  | 'erase'
  | 'erase-forward'
  | 'erase-word'
  | 'erase-line';

/** `fresh`: another value is likelier than one that goes on where this one ends. */
export function startInput(purpose: Purpose, label: string, text = '', { fresh = false } = {}): Input {
  return { purpose, label, before: text, behind: '', ...(fresh && text !== '' && { fresh }) };
}

export function textOf({ before, behind }: Input): string {
  return before + behind;
}

/** A line stays a line: what is pasted over several becomes one. */
export function typeText({ problem: _, fresh, ...input }: Input, text: string): Input {
  const { before, behind } = fresh ? NOTHING : input;
  return { ...input, behind, before: before + text.replace(/[\r\n\t]+/g, ' ').replace(/\p{Cc}/gu, '') };
}

const NOTHING = { before: '', behind: '' };

/** What erases a line that is fresh erases all of it. */
const ERASES: ReadonlySet<InputCommand> = new Set(['erase', 'erase-forward', 'erase-word', 'erase-line']);

type Edit = (input: Input) => Pick<Input, 'before' | 'behind'>;

const EDITS: Readonly<Record<InputCommand, Edit>> = {
  'cursor-left': ({ before, behind }) => {
    const [rest, last] = splitLast(before);
    return { before: rest, behind: last + behind };
  },
  'cursor-right': ({ before, behind }) => {
    const [first, rest] = splitFirst(behind);
    return { before: before + first, behind: rest };
  },
  'cursor-start': ({ before, behind }) => ({ before: '', behind: before + behind }),
  'cursor-end': ({ before, behind }) => ({ before: before + behind, behind: '' }),
  erase: ({ before, behind }) => ({ before: splitLast(before)[0], behind }),
  'erase-forward': ({ before, behind }) => ({ before, behind: splitFirst(behind)[1] }),
  'erase-word': ({ before, behind }) => ({ before: before.replace(/\S*\s*$/, ''), behind }),
  'erase-line': ({ behind }) => ({ before: '', behind }),
};

export function obeyInput({ problem: _, fresh, ...input }: Input, command: InputCommand): Input {
  return { ...input, ...(fresh && ERASES.has(command) ? NOTHING : EDITS[command](input)) };
}

export function isInputCommand(command: string): command is InputCommand {
  return Object.hasOwn(EDITS, command);
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

function splitLast(text: string): [rest: string, last: string] {
  const last = [...graphemes.segment(text)].at(-1);
  return last ? [text.slice(0, last.index), last.segment] : ['', ''];
}

function splitFirst(text: string): [first: string, rest: string] {
  const [first] = graphemes.segment(text);
  return first ? [first.segment, text.slice(first.segment.length)] : ['', ''];
}

/** What can be done to a recipe that is being changed: moving between its rows, turning, typing, adding and removing. */

import type { Json } from '../recipe/edit.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';
import { writeFlow } from '../recipe/yaml-write.ts';
import { barsOf, setBar } from './block-bars.ts';
import {
  change,
  documentOf,
  type Editor,
  editsFor,
  formOf,
  nextProblem,
  notice,
  problemsIn,
  removals,
  removeAt,
  rowAt,
  rowsOf,
  travel,
  unmatchedIn,
} from './draft.ts';
import { isSamePath, type Row, startsWith } from './form.ts';
import { isMove } from './keys.ts';
import { LINES, moved } from './moves.ts';
import { readNumber, readTyped } from './typed-value.ts';

export {
  type Editor,
  type Failing,
  type Form,
  formOf,
  hearProblems,
  isDirty,
  markSaved,
  nextProblem,
  openEditor,
  problemsFrom,
  rowAt,
  rowsOf,
  unmatchedIn,
} from './draft.ts';

export type EditorCommand =
  | 'up'
  | 'down'
  | 'page-up'
  | 'page-down'
  | 'first'
  | 'last'
  | 'less'
  | 'more'
  | 'left'
  | 'right'
  | 'much-less'
  | 'much-more'
  | 'next-problem'
  | 'toggle'
  | 'open'
  | 'close'
  | 'reset'
  | 'remove'
  | 'leave-out'
  | 'undo'
  | 'redo';

export type SourceKind = 'lora' | 'checkpoint' | 'lcm' | 'motion-lora';

export function obeyEditor(editor: Editor, command: EditorCommand): Editor {
  const calm = editor.notice === undefined ? editor : { ...editor, notice: undefined };
  if (command === 'undo' || command === 'redo') return travel(calm, command);
  const form = formOf(calm);
  const row = form.rows[form.at];
  if (!row) return calm;
  if (calm.bar !== undefined && row.kind === 'blocks') return obeyBars(calm, row, calm.bar, command);
  const lines = isMove(command) ? LINES[command] : 0;
  if (lines !== 0) {
    const to = moved(form.at, lines, form.rows.length);
    return { ...calm, cursor: form.rows[to]?.path ?? calm.cursor, turning: undefined };
  }
  const turn = TURNS[command];
  if (turn !== undefined) return turnRow(calm, row, turn);
  switch (command) {
    case 'next-problem': {
      const cursor = nextProblem(calm);
      return cursor ? { ...calm, cursor, turning: undefined } : notice(calm, 'Nothing is wrong with the recipe.');
    }
    case 'toggle':
      return row.kind === 'flag' || row.kind === 'choice' ? turnRow(calm, row, { steps: 1, isMuch: false }) : calm;
    case 'open':
      return row.kind === 'blocks' && barsOf(row.value, row.path) ? { ...calm, bar: 0, turning: undefined } : calm;
    case 'leave-out':
      return leaveOut(calm);
    case 'reset':
      return removeKey(calm, row);
    case 'remove':
      return removeRow(calm, row);
    default:
      return calm;
  }
}

/** The editor with what was typed for the row under the cursor, or a sentence that says why that cannot be its value. */
export function setValue(editor: Editor, typed: string): Editor | string {
  const row = rowAt(editor);
  if (!row) return 'There is no field here.';
  if (row.kind === 'blocks' && editor.bar !== undefined) return typeBar(editor, row, editor.bar, typed);
  if (typed.trim() === '' && row.kind !== 'text')
    return row.isRequired ? `${row.label} is needed.` : removeKey(editor, row);
  const read = readTyped(typed, row);
  if ('fault' in read) return read.fault;
  const changed = change(editor, editsFor(editor, row.path, read.value));
  if (changed.notice !== undefined) return changed.notice;
  const before = problemsIn(editor).map(({ sentence }) => sentence);
  const fault = problemsIn(changed).find(
    ({ path, sentence }) => startsWith(path, row.path) && !before.includes(sentence),
  );
  return fault ? fault.sentence : changed;
}

/** What `setValue` would have to be given for the value to stay as it is: where typing begins. */
export function typedValue(editor: Editor): string {
  const row = rowAt(editor);
  if (!row) return '';
  const value =
    row.kind === 'blocks' && editor.bar !== undefined
      ? barsOf(row.value, row.path)?.bars[editor.bar]?.weight
      : row.value;
  if (value === undefined) return '';
  return typeof value === 'object' ? writeFlow(value) : String(value);
}

/**
 * Another source behind those of its kind, at full strength, with the cursor on its file; of the LCM LoRA, of which there is one, only
 * the file changes. `file` is as the recipe shall have it.
 */
export function addSource(editor: Editor, kind: SourceKind, file: string): Editor {
  const { personalized, motion, lcm } = documentOf(editor);
  const loras = (motion as { readonly loras?: unknown } | null | undefined)?.loras;
  const places: Readonly<Record<SourceKind, readonly [source: KeyPath, key: string, strength: string]>> = {
    lora: [['personalized', lengthOf(personalized)], 'lora', 'alpha'],
    checkpoint: [['personalized', lengthOf(personalized)], 'checkpoint', 'alpha'],
    lcm: [['lcm'], 'lora', 'beta'],
    'motion-lora': [['motion', 'loras', lengthOf(loras)], 'lora', 'alpha'],
  };
  const [source, key, strength] = places[kind];
  const cursor = [...source, key];
  if (kind === 'lcm' && typeof lcm === 'object' && lcm !== null)
    return change(editor, [{ path: cursor, value: file }], { cursor });
  return change(editor, [{ path: source, value: { [key]: file, [strength]: 1 } }], { cursor });
}

/** Sets any fields at once, in one step of undo, with the cursor on the first: what a sweep has found best. */
export function setValues(editor: Editor, values: readonly { readonly path: KeyPath; readonly value: Json }[]): Editor {
  return change(
    editor,
    values.flatMap(({ path, value }) => editsFor(editor, path, value)),
    values[0] && { cursor: values[0].path },
  );
}

// ----------------------------------------------------------------------------------------------------- commands

interface Turn {
  readonly steps: 1 | -1;
  readonly isMuch: boolean;
}

const TURNS: Readonly<Partial<Record<EditorCommand, Turn>>> = {
  less: { steps: -1, isMuch: false },
  left: { steps: -1, isMuch: false },
  more: { steps: 1, isMuch: false },
  right: { steps: 1, isMuch: false },
  'much-less': { steps: -1, isMuch: true },
  'much-more': { steps: 1, isMuch: true },
};

/** How many steps a much larger one is: 0.25 of a strength. */
const MUCH = { strength: 5, number: 10 } as const;

function turnRow(editor: Editor, row: Row, { steps, isMuch }: Turn): Editor {
  const { kind, value, choices, limits, path } = row;
  switch (kind) {
    case 'strength':
    case 'number': {
      if (typeof value !== 'number') return notice(editor, `${row.label} has no number yet. Press Enter and type one.`);
      const to = round(value + steps * limits.step * (isMuch ? MUCH[kind] : 1));
      const within = Math.min(limits.maximum, Math.max(limits.minimum, to));
      return change(editor, editsFor(editor, path, within), { turning: path });
    }
    case 'choice': {
      const at = choices.indexOf(String(value));
      const next = at < 0 ? choices.at(steps > 0 ? 0 : -1) : choices.at((at + steps) % choices.length);
      return next === undefined ? editor : change(editor, editsFor(editor, path, next), { turning: path });
    }
    case 'flag':
      return change(editor, editsFor(editor, path, value !== true), { turning: path });
    case 'blocks':
      return notice(editor, 'Press Enter to turn single blocks.');
    case 'unknown':
      return editor;
    default:
      return notice(editor, `Press Enter to type ${row.label}.`);
  }
}

/** Bars that a large step passes over, and what a step up or down changes. */
const MANY_BARS = 6;
const BAR_STEP = 0.1;

function obeyBars(editor: Editor, row: Row, bar: number, command: EditorCommand): Editor {
  const bars = barsOf(row.value, row.path)?.bars ?? [];
  const chosen = bars[bar];
  if (command === 'close' || command === 'open' || !chosen) return { ...editor, bar: undefined, turning: undefined };
  const up = { up: BAR_STEP, down: -BAR_STEP }[command as string];
  if (up !== undefined) return putBar(editor, row, chosen.block, round(chosen.weight + up));
  const turn = TURNS[command];
  const by = turn
    ? turn.steps * (turn.isMuch ? MANY_BARS : 1)
    : { first: -Infinity, last: Infinity }[command as string];
  if (by !== undefined) return { ...editor, bar: Math.min(bars.length - 1, Math.max(0, bar + by)), turning: undefined };
  if (command !== 'reset' && command !== 'remove') return editor;
  if (Array.isArray(row.value)) return putBar(editor, row, chosen.block, 1);
  return chosen.isOwn ? removeAt(editor, [...row.path, chosen.block]) : editor;
}

function putBar(editor: Editor, { path, value, isDefault }: Row, block: string, weight: number): Editor {
  const edit = setBar(isDefault ? undefined : value, path, block, weight);
  if (!edit) return notice(editor, `The list of block weights has no number for ${block}.`);
  const edits = edit.value === undefined ? removals(editor, edit.path) : [edit];
  return change(editor, edits, { turning: [...path, block] });
}

function typeBar(editor: Editor, row: Row, bar: number, typed: string): Editor | string {
  const block = barsOf(row.value, row.path)?.bars[bar]?.block ?? '';
  const read = readNumber(typed, { label: block });
  if ('fault' in read) return read.fault;
  const changed = putBar(editor, row, block, read.value);
  return changed.notice ?? changed;
}

function removeKey(editor: Editor, row: Row): Editor {
  if (row.isDefault) return editor;
  if (row.isRequired) return notice(editor, `${row.label} is needed, so it has no default to go back to.`);
  return removeAt(editor, row.path);
}

/** The source that the row belongs to; the key where it belongs to none, or where nobody knows the key. */
function removeRow(editor: Editor, row: Row): Editor {
  const source = sourceOf(row.path);
  return source.length > 0 && row.kind !== 'unknown' ? removeAt(editor, source) : removeKey(editor, row);
}

/** Of a field of a source, which can be removed as a whole; empty for any other. */
function sourceOf(path: KeyPath): KeyPath {
  return path[0] === 'lcm' ? ['lcm'] : path.slice(0, path.findLastIndex((key) => typeof key === 'number') + 1);
}

/** Puts what fits nothing into `allow_unmatched` of its source, beside what it says already. */
function leaveOut(editor: Editor): Editor {
  const found = unmatchedIn(editor);
  if (!found) return notice(editor, 'No tensors are known that fit nothing.');
  const path = [...found.path.slice(0, -1), 'allow_unmatched'];
  const before = rowsOf(editor).find((row) => isSamePath(row.path, path))?.value;
  const globs = new Set([...(Array.isArray(before) ? before : []), ...(found.globs ?? [])]);
  return change(editor, [{ path, value: [...globs] }], { cursor: path });
}

const lengthOf = (list: unknown): number => (Array.isArray(list) ? list.length : 0);

/** Away from the noise of adding steps. */
const round = (value: number): number => Number(value.toFixed(6));

/**
 * A recipe while it is changed: its text, the row with the cursor, and what can be undone. Every change is one of the text
 * (recipe/edit.ts), so comments and order stay; whether it is right is what reading the text says.
 */
import { dirname, resolve, sep } from 'node:path';
import { type LcmMergeError, RecipeError, type RecipeProblem, type UnmatchedError } from '../errors.ts';
import { type Edit, editRecipe, type Json } from '../recipe/edit.ts';
import { parseRecipe } from '../recipe/load.ts';
import { type KeyPath, parseLocatedYaml } from '../recipe/located-yaml.ts';
import { isSamePath, makeForm, type Row, startsWith } from './form.ts';

interface Draft {
  readonly text: string;
  /** Path of the row with the cursor. */
  readonly cursor: KeyPath;
}

export interface Editor extends Draft {
  readonly file: string;
  /** What the file holds, as far as is known. */
  readonly saved: string;
  /** Of an open row of block weights, the bar that is chosen. */
  readonly bar: number | undefined;
  /** The latest last. */
  readonly undo: readonly Draft[];
  readonly redo: readonly Draft[];
  /** What the last change turned: turning it on is the same step of undo. */
  readonly turning: string | undefined;
  /** What planning `text` found, such as missing files. */
  readonly found: readonly Found[];
  /** Why the last command did nothing. */
  readonly notice: string | undefined;
}

export interface Form {
  readonly rows: readonly Row[];
  /** What is wrong and has no row, such as text that is no YAML. */
  readonly others: readonly RecipeProblem[];
  /** Index of the row with the cursor; -1 where there are none. */
  readonly at: number;
}

/** With the cursor on what is wrong, where something is, else on the first knob. */
export function openEditor(file: string, text: string): Editor {
  const editor: Editor = {
    file,
    saved: text,
    text,
    cursor: ['name'],
    bar: undefined,
    undo: [],
    redo: [],
    turning: undefined,
    found: [],
    notice: undefined,
  };
  const knob = rowsOf(editor).find(({ kind }) => kind === 'strength')?.path;
  return { ...editor, cursor: nextProblem(editor) ?? knob ?? editor.cursor };
}

/** Path of the next row below the cursor's that has problems, from the top again after the last. */
export function nextProblem(editor: Editor): KeyPath | undefined {
  const { rows, at } = formOf(editor);
  return [...rows.slice(at + 1), ...rows.slice(0, at + 1)].find(({ problems }) => problems.length > 0)?.path;
}

export const isDirty = ({ text, saved }: Editor): boolean => text !== saved;

/** The file now holds `text`, which may be older than what is being edited. */
export const markSaved = (editor: Editor, text: string): Editor => ({ ...editor, saved: text, turning: undefined });

/** What planning `text` found; an answer about another text is too late. */
export function hearProblems(editor: Editor, text: string, found: readonly Found[]): Editor {
  return editor.text === text ? { ...editor, found } : editor;
}

/** What is known of an error that planning has thrown. */
export interface Failing extends Pick<LcmMergeError, 'located' | 'place' | 'message'> {
  /** Tensors that fit nothing, and what leaves them out. */
  readonly unmatched?: Pick<UnmatchedError, 'reason' | 'globs'>;
}

/** What planning found wrong with a key. */
export interface Found extends RecipeProblem {
  /** What `allow_unmatched` would say to leave out the tensors that the problem is about. */
  readonly globs?: readonly string[];
}

/**
 * What an error of planning says of the recipe's keys: those that it names itself, else the source whose file it is about. Empty where
 * it speaks of neither.
 */
export function problemsFrom(editor: Editor, { located, place, message, unmatched }: Failing): readonly Found[] {
  const { file } = place;
  if (located.length > 0 || file === undefined) return located;
  const row = rowsOf(editor).find(({ kind, value }) => {
    const path = kind === 'file' && typeof value === 'string' ? resolve(dirname(editor.file), value) : undefined;
    return path !== undefined && (file === path || file.startsWith(path + sep));
  });
  if (!row) return [];
  if (!unmatched || unmatched.globs.length === 0) return [{ path: row.path, ...START, sentence: message }];
  const { reason, globs } = unmatched;
  const told = reason.startsWith(`${file}: `) ? reason.slice(file.length + 2) : reason; // its row says which file
  return [{ path: row.path, ...START, sentence: `${told}\n${LEAVE_OUT}`, globs }];
}

const LEAVE_OUT =
  'Nothing is merged so. Press o to leave these tensors out and merge the rest, or x to remove the source.';

/** The first problem of `path`'s source that leaving tensors out would solve, else of any. */
export function unmatchedIn({ found, cursor }: Editor): Found | undefined {
  const all = found.filter(({ globs }) => globs !== undefined);
  return all.find(({ path }) => startsWith(cursor, path.slice(0, -1))) ?? all[0];
}

const START = { line: 1, column: 1 };

export const rowsOf = (editor: Editor): readonly Row[] => formOf(editor).rows;

export function formOf(editor: Editor): Form {
  const { rows, others } = read(editor);
  return { rows, others, at: indexOf(rows, editor.cursor) };
}

type Reading = Omit<Form, 'at'>;

/** The latest reading: moving about in a text, and drawing it, does not read it again. */
let latest: { readonly of: Editor; readonly reading: Reading } | undefined;

function read(editor: Editor): Reading {
  const { file, text, found } = editor;
  if (latest?.of.text === text && latest.of.file === file && latest.of.found === found) return latest.reading;
  const { value } = parseLocatedYaml(text);
  const own = problemsIn(editor);
  const problems = own.length > 0 ? own : found;
  const reading = value === undefined ? { rows: [], others: problems } : makeForm(value, problems);
  latest = { of: editor, reading };
  return reading;
}

/** The row with the cursor. */
export function rowAt(editor: Editor): Row | undefined {
  const { rows, at } = formOf(editor);
  return rows[at];
}

export function removeAt(editor: Editor, path: KeyPath): Editor {
  return change(editor, removals(editor, path));
}

/** A mapping or list of which nothing is left goes, too; what must be there would only be missed. */
export function removals(editor: Editor, path: KeyPath): readonly Edit[] {
  const parent = path.slice(0, -1);
  const inside = parent.reduce<unknown>(
    (value, key) => (value as Record<string | number, unknown>)?.[key],
    documentOf(editor),
  );
  const isOnly = typeof inside === 'object' && inside !== null && Object.keys(inside).length === 1;
  return isOnly && parent.length > 0 ? removals(editor, parent) : [{ path, value: undefined }];
}

/** `base: m` becomes `base: { model: m, … }` when it gets more than a model. */
export function editsFor(editor: Editor, path: KeyPath, value: Json): readonly Edit[] {
  const { base } = documentOf(editor);
  const [head, key] = path;
  if (head !== 'base' || typeof key !== 'string' || (typeof base === 'object' && base !== null))
    return [{ path, value }];
  if (key === 'model') return [{ path: ['base'], value }];
  return [{ path: ['base'], value: typeof base === 'string' ? { model: base, [key]: value } : { [key]: value } }];
}

interface ChangeOptions {
  readonly cursor?: KeyPath;
  readonly turning?: KeyPath;
}

export function change(
  editor: Editor,
  edits: readonly Edit[],
  { cursor = editor.cursor, turning }: ChangeOptions = {},
): Editor {
  const knob = turning && JSON.stringify(turning);
  let text: string;
  try {
    text = editRecipe(editor.text, edits);
  } catch (error) {
    if (error instanceof RecipeError) return notice(editor, error.message);
    throw error;
  }
  if (text === editor.text) return { ...editor, cursor };
  const isSameStep = knob !== undefined && knob === editor.turning;
  const { text: last, cursor: place } = editor;
  return {
    ...editor,
    text,
    cursor,
    bar: cursor === place ? editor.bar : undefined,
    undo: isSameStep ? editor.undo : [...editor.undo, { text: last, cursor: place }],
    redo: [],
    turning: knob,
    found: [],
    notice: undefined,
  };
}

export function travel(editor: Editor, way: 'undo' | 'redo'): Editor {
  const to = editor[way].at(-1);
  if (!to) return notice(editor, way === 'undo' ? 'There is nothing to undo.' : 'There is nothing to do again.');
  const here = { text: editor.text, cursor: editor.cursor };
  const back = way === 'undo' ? 'redo' : 'undo';
  return {
    ...editor,
    ...to,
    [way]: editor[way].slice(0, -1),
    [back]: [...editor[back], here],
    bar: isSamePath(to.cursor, editor.cursor) ? editor.bar : undefined,
    turning: undefined,
    found: [],
  };
}

export const notice = (editor: Editor, sentence: string): Editor => ({
  ...editor,
  notice: sentence,
  turning: undefined,
});

export function documentOf({ text }: Editor): Readonly<Record<string, unknown>> {
  const { value } = parseLocatedYaml(text);
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

/** What is wrong with the text itself; files are not looked at. */
export function problemsIn({ text, file }: Editor): readonly RecipeProblem[] {
  try {
    parseRecipe(text, file);
    return [];
  } catch (error) {
    if (error instanceof RecipeError) return error.located;
    throw error;
  }
}

/** Of the row at `cursor`; where that has gone, of the one that shares most of its path. */
function indexOf(rows: readonly Row[], cursor: KeyPath): number {
  const shared = rows.map(({ path }) => {
    const end = path.findIndex((key, i) => key !== cursor[i]);
    return end < 0 ? (path.length === cursor.length ? Infinity : path.length) : end;
  });
  return rows.length === 0 ? -1 : shared.indexOf(Math.max(...shared));
}

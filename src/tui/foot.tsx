/** The last line: what is typed, else what the last command came to, else the keys that do something here. */
import { Box, useIsScreenReaderEnabled } from 'ink';
import { use } from 'react';
import { contextOf } from './commands.ts';
import { unsavedFiles } from './drafts.ts';
import { formOf, isDirty, rowAt, unmatchedIn } from './editor.ts';
import type { RowKind } from './form.ts';
import { textOf } from './input.ts';
import { footer, HINT_GAP, type Situation } from './keys.ts';
import { MARKS } from './marks.ts';
import { editorOf, type State } from './model.ts';
import { Marked, ThemeContext, Words } from './theme.tsx';
import { WORKING } from './work.ts';

/** A sentence that is longer is found in the pane that it is about. */
const MAX_ROWS = 4;

export interface FootProps {
  readonly state: State;
  readonly columns: number;
  readonly rows: number;
}

/** How many rows the foot needs in a terminal of so many columns. */
export function footRows({ input, notice, cover }: State, columns: number): number {
  if (input)
    return lineRows(input.label, columns) + (input.problem === undefined ? 0 : rowsFor(input.problem, columns));
  return notice && cover === undefined ? rowsFor(notice.text, columns) : 1;
}

/** Words wrap early; one row more than their length asks for is enough for that. */
function rowsFor(text: string, columns: number): number {
  const width = columns - SIGN;
  return Math.min(MAX_ROWS, text.length <= width ? 1 : Math.ceil(text.length / (width * 0.9)));
}

/** The column of a mark. */
const SIGN = 2;

export function Foot({ state, columns, rows }: FootProps) {
  const { input, notice, cover } = state;
  return (
    <Box height={rows} flexShrink={0} flexDirection="column" overflow="hidden">
      {input && <Line input={input} columns={columns} />}
      {input?.problem !== undefined && <Marked mark="failed">{input.problem}</Marked>}
      {!input && notice && cover === undefined && <Marked mark={notice.mark}>{notice.text}</Marked>}
      {!input && (!notice || cover !== undefined) && <Hints state={state} columns={columns} />}
    </Box>
  );
}

/** Columns that what is typed has beside its label; a label that leaves less stands above. */
const VALUE = 24;

const lineRows = (label: string, columns: number): number => (label.length + VALUE > columns ? 2 : 1);

/** Where there is no room for all, what is before the cursor loses its beginning, and what is behind it loses its end first. */
function Line({ input, columns }: { readonly input: NonNullable<State['input']>; readonly columns: number }) {
  const isRead = useIsScreenReaderEnabled();
  const { label, before, behind, fresh = false } = input;
  const [under = ' ', ...after] = [...behind];
  const { depth } = use(ThemeContext); // without colours the cursor is a sign
  if (isRead) return <Words>{`${label}: ${textOf(input)}`}</Words>;
  const isAbove = lineRows(label, columns) > 1;
  return (
    <>
      {isAbove && (
        <Words style="bold" wrap="truncate-middle">
          {`${label}:`}
        </Words>
      )}
      <Box height={1} flexShrink={0} overflow="hidden">
        <Box flexShrink={0}>
          <Words style="bold">{isAbove ? '› ' : `${label}: `}</Words>
        </Box>
        <Words style={fresh ? 'inverse' : undefined} wrap="truncate-start">
          {before}
        </Words>
        <Box flexShrink={0}>
          <Words style="inverse">{depth > 1 ? under : `▏${under}`}</Words>
        </Box>
        <Box flexShrink={1000}>
          <Words wrap="truncate-end">{after.join('')}</Words>
        </Box>
        {textOf(input) === '' && (
          <Words style="dim" wrap="truncate-end">
            {' Enter takes it, Esc leaves it'}
          </Words>
        )}
      </Box>
    </>
  );
}

/** The keys of where one is; what does not fit is found in the help. */
function Hints({ state, columns }: { readonly state: State; readonly columns: number }) {
  const context = contextOf(state);
  const asked = context === 'quit' ? question(state) : '';
  const isRead = useIsScreenReaderEnabled();
  if (isRead) {
    const hints = footer(context, { now: situationsOf(state), columns: Infinity });
    return <Words>{`${asked} Keys: ${hints.map((hint) => hint.join(' ')).join(', ')}`}</Words>;
  }
  return (
    <Box height={1} flexShrink={0} gap={HINT_GAP} overflow="hidden">
      {asked !== '' && (
        <Box flexShrink={0}>
          <Words style="bold">{asked}</Words>
        </Box>
      )}
      {footer(context, { now: situationsOf(state), columns: columns - asked.length - HINT_GAP }).map(([keys, hint]) => (
        <Box key={keys} flexShrink={0}>
          <Words style="bold">{keys}</Words>
          <Words style="dim">{` ${hint}`}</Words>
        </Box>
      ))}
    </Box>
  );
}

const TURNS: ReadonlySet<RowKind> = new Set(['strength', 'number', 'choice', 'flag']);

export function situationsOf(state: State): ReadonlySet<Situation> {
  const { work, recipes } = state;
  const editor = editorOf(state);
  const row = editor && rowAt(editor);
  const form = editor && formOf(editor);
  const is: Readonly<Record<Situation, boolean>> = {
    working: work !== undefined,
    idle: work === undefined,
    listed: (recipes.entries?.length ?? 0) > 0,
    filtered: recipes.filter !== '',
    wrong: form !== undefined && (form.others.length > 0 || form.rows.some(({ problems }) => problems.length > 0)),
    unmatched: editor !== undefined && unmatchedIn(editor) !== undefined,
    turns: row !== undefined && TURNS.has(row.kind),
    unsaved: editor !== undefined && isDirty(editor),
    undoable: (editor?.undo.length ?? 0) > 0,
  };
  return new Set((Object.keys(is) as Situation[]).filter((situation) => is[situation]));
}

/** Why it is asked at all. */
function question(state: State): string {
  const unsaved = unsavedFiles(state).size;
  const reasons = [
    ...(state.work ? [WORKING[state.work.kind]] : []),
    ...(unsaved > 0 ? [`${unsaved} ${unsaved === 1 ? 'recipe is' : 'recipes are'} unsaved`] : []),
  ];
  return `${MARKS.warning[0]} ${reasons.join(', ')}. Quit?`;
}

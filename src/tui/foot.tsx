/** The last line: what is typed, else what the last command came to, else the keys that do something here. */
import { Box } from 'ink';
import { contextOf } from './commands.ts';
import { unsavedFiles } from './drafts.ts';
import { formOf, isDirty, rowAt, unmatchedIn } from './editor.ts';
import type { RowKind } from './form.ts';
import { textOf } from './input.ts';
import { footer, HINT_GAP, type Situation } from './keys.ts';
import { MARKS } from './marks.ts';
import { editorOf, type State } from './model.ts';
import { Marked, Words } from './theme.tsx';
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
  if (input) return 1 + (input.problem === undefined ? 0 : rowsFor(input.problem, columns));
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

/** What is before the cursor loses its beginning where there is no room for all. */
function Line({ input, columns }: { readonly input: NonNullable<State['input']>; readonly columns: number }) {
  const { label, before, behind, fresh = false } = input;
  const [under = ' ', ...after] = [...behind];
  const room = Math.max(8, columns - label.length - 4 - after.length);
  return (
    <Box height={1} flexShrink={0} overflow="hidden">
      <Words style="bold">{`${label}: `}</Words>
      <Box flexShrink={0}>
        <Words style={fresh ? 'inverse' : undefined}>
          {before.length > room ? `…${before.slice(1 - room)}` : before}
        </Words>
        <Words style="inverse">{under}</Words>
      </Box>
      <Words wrap="truncate-end">{after.join('')}</Words>
      {textOf(input) === '' && <Words style="dim"> Enter takes it, Esc leaves it</Words>}
    </Box>
  );
}

/** The keys of where one is; what does not fit is found in the help. */
function Hints({ state, columns }: { readonly state: State; readonly columns: number }) {
  const context = contextOf(state);
  const asked = context === 'quit' ? question(state) : '';
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

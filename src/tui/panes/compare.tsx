/** Packages to choose from; then their clips on one wall, and the figures below. */

import type { FoundPackage, PackageFound } from '../../compare/find-packages.ts';
import { table, wrap } from '../../text/columns.ts';
import { formatBytes, formatTime } from '../../text/quantity.ts';
import { type Comparison, type ComparisonRun, type SweepSource, type Wish, whyNot, wishOf } from '../comparison.ts';
import { MARKS, type Mark } from '../marks.ts';
import { progressLines } from '../progress-line.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';
import { WallView } from './wall.tsx';

export interface ComparePaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly comparison: Comparison;
}

export function ComparePane({ comparison, ...pane }: ComparePaneProps) {
  const { run } = comparison;
  if (run.status === 'choosing') return <Choosing comparison={comparison} {...pane} />;
  return <Watching run={run} notice={comparison.notice} {...pane} />;
}

// ---------------------------------------------------------------------------------------------------- choosing

const NONE = 'There is no package in out/. Bake two, and compare them here.';
const HINT = 'Space marks; Enter compares the others with [1].';
/** Of a package. */
const LINES = 2;

function Choosing({ comparison, box, focused }: ComparePaneProps) {
  const { packages, selected, notice } = comparison;
  const head = 1 + (notice === undefined ? 1 : heightOf(notice, box.width - PANE_SIDES - 2)); // behind a mark
  const shown = box.height - PANE_ENDS - head;
  const furthest = Math.max(0, LINES * (packages?.length ?? 0) - shown);
  const offset = Math.min(furthest, Math.max(0, LINES * selected - Math.floor((shown - LINES) / 2)));
  return (
    <Pane
      title="Compare"
      box={box}
      focused={focused}
      offset={offset}
      head={
        <>
          {notice === undefined ? <Words wrap="truncate-end">{HINT}</Words> : <Marked mark="warning">{notice}</Marked>}
          <Words wrap="truncate-end">{wishText(wishOf(comparison))}</Words>
        </>
      }
    >
      {packages === undefined && <Words>Looking for packages …</Words>}
      {packages?.length === 0 && <Words>{NONE}</Words>}
      {packages?.map((found, i) => (
        <Choice key={found.folder} found={found} isSelected={i === selected} comparison={comparison} />
      ))}
    </Pane>
  );
}

/** Lines that a text takes; a word that is too long is broken. */
function heightOf(text: string, columns: number): number {
  return wrap(text, columns).reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / columns)), 0);
}

interface ChoiceProps {
  readonly found: FoundPackage;
  readonly isSelected: boolean;
  readonly comparison: Comparison;
}

/** `▸ [1] out/ink  ✓ passed 2026-11-25 21:46, 21.8 MB`, and what it is made of, or why it cannot be marked. */
function Choice({ found, isSelected, comparison }: ChoiceProps) {
  const place = comparison.marked.indexOf(found.folder);
  const reason = place < 0 ? whyNot(comparison, found) : undefined;
  const box = place < 0 ? (reason === undefined ? '[ ]' : '[–]') : `[${place + 1}]`;
  const state = found.kind === 'package' ? stateOf(found) : `${MARKS.failed[0]} broken`;
  return (
    <>
      <Words style={isSelected ? 'bold' : reason === undefined ? undefined : 'dim'} wrap="truncate-end">
        {`${isSelected ? '▸' : ' '} ${box} ${found.folder}  ${state}`}
      </Words>
      <Words style="dim" wrap="truncate-end">
        {`      ${reason ?? (found.kind === 'package' ? found.summary : '')}`}
      </Words>
    </>
  );
}

const VERDICT_MARKS = {
  passed: 'passed',
  failed: 'failed',
  unknown: 'unknown',
  'not verified': 'note',
} as const satisfies Record<PackageFound['verdict'], Mark>;

const VERDICTS = {
  passed: 'passed',
  failed: 'failed',
  unknown: 'could not tell',
  'not verified': 'not verified',
} as const;

function stateOf({ verdict, verifiedAt, bytes }: PackageFound): string {
  const when = verifiedAt === undefined ? '' : ` ${formatTime(verifiedAt)}`;
  return `${MARKS[VERDICT_MARKS[verdict]][0]} ${VERDICTS[verdict]}${when}, ${formatBytes(bytes)}`;
}

function wishText({ prompt, seed }: Wish): string {
  const words = prompt === undefined ? "the recipe's prompt" : `“${prompt}”`;
  return `${words}, ${seed === undefined ? "the recipe's seed" : `seed ${seed}`}`;
}

// ---------------------------------------------------------------------------------------------------- watching

type Watched = Exclude<ComparisonRun, { status: 'choosing' }>;

/** Below this a clip is not recognised (wall.ts); the figures give way. */
const LEAST_WALL = 9;

interface WatchingProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly run: Watched;
  readonly notice: string | undefined;
}

function Watching({ run, notice, box, focused }: WatchingProps) {
  const columns = box.width - PANE_SIDES;
  const rows = box.height - PANE_ENDS;
  if (run.status === 'failed') {
    return (
      <Pane title="Compare" box={box} focused={focused}>
        {run.problems.map((problem) => (
          <Marked key={problem} mark="failed">
            {problem}
          </Marked>
        ))}
        <Words style="dim">Esc leads back to the packages, a tries again.</Words>
      </Pane>
    );
  }
  const cautions = [...(notice === undefined ? [] : [notice]), ...run.warnings];
  const above = [headOf(run), ...cautions.map((text) => `${MARKS.warning[0]} ${text}`), ...progressOf(run, columns)];
  const below = figuresOf(run, columns, rows - above.length - LEAST_WALL);
  return (
    <Pane title="Compare" box={box} focused={focused}>
      {above.map((line) => (
        <Words key={line} wrap="truncate-end">
          {line}
        </Words>
      ))}
      <WallView wall={run.wall} cells={{ columns, rows: Math.max(1, rows - above.length - below.length) }} />
      {below.map(({ text, style }) => (
        <Words key={text} style={style} wrap="truncate-end">
          {text}
        </Words>
      ))}
    </Pane>
  );
}

const HEADS = {
  running: ['working', 'Comparing'],
  stopping: ['working', 'Stopping'],
  done: ['passed', 'Compared'],
  stopped: ['stopped', 'Stopped'],
} as const;

function headOf({ status, request, sampled }: Exclude<Watched, { status: 'failed' }>): string {
  const [mark, words] = HEADS[status];
  const what =
    request.kind === 'sweep' ? `${knobsOf(request)} of ${request.recipe}` : `${request.packages.length} packages`;
  return `${MARKS[mark][0]} ${words} ${what}: ${wishText(sampled)}`;
}

/** `α × β` */
function knobsOf({ x, y }: SweepSource): string {
  return y ? `${x.label} × ${y.label}` : x.label;
}

function progressOf(run: Watched, columns: number): readonly string[] {
  const row = run.status === 'running' || run.status === 'stopping' ? run.row : undefined;
  return row?.progress ? progressLines(row, row.progress.at, columns) : [];
}

interface Line {
  readonly text: string;
  readonly style: 'dim' | 'bold' | undefined;
}

/** The whole table where there is room for it, else the figures of the clip that is selected. */
function figuresOf(run: Watched, columns: number, room: number): readonly Line[] {
  if (run.status !== 'done' || room < 1) return [];
  const { figures, wall } = run;
  const [titles = [], ...rows] = figures;
  const pointed = figures.map((cells, i) => [`${i === wall.selected + 1 ? '▸' : ' '} ${cells[0]}`, ...cells.slice(1)]);
  const lines = table(pointed, { right: titles.map((_, i) => i).slice(1) }).split('\n');
  if (lines.length <= room && lines.every((line) => line.length <= columns)) {
    return lines.map((text, i) => ({ text, style: i === 0 ? 'dim' : i === wall.selected + 1 ? 'bold' : undefined }));
  }
  const [, ...selected] = rows[wall.selected] ?? [];
  const said = selected.map((cell, i) => `${titles[i + 1]} ${cell}`.trim()).join(' · ');
  return wrap(said, columns)
    .slice(0, room)
    .map((text) => ({ text, style: undefined }));
}

/** The result, moving, and where the time went; until there is one, what each step of sampling comes to. */
import { Box } from 'ink';
import { useMemo } from 'react';
import type { Preview } from '../../events.ts';
import type { Frames } from '../../runtime/frames.ts';
import type { Style } from '../../text/terminal.ts';
import type { Budgets } from '../../verify/checks/timing.ts';
import { isBusy, type Job } from '../job.ts';
import { MARKS } from '../marks.ts';
import { type Cells, sizeIn } from '../pixels.ts';
import { describePlayback, type Playback } from '../playback.ts';
import { Words } from '../theme.tsx';
import { runningRows, type TimingRow, timingRows } from '../timing.ts';
import { Moving } from './moving.tsx';
import { PANE_ENDS, PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

/** The clip of a package, or why there is none. */
export type ShownClip =
  | ({ readonly status: 'ready'; readonly frames: Frames } & Pick<Playback, 'at' | 'playing'> & Partial<Playback>)
  | { readonly status: 'absent'; readonly reason: string };

export interface RunPaneProps extends Pick<PaneProps, 'box' | 'focused'> {
  readonly clip: ShownClip | undefined;
  readonly preview: Preview | undefined;
  /** What the clip came from: its timing is shown. */
  readonly job?: Job | undefined;
  /** What the job's recipe allows: until there is a report, what is told is held against it. */
  readonly budgets?: Budgets | undefined;
}

export function RunPane({ clip, preview, job, budgets = NONE, box, focused }: RunPaneProps) {
  const room = { columns: box.width - PANE_SIDES, rows: box.height - PANE_ENDS };
  const rows = useMemo(() => (job ? rowsOf(job, budgets) : []), [job, budgets]);
  return (
    <Pane title={job?.folder === undefined ? 'Run' : `Run · ${job.folder}`} box={box} focused={focused}>
      {!clip && !preview && rows.length === 0 && (
        <Words>{job?.folder === undefined ? NO_FRAMES : 'Reading the clip …'}</Words>
      )}
      {!clip && !preview && <Timing lines={rows.map((row) => lineOf(row, room.columns >= WIDE))} />}
      {!clip && preview && <Step preview={preview} rows={rows} room={room} />}
      {clip?.status === 'absent' && (
        <>
          <Words>{`There are no frames to show. ${clip.reason}`}</Words>
          <Timing lines={rows.map((row) => lineOf(row, room.columns >= WIDE))} />
        </>
      )}
      {clip?.status === 'ready' && (
        <Shown
          frames={clip.frames}
          at={clip.at}
          caption={`${describePlayback({ skipped: 0, ...clip }, clip.frames.count)}, ${sizeOf(clip.frames)}`}
          rows={rows}
          room={room}
        />
      )}
    </Pane>
  );
}

const NO_FRAMES = 'No frames yet: they are shown when a job has run. v in Compare shows those of an older package.';

/** Of the report, or, until there is one, what the run has told so far. */
function rowsOf(job: Job, budgets: Budgets): readonly TimingRow[] {
  const reported = job.report && timingRows(job.report);
  if (reported) return reported;
  const run = job.stages.findLast(({ stage }) => stage === 'run');
  if (!run) return [];
  return run.finished || isBusy(job) ? runningRows(run, budgets, job.at) : [];
}

const NONE: Budgets = {};

const sizeOf = ({ width, height }: { readonly width: number; readonly height: number }) => `${width}×${height}`;

interface Beside {
  readonly rows: readonly TimingRow[];
  readonly room: Cells;
}

function Step({ preview, ...beside }: Beside & { readonly preview: Preview }) {
  const { step, total, width, height, pixels } = preview;
  const frames = useMemo(() => ({ width, height, count: 1, data: pixels }), [width, height, pixels]);
  return <Shown frames={frames} at={0} caption={`… step ${step} of ${total}, ${sizeOf(preview)}`} {...beside} />;
}

/** The line below the picture. */
const CAPTION = 1;
const GAP = 2;

interface ShownProps extends Beside {
  readonly frames: Frames;
  readonly at: number;
  readonly caption: string;
}

/** With fewer columns for a picture and what stands beside it, a budget is told by its share alone. */
const WIDE = 70;

/** The timing stands beside the picture or below it, wherever the picture is larger. */
function Shown({ frames, at, caption, rows, room }: ShownProps) {
  const short = rows.map((row) => lineOf(row, room.columns >= WIDE));
  const columns =
    short.length === 0 ? 0 : Math.max(...short.map((line) => line.map(({ text }) => text).join('').length));
  const beside = { columns: room.columns - (columns && columns + GAP), rows: room.rows - CAPTION };
  const below = { columns: room.columns, rows: room.rows - CAPTION - rows.length };
  const isBeside = sizeIn(frames, beside).width >= sizeIn(frames, below).width;
  return (
    <Box flexDirection="column" alignItems="center">
      <Box gap={GAP} justifyContent="center">
        <Moving frames={frames} at={at} room={isBeside ? beside : below} />
        {isBeside && <Timing lines={short} />}
      </Box>
      <Words wrap="truncate-end">{caption}</Words>
      {!isBeside && (
        <Box alignSelf="flex-start">
          <Timing lines={rows.map((row) => lineOf(row, true))} />
        </Box>
      )}
    </Box>
  );
}

interface Part {
  readonly text: string;
  readonly style?: Style;
}

const LABEL = 9;
const VALUE = 8;

/** `denoise   382 ms  ✓ 0.64% of 60.0 s` */
function lineOf({ label, value, budget }: TimingRow, wide: boolean): readonly Part[] {
  const [sign, style] = budget ? MARKS[budget.mark] : MARKS.note;
  return [
    { text: label.padEnd(LABEL), style: 'dim' },
    { text: budget ? `${value.padEnd(VALUE)} ` : value },
    ...(budget ? [{ text: `${sign} ${budget.share}${wide ? ` of ${budget.of}` : ''}`, style }] : []),
  ];
}

function Timing({ lines }: { readonly lines: readonly (readonly Part[])[] }) {
  return (
    <Box flexDirection="column" flexShrink={0}>
      {lines.map((line) => (
        <Box key={line[0]?.text} height={1}>
          {line.map(({ text, style }) => (
            <Words key={text} style={style}>
              {text}
            </Words>
          ))}
        </Box>
      ))}
    </Box>
  );
}

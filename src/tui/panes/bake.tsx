/** The job: how it stands and what to do about it, how far the working stage is, its stages, and its log. */
import { sep } from 'node:path';
import { formatDuration } from '../../text/quantity.ts';
import { currentStage, isBusy, type Job, type JobStatus, jobMark, type StageRow } from '../job.ts';
import { progressLines } from '../progress-line.ts';
import { Marked, Words } from '../theme.tsx';
import { PANE_SIDES, Pane, type PaneProps } from './pane.tsx';

export interface BakePaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly job: Job | undefined;
}

const SAYINGS: Readonly<Record<JobStatus, string>> = {
  running: 'Working',
  stopping: 'Stopping',
  passed: 'Passed',
  refused: 'Has not passed',
  failed: 'Failed',
  stopped: 'Stopped',
};

const HERE = `${process.cwd()}${sep}`;
/** What a package is called until it is done (export/staging.ts). */
const UNFINISHED = /\.\d+\.partial\b/;

/** What one does next. */
const NEXT: Readonly<Partial<Record<JobStatus, string>>> = {
  passed: 'Run shows the clip, Gate the checks.',
  refused: 'Gate says what each check found. Change the recipe, then press b.',
  failed: 'Put right what the log says, then press b to try again.',
  stopped: 'Press b to begin again.',
};

export function BakePane({ job, ...pane }: BakePaneProps) {
  if (!job) {
    return (
      <Pane title="Bake" {...pane}>
        <Words>Nothing runs. Choose a recipe and press b.</Words>
      </Pane>
    );
  }
  const next = NEXT[job.status];
  const head = (
    <>
      <Marked mark={jobMark(job)} style="bold" wrap="truncate-middle">
        {`${sayingOf(job)} · ${job.recipe} · ${formatDuration(job.at - job.startedAt)}`}
      </Marked>
      {isBusy(job) && <Working job={job} columns={pane.box.width - PANE_SIDES} />}
      {next !== undefined && <Words style="dim">{next}</Words>}
    </>
  );
  return (
    <Pane title="Bake" {...pane} head={head}>
      {job.stages.map((row) => (
        <Marked
          key={`${row.stage} ${row.startedAt}`}
          mark={row.finished ? 'passed' : isBusy(job) ? 'working' : 'stopped'}
        >
          {stageText(row, isBusy(job) ? job.at : undefined)}
        </Marked>
      ))}
      {job.log.map(({ n, mark, text }) => (
        <Marked key={n} mark={mark}>
          {text}
        </Marked>
      ))}
    </Pane>
  );
}

function sayingOf(job: Job): string {
  return jobMark(job) === 'unknown' ? 'Could not be proved' : SAYINGS[job.status];
}

function Working({ job, columns }: { readonly job: Job; readonly columns: number }) {
  const stage = currentStage(job);
  if (!stage) return null;
  const lines = progressLines(stage, job.at, columns);
  const waiting = stage.stage === 'verify' && job.checks.length > 0 ? `${job.checks.length} checks done` : '…';
  return (lines.length > 0 ? lines : [`${stage.stage}  ${waiting}`]).map((line, i) => (
    <Words key={i === 0 ? 'bar' : 'numbers'} wrap="truncate-end">
      {line}
    </Words>
  ));
}

/** Of a stage that works, how long it has; folders under the names that they will have. */
function stageText({ stage, subject, startedAt, finished }: StageRow, now: number | undefined): string {
  const name = stage.padEnd(7);
  if (finished) return `${name} ${finished.summary} (${formatDuration(finished.milliseconds)})`;
  return `${name} ${subject.replace(HERE, '').replace(UNFINISHED, '')}${now === undefined ? '' : ` (${formatDuration(now - startedAt)})`}`;
}

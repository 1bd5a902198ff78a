/** The job: its stages, how far the working one is, and its log. */
import { formatDuration } from '../../cli/format.ts';
import { currentStage, isBusy, type Job, type JobStatus, type StageRow } from '../job.ts';
import { JOB_MARKS } from '../marks.ts';
import { progressLine } from '../progress-line.ts';
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

export function BakePane({ job, ...pane }: BakePaneProps) {
  if (!job) {
    return (
      <Pane title="Bake" {...pane}>
        <Words>Nothing runs. Choose a recipe and press b.</Words>
      </Pane>
    );
  }
  const current = isBusy(job) ? currentStage(job) : undefined;
  const head = (
    <>
      <Marked mark={JOB_MARKS[job.status]} style="bold">
        {`${SAYINGS[job.status]} · ${job.recipe} · ${formatDuration(job.at - job.startedAt)}`}
      </Marked>
      {current && (
        <Words wrap="truncate-end">
          {progressLine(current, job.at, pane.box.width - PANE_SIDES) || `${current.stage} …`}
        </Words>
      )}
    </>
  );
  return (
    <Pane title="Bake" {...pane} head={head}>
      {job.stages.map((row) => (
        <Marked key={row.stage} mark={row.finished ? 'passed' : isBusy(job) ? 'working' : 'stopped'}>
          {stageText(row)}
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

function stageText({ stage, subject, finished }: StageRow): string {
  return `${stage.padEnd(7)} ${finished ? `${finished.summary} (${formatDuration(finished.milliseconds)})` : subject}`;
}

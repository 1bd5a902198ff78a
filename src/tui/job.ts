/**
 * A job as its events tell it: stages with their progress, checks, a log. Pure; times are milliseconds on any clock that only
 * grows, and come with the events.
 */
import { join } from 'node:path';
import type { CheckVerdict, Event, Preview, StageName } from '../events.ts';
import type { MadePackage } from '../publish/make-package.ts';

import type { Findings } from '../verify/report.ts';
import { overall, VERIFICATION_FOLDER } from '../verify/verdict.ts';

import { JOB_MARKS, type Mark } from './marks.ts';

export type JobStatus = 'running' | 'stopping' | 'passed' | 'refused' | 'failed' | 'stopped';

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: Extract<Event, { type: 'progress' }>['unit'];
  readonly detail?: string | undefined;
  readonly at: number;
}

export interface StageRow {
  readonly stage: StageName;
  readonly startedAt: number;
  readonly subject: string;
  readonly progress?: Progress | undefined;
  /** How far it was at times of the last few seconds, the earliest first: what its rate is told from. */
  readonly pace?: readonly Pick<Progress, 'done' | 'at'>[];
  /** What each of its units took, in milliseconds, where that is told: the steps of a run. */
  readonly took?: readonly number[];
  readonly finished?: { readonly milliseconds: number; readonly summary: string };
}

export interface CheckRow {
  readonly id: string;
  readonly verdict: CheckVerdict;
  readonly reason: string;
  readonly seconds: number;
}

export interface LogLine {
  readonly mark: Mark;
  readonly text: string;
}

export interface Job {
  readonly recipe: string;
  readonly status: JobStatus;
  readonly startedAt: number;
  /** Time of the last that was heard of it, or of its end. */
  readonly at: number;
  readonly stages: readonly StageRow[];
  readonly checks: readonly CheckRow[];
  /** The check that works, and how many there are in all. */
  readonly checking?: { readonly id: string; readonly total: number } | undefined;
  /** What the last step came to. */
  readonly preview?: Preview;
  /** Each with its number. */
  readonly log: readonly (LogLine & { readonly n: number })[];
  /** The package, once there is one; also one that did not pass. */
  readonly folder?: string;
  /** Of its gate, at the end. */
  readonly report?: Findings;
}

/** A log that somebody scrolls in; a job says a few dozen things. */
const MAX_LOG = 500;

export function startJob(recipe: string, at: number): Job {
  return { recipe, status: 'running', startedAt: at, at, stages: [], checks: [], log: [] };
}

export function isBusy(job: Job | undefined): job is Job {
  return job?.status === 'running' || job?.status === 'stopping';
}

/** The stage that works at the moment: the last one that was begun and has not ended. */
export function currentStage({ stages }: Job): StageRow | undefined {
  return stages.findLast(({ finished }) => !finished);
}

export function hear(before: Job, event: Event, at: number): Job {
  const job = { ...before, at };
  switch (event.type) {
    case 'stage-started':
      return { ...job, stages: [...job.stages, { stage: event.stage, startedAt: at, subject: event.subject }] };
    case 'progress': {
      const { done, total, unit, detail, milliseconds } = event;
      const row = job.stages.findLast(({ stage }) => stage === event.stage);
      const told = updateStage(job, event.stage, {
        progress: { done, total, unit, detail, at },
        pace: paceWith(row?.pace ?? [], { done, at }),
        ...(milliseconds !== undefined && { took: [...(row?.took ?? []), milliseconds] }),
      });
      return unit === 'checks' && detail !== undefined ? { ...told, checking: { id: detail, total } } : told;
    }
    case 'stage-finished': {
      const { milliseconds, summary } = event;
      return updateStage(job, event.stage, { finished: { milliseconds, summary } });
    }
    case 'warning':
      return say(job, { mark: 'warning', text: event.message });
    case 'check': {
      const { id, verdict, reason, seconds } = event;
      const heard = { ...job, checks: [...job.checks, { id, verdict, reason, seconds }], checking: undefined };
      return updateStage(heard, event.stage, { progress: undefined, pace: [] }); // it was that of this check
    }
    case 'preview': {
      const { step, total, width, height, pixels } = event;
      return { ...job, preview: { step, total, width, height, pixels } };
    }
    case 'finding': // of packages from elsewhere, which no job here looks at
    case 'latents':
    case 'tile': // whoever asked for tiles collects them
      return job;
  }
}

/** The end of a job, with what there is to say about it. */
export function endJob(before: Job, status: JobStatus, at: number, lines: readonly LogLine[], folder?: string): Job {
  const job = lines.reduce(say, before);
  return { ...job, status, at, ...(folder !== undefined && { folder }) };
}

/** The end of a job that has made a package: where it is and what lies in it, or why it must not be used. */
export function finishJob(before: Job, { folder, report, published }: MadePackage, at: number): Job {
  const made = { ...before, report };
  const page: LogLine = { mark: 'note', text: `Report: ${join(folder, VERIFICATION_FOLDER, 'report.html')}` };
  if (report.verdict === 'passed') {
    const where: LogLine[] = published === undefined ? [] : [{ mark: 'passed', text: `Published to ${published}` }];
    return endJob(made, 'passed', at, [{ mark: 'passed', text: `Passed: ${folder}` }, page, ...where], folder);
  }
  const reasons = report.checks
    .filter(({ verdict }) => verdict !== 'passed')
    .map(({ id, verdict, reason }): LogLine => ({ mark: verdict, text: `${id}: ${reason}` }));
  const kept: LogLine = {
    mark: report.verdict,
    text: `${REFUSALS[report.verdict]} and must not be used. It is kept in ${folder}`,
  };
  return endJob(made, 'refused', at, [...reasons, page, kept], folder);
}

/** A package that was made at another time, as the job that it came from; undefined findings are those of one that was never verified. */
export function jobOf(folder: string, report: Findings | undefined): Job {
  const status = report?.verdict === 'passed' ? 'passed' : 'refused';
  return { ...startJob(folder, 0), status, checks: report?.checks ?? [], folder, ...(report && { report }) };
}

const REFUSALS = { failed: 'Has not passed', unknown: 'Could not be proved' } as const;

/** How a job stands, in a sign; one whose gate could not tell has not failed. */
export function jobMark(job: Job): Mark {
  return job.status === 'refused' ? overall(job.checks) : JOB_MARKS[job.status];
}

/** How its gate stands; undefined before the first check begins. */
export function gateMark(job: Job | undefined): Mark | undefined {
  if (!job || (job.checks.length === 0 && !job.checking)) return undefined;
  if (job.status === 'passed' || job.status === 'refused') return jobMark(job);
  const worst = job.checks.length === 0 ? 'passed' : overall(job.checks);
  return worst !== 'passed' ? worst : isBusy(job) ? 'working' : 'stopped';
}

/** A stage that is followed by itself, outside a job: the row as it was before its next event, and after. */
export function hearStage(row: StageRow | undefined, event: Event, at: number): StageRow | undefined {
  if (event.type === 'stage-started') return { stage: event.stage, startedAt: at, subject: event.subject };
  if (event.type !== 'progress' || !row) return row;
  const { done, total, unit, detail } = event;
  return { ...row, progress: { done, total, unit, detail, at }, pace: paceWith(row.pace ?? [], { done, at }) };
}

/** Milliseconds: a rate is that of so long, told from looks so far apart. */
const [PACE_TIME, PACE_STEP] = [4000, 250];

function paceWith(pace: NonNullable<StageRow['pace']>, now: Pick<Progress, 'done' | 'at'>) {
  const last = pace.at(-1);
  if (last && now.done < last.done) return [now]; // it has begun again
  if (last && now.at - last.at < PACE_STEP) return pace;
  const kept = pace.findLastIndex(({ at }) => now.at - at >= PACE_TIME);
  return [...pace.slice(Math.max(0, kept)), now];
}

function updateStage(job: Job, stage: StageName, change: Partial<StageRow>): Job {
  const index = job.stages.findLastIndex((row) => row.stage === stage);
  return { ...job, stages: job.stages.map((row, i) => (i === index ? { ...row, ...change } : row)) };
}

function say(job: Job, line: LogLine): Job {
  return { ...job, log: [...job.log, { ...line, n: (job.log.at(-1)?.n ?? 0) + 1 }].slice(-MAX_LOG) };
}

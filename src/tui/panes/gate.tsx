/** What verification found: the verdict, then every check with its reason, those that did not pass first, then those still to come. */
import { Box } from 'ink';
import type { CheckVerdict } from '../../events.ts';
import { includes, type Profile } from '../../recipe/profile.ts';
import { formatDuration } from '../../text/quantity.ts';
import { figure, label } from '../../verify/report/figures.ts';
import type { CheckReport } from '../../verify/report.ts';
import { CHECK_ORDER, overall } from '../../verify/verdict.ts';
import { type CheckRow, gateMark, isBusy, type Job } from '../job.ts';
import { Marked, Words } from '../theme.tsx';
import { Pane, type PaneProps } from './pane.tsx';

export interface GatePaneProps extends Pick<PaneProps, 'box' | 'focused' | 'offset' | 'onLimit'> {
  readonly job: Job | undefined;
  /** How much of the gate the job goes through. */
  readonly profile?: Profile | undefined;
}

export function GatePane({ job, profile = 'standard', ...pane }: GatePaneProps) {
  return (
    <Pane title="Gate" {...pane} head={<Verdict job={job} />}>
      {job &&
        inOrder(job.checks).map((check) => <Check key={check.id} check={check} figures={figuresOf(job, check)} />)}
      {toCome(job, profile).map((id) => (
        <Marked key={id} mark={id === job?.checking?.id ? 'working' : 'note'} style="dim">
          {id}
        </Marked>
      ))}
    </Pane>
  );
}

const RANKS: Readonly<Record<CheckVerdict, number>> = { failed: 0, unknown: 1, passed: 2 };

/** What did not pass comes first; else the order is the gate's. */
function inOrder(checks: readonly CheckRow[]): readonly CheckRow[] {
  return checks.toSorted((a, b) => RANKS[a.verdict] - RANKS[b.verdict]);
}

function Check({ check, figures }: { readonly check: CheckRow; readonly figures: string }) {
  const { id, verdict, reason, seconds } = check;
  return (
    <Box flexDirection="column">
      <Marked mark={verdict} style="bold">{`${id} (${formatDuration(seconds * 1000)})`}</Marked>
      <Box flexDirection="column" paddingLeft={2}>
        <Words>{reason}</Words>
        {figures !== '' && <Words style="dim">{figures}</Words>}
      </Box>
    </Box>
  );
}

/** A reason says what matters; where a check did not pass, all that it measured is wanted. */
function figuresOf({ report }: Job, { id, verdict }: CheckRow): string {
  if (verdict === 'passed') return '';
  const figures: CheckReport['figures'] = report?.checks.find((check) => check.id === id)?.figures ?? {};
  return Object.entries(figures)
    .map(([name, value]) => `${label(name)} ${figure(name, value)}`)
    .join(' · ');
}

/** The check that works and those after it, while the gate does; those that do not apply are left out when their turn comes. */
function toCome(job: Job | undefined, profile: Profile): readonly string[] {
  const isWorking = isBusy(job) && job.stages.some(({ stage, finished }) => stage === 'verify' && !finished);
  if (!isWorking) return [];
  const ids = Object.keys(CHECK_ORDER).filter((id) => includes(profile, CHECK_ORDER[id] as Profile));
  const { checking, checks } = job;
  return ids.slice(checking ? ids.indexOf(checking.id) : ids.indexOf(checks.at(-1)?.id ?? '') + 1);
}

const VERDICTS: Readonly<Record<CheckVerdict, string>> = {
  passed: 'Passed',
  failed: 'Failed',
  unknown: 'Could not tell',
};

function Verdict({ job }: { readonly job: Job | undefined }) {
  const mark = gateMark(job);
  if (!job || mark === undefined) {
    const made = job?.folder;
    if (isBusy(job)) return <Words>The checks follow when the model has run.</Words>;
    return <Words>{made === undefined ? 'Nothing has been verified yet.' : `${made} was never verified.`}</Words>;
  }
  return (
    <>
      <Marked mark={mark} style="bold">
        {`${wordOf(job)} · ${tally(job)}`}
      </Marked>
      {job.folder !== undefined && <Words>{job.folder}</Words>}
    </>
  );
}

function wordOf(job: Job): string {
  if (job.status === 'passed' || job.status === 'refused') return VERDICTS[overall(job.checks)];
  return isBusy(job) ? `Checking ${job.checking?.id ?? ''}`.trimEnd() : 'Not finished';
}

/** `12 of 14 checks passed, 1 failed, 1 unknown` */
function tally({ checks, checking }: Job): string {
  const of = (wanted: CheckVerdict) => checks.filter(({ verdict }) => verdict === wanted).length;
  return [
    `${of('passed')} of ${checking?.total ?? checks.length} checks passed`,
    ...(of('failed') > 0 ? [`${of('failed')} failed`] : []),
    ...(of('unknown') > 0 ? [`${of('unknown')} unknown`] : []),
  ].join(', ');
}

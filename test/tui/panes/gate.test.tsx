import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/events.ts';
import { finishJob, hear, type Job, startJob } from '../../../src/tui/job.ts';
import { GatePane } from '../../../src/tui/panes/gate.tsx';
import { CHECKS } from '../../../src/verify/gate.ts';
import { checkEvents, madePackage } from '../reports.ts';
import { linesOf } from './lines.ts';

const heard = (...events: readonly Event[]): Job =>
  events.reduce((job, event, i) => hear(job, event, i + 1), startJob('tiny.yaml', 0));
const verifying: Event = { type: 'stage-started', stage: 'verify', subject: 'tiny' };

const shown = (job: Job | undefined, width = 60, height = 40) =>
  linesOf(<GatePane job={job} box={{ width, height }} focused={false} />, width)
    .slice(1, -1)
    .map((line) => line.slice(2, -1).trimEnd());

describe('GatePane', () => {
  it('has the verdict on top and what did not pass before what did', () => {
    const verdicts = { integrity: 'passed', frames: 'unknown', timing: 'failed' } as const;
    const made = madePackage('/out/tiny.failed', verdicts, 'failed');
    const checks = made.report.checks.map((check) => ({ ...check, figures: { step_ms: 87.25, runs: 2 } }));
    const job = finishJob(
      heard(verifying, ...checkEvents(verdicts)),
      { ...made, report: { ...made.report, checks } },
      9,
    );
    expect(shown(job).slice(0, 10)).toEqual([
      '✗ Failed · 1 of 3 checks passed, 1 failed, 1 unknown',
      '/out/tiny.failed',
      '✗ timing (250 ms)',
      '  timing is failed.',
      '  step 87.3 ms · runs 2',
      '? frames (250 ms)',
      '  frames is unknown.',
      '  step 87.3 ms · runs 2',
      '✓ integrity (250 ms)',
      '  integrity is passed.',
    ]);
  });
  it('does not call failed what could not be told', () => {
    const job = finishJob(
      heard(verifying, ...checkEvents({ frames: 'unknown' })),
      madePackage('/out/tiny.failed', { frames: 'unknown' }, 'unknown'),
      9,
    );
    expect(shown(job)[0]).toBe('? Could not tell · 0 of 1 checks passed, 1 unknown');
    expect(shown(job).join('\n')).not.toContain('✗');
  });
  it('lists what is still to come while it works, after what was heard', () => {
    const ids = CHECKS.filter(({ from }) => from !== 'full').map(({ id }) => id);
    const [first = '', second = ''] = ids;
    const job = heard(verifying, ...checkEvents({ [first]: 'passed', [second]: 'passed' }));
    const pending = shown(job).filter((line) => line.startsWith('·'));
    expect(shown(job)[0]).toBe('… Checking · 2 of 2 checks passed');
    expect(pending).toEqual(ids.slice(2).map((id) => `· ${id}`));
    expect(shown({ ...job, status: 'stopped' }).some((line) => line.startsWith('·'))).toBe(false);
    expect(shown({ ...job, status: 'stopped' })[0]).toBe('■ Not finished · 2 of 2 checks passed');
  });
  it('says which check works and how many there will be', () => {
    const checks = (done: number, detail: string): Event => ({
      type: 'progress',
      stage: 'verify',
      done,
      total: 12,
      unit: 'checks',
      detail,
    });
    const beginning = heard(verifying, checks(0, 'integrity'));
    expect(shown(beginning).slice(0, 3)).toEqual([
      '… Checking integrity · 0 of 12 checks passed',
      '… integrity',
      '· accounting',
    ]);
    const job = heard(verifying, checks(0, 'integrity'), ...checkEvents({ integrity: 'passed' }), checks(1, 'effect'));
    expect(shown(job)[0]).toBe('… Checking effect · 1 of 12 checks passed');
    expect(shown(job).slice(3, 5)).toEqual(['… effect', '· frames']);
    // what it tells on the way is no check
    const inside = hear(job, { type: 'progress', stage: 'verify', done: 1, total: 3, unit: 'clips', detail: 'a' }, 9);
    expect(shown(inside)[0]).toBe('… Checking effect · 1 of 12 checks passed');
  });
  it('says so before there is anything', () => {
    expect(shown(undefined)[0]).toBe('Nothing has been verified yet.');
    expect(shown(heard())[0]).toBe('The checks follow when the model has run.');
  });
  it('breaks long reasons instead of cutting them', () => {
    const reason = 'a reason of many words '.repeat(9).trim();
    const job = heard({ type: 'check', stage: 'verify', id: 'frames', verdict: 'failed', reason, seconds: 1 });
    expect(shown(job, 44).join(' ').replace(/\s+/g, ' ')).toContain(reason);
  });
});

import { describe, expect, it } from 'vitest';
import type { CheckVerdict, Event } from '../../src/events.ts';
import { currentStage, finishJob, gateMark, hear, isBusy, type Job, jobMark, startJob } from '../../src/tui/job.ts';
import { checkEvents, madePackage } from './reports.ts';

const heard = (...events: readonly Event[]): Job =>
  events.reduce((job, event, i) => hear(job, event, i + 1), startJob('tiny.yaml', 0));

const started = (stage: 'bake' | 'verify' | 'run'): Event => ({ type: 'stage-started', stage, subject: 'tiny' });
const finished = (stage: 'bake' | 'run'): Event => ({
  type: 'stage-finished',
  stage,
  milliseconds: 5,
  summary: `${stage} is done`,
});

describe('a job', () => {
  it('works at the innermost stage that has not ended', () => {
    const job = heard(started('bake'), finished('bake'), started('verify'), started('run'));
    expect(currentStage(job)?.stage).toBe('run');
    expect(currentStage(hear(job, finished('run'), 9))?.stage).toBe('verify');
  });
  it('closes the last of two stages of one name', () => {
    const job = heard(started('run'), finished('run'), started('run'));
    expect(job.stages.map((row) => row.finished !== undefined)).toEqual([true, false]);
  });
});

const made = (verdicts: Readonly<Record<string, CheckVerdict>>, verdict: CheckVerdict) =>
  finishJob(heard(started('verify'), ...checkEvents(verdicts)), madePackage('/out/tiny', verdicts, verdict), 99);

describe('finishJob', () => {
  it('says where the package, its report and its publication are', () => {
    const job = finishJob(
      startJob('tiny.yaml', 0),
      { ...madePackage('/out/tiny', {}, 'passed'), published: '/pub' },
      9,
    );
    expect(job).toMatchObject({ status: 'passed', at: 9, folder: '/out/tiny', report: { verdict: 'passed' } });
    expect(job.log.map(({ mark, text }) => `${mark} ${text}`)).toEqual([
      'passed Passed: /out/tiny',
      'note Report: /out/tiny/verification/report.html',
      'passed Published to /pub',
    ]);
  });
  it('says why a package must not be used, which is last', () => {
    const job = made({ integrity: 'passed', frames: 'failed', timing: 'unknown' }, 'failed');
    expect(isBusy(job)).toBe(false);
    expect(job.status).toBe('refused');
    expect(job.log.map(({ mark, text }) => `${mark} ${text}`)).toEqual([
      'failed frames: frames is failed.',
      'unknown timing: timing is unknown.',
      'note Report: /out/tiny/verification/report.html',
      'failed Has not passed and must not be used. It is kept in /out/tiny',
    ]);
  });
});

describe('the marks of a job and of its gate', () => {
  it.each([
    ['passed', 'passed'],
    ['failed', 'failed'],
    ['unknown', 'unknown'],
  ] as const)('are, when the report says %s, %s', (verdict, mark) => {
    const job = made({ frames: verdict }, verdict);
    expect([jobMark(job), gateMark(job)]).toEqual([mark, mark]);
  });
  it('are none of a gate before its first check', () => {
    expect(gateMark(undefined)).toBeUndefined();
    expect(gateMark(heard(started('verify')))).toBeUndefined();
  });
  it('are, while checks come in, those of the worst', () => {
    expect(gateMark(heard(...checkEvents({ a: 'passed' })))).toBe('working');
    expect(gateMark(heard(...checkEvents({ a: 'passed', b: 'unknown' })))).toBe('unknown');
    expect(gateMark(heard(...checkEvents({ a: 'unknown', b: 'failed', c: 'passed' })))).toBe('failed');
  });
  it('are those of something that was stopped, when it was', () => {
    const job: Job = { ...heard(...checkEvents({ a: 'passed' })), status: 'stopped' };
    expect([jobMark(job), gateMark(job)]).toEqual(['stopped', 'stopped']);
  });
});

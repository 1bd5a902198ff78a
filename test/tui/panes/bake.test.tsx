import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/events.ts';
import { endJob, finishJob, hear, type Job, startJob } from '../../../src/tui/job.ts';
import { BakePane } from '../../../src/tui/panes/bake.tsx';
import { checkEvents, madePackage } from '../reports.ts';
import { linesOf } from './lines.ts';

const heard = (...events: readonly Event[]): Job =>
  events.reduce((job, event, i) => hear(job, event, 1000 * (i + 1)), startJob('recipes/tiny.yaml', 0));
const started = (stage: 'bake' | 'verify'): Event => ({ type: 'stage-started', stage, subject: 'tiny' });
const progress = (done: number): Event => ({
  type: 'progress',
  stage: 'bake',
  done,
  total: 2_650_000_000,
  unit: 'bytes',
  detail: 'down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_k.weight',
});

const shown = (job: Job | undefined, width = 60, height = 18) =>
  linesOf(<BakePane job={job} box={{ width, height }} focused={false} />, width)
    .slice(1, -1)
    .map((line) => line.slice(2, -1).trimEnd());

describe('BakePane', () => {
  it('cuts none of the numbers in 60 columns', () => {
    const job = heard(started('bake'), progress(100_000_000), progress(1_234_000_000), progress(1_999_000_000));
    expect(shown(job).slice(0, 4)).toEqual([
      '… Working · recipes/tiny.yaml · 4.00 s',
      expect.stringMatching(/^bake {2}█{14}░{4} {3}75% {2}down_blocks\.2/),
      '2.00 GB of 2.65 GB  950 MB/s  686 ms left',
      '… bake    tiny (3.00 s)',
    ]);
  });
  it('names folders as they will be called', () => {
    const folder = `${process.cwd()}/out/tiny.15678.partial`;
    const job = heard({ type: 'stage-started', stage: 'run', subject: `${folder} on cpu` });
    expect(shown(job)[2]).toBe('… run     out/tiny on cpu (0 ms)');
  });
  it('says how many checks are done where a stage tells nothing else', () => {
    expect(shown(heard(started('verify')))[1]).toBe('verify  …');
    expect(shown(heard(started('verify'), ...checkEvents({ a: 'passed', b: 'passed' })))[1]).toBe(
      'verify  2 checks done',
    );
  });
  it.each([
    ['failed', 'Put right what the log says, then press b to try again.'],
    ['stopped', 'Press b to begin again.'],
  ] as const)('says what to do about a job that has %s', (status, next) => {
    const job = endJob(heard(started('bake')), status, 5000, [{ mark: 'failed', text: 'The disk is full.' }]);
    expect(shown(job).slice(1, 4)).toEqual([next, '■ bake    tiny', '✗ The disk is full.']);
  });
  it('says where things are when it has ended', () => {
    const lines = shown(finishJob(heard(), madePackage('/out/tiny', {}, 'passed'), 3000));
    expect(lines).toContain('✓ Passed: /out/tiny');
    expect(lines).toContain('· Report: /out/tiny/verification/report.html');
  });
  it('does not call failed what could not be proved', () => {
    const job = finishJob(
      heard(...checkEvents({ frames: 'unknown' })),
      madePackage('/out/tiny.failed', { frames: 'unknown' }, 'unknown'),
      3000,
    );
    expect(shown(job)[0]).toBe('? Could not be proved · recipes/tiny.yaml · 3.00 s');
    expect(shown(job).join('\n')).not.toContain('✗');
  });
});

import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/events.ts';
import { finishJob, hear, type Job, startJob } from '../../../src/tui/job.ts';
import { RunPane, type RunPaneProps } from '../../../src/tui/panes/run.tsx';
import { timingRows } from '../../../src/tui/timing.ts';
import type { CheckReport, Report } from '../../../src/verify/report.ts';
import { madePackage } from '../reports.ts';
import { linesOf } from './lines.ts';

const WHITE = { width: 64, height: 64, count: 2, data: new Uint8Array(2 * 64 * 64 * 3).fill(255) };
const { report } = madePackage('/out/tiny', {}, 'passed');
const TIMED: Report = {
  ...report,
  timing: { load_ms: 1390, denoise_ms: 616, step_ms: [261, 88, 88, 147], decode_ms: 259, peak_bytes: 242_000_000 },
};
const timingCheck = (figures: CheckReport['figures']): Report => ({
  ...TIMED,
  checks: [{ id: 'timing', proves: '', verdict: 'passed', reason: '', figures, seconds: 1 }],
});

const job = (of: Report): Job => finishJob(startJob('tiny.yaml', 0), { folder: '/out/tiny', report: of }, 9);
const shown = (props: Partial<RunPaneProps>, width = 80, height = 22) =>
  linesOf(<RunPane clip={undefined} preview={undefined} {...props} box={{ width, height }} focused={false} />, width)
    .slice(1, -1)
    .map((line) => line.slice(2, -1).trimEnd());
const ready = { status: 'ready', frames: WHITE, at: 1, playing: true, skipped: 0 } as const;

describe('timingRows', () => {
  it('are those of the report, with the budgets that its check went by', () => {
    const rows = timingRows(
      timingCheck({ denoise_ms: 500, budget_denoise_ms: 60_000, step_ms: 90, budget_step_ms: 60, runs: 2 }),
    );
    expect(rows).toEqual([
      { label: 'device', value: 'cpu' },
      { label: 'load', value: '1.39 s' },
      { label: 'denoise', value: '500 ms', budget: { mark: 'passed', share: '0.83%', of: '1 min 0 s' } },
      { label: 'steps', value: '261 88 88 147 ms' },
      { label: 'a step', value: '90 ms', budget: { mark: 'failed', share: '1.5×', of: '60 ms' } },
      { label: 'decode', value: '259 ms' },
      { label: 'memory', value: '242 MB' },
      { label: 'runs', value: '2, the better counts' },
    ]);
  });
  it('are those that were measured where no check judged them', () => {
    const rows = timingRows({ ...TIMED, timing: { ...TIMED.timing, step_ms: [9, 1, 2, 3, 4, 5] } as Report['timing'] });
    expect(rows?.find(({ label }) => label === 'denoise')).toEqual({ label: 'denoise', value: '616 ms' });
    expect(rows?.find(({ label }) => label === 'steps')?.value).toBe('6, 1–9 ms each');
  });
  it('are none of a run that did not end', () => {
    expect(timingRows(report)).toBeUndefined();
  });
});

describe('RunPane', () => {
  it('shows the clip with the timing beside it where that leaves it larger', () => {
    const lines = shown({ clip: ready, job: job(timingCheck({ budget_denoise_ms: 600, denoise_ms: 616 })) });
    expect(lines[0]).toMatch(/^ *█{38} {2}device {3}cpu$/);
    expect(lines[2]).toMatch(/denoise {2}616 ms {3}✗ 1× of 600 ms$/);
    expect(lines[18]).toMatch(/^ *█{38}$/);
    expect(lines[19]).toContain('▶ frame 2 of 2, 64×64');
  });
  it('shows it below a clip that has the width', () => {
    const lines = shown({ clip: ready, job: job(TIMED) }, 54, 40);
    expect(lines[0]).toMatch(/^ *█+$/);
    expect(lines.filter((line) => line !== '').at(-1)).toBe('memory   242 MB');
  });
  it('counts the frames that were left out', () => {
    expect(shown({ clip: { ...ready, skipped: 5 } }).join('\n')).toContain('▶ frame 2 of 2, 5 skipped, 64×64');
  });
  it('shows each step while it samples, and how long it has', () => {
    const sampling = [
      { type: 'stage-started', stage: 'run', subject: 'tiny on cpu' } as const,
      ...[400, 90, 110].map(
        (milliseconds, i): Event => ({
          type: 'progress',
          stage: 'run',
          done: i + 1,
          total: 4,
          unit: 'steps',
          milliseconds,
        }),
      ),
    ].reduce((before, event, i) => hear(before, event, 1000 * (i + 1)), startJob('tiny.yaml', 0));
    const preview = { step: 3, total: 4, width: 64, height: 64, pixels: new Uint8Array(64 * 64 * 3).fill(255) };
    const text = shown({ preview, job: sampling, budgets: { step_ms: 50, denoise_ms: 1000 } }).join('\n');
    for (const words of [
      '… step 3 of 4, 64×64',
      'run      3.00 s',
      'done     3 of 4 steps',
      'denoise  600 ms   ✓ 60% of 1.00 s',
      'steps    400 90 110 ms',
      'a step   100 ms   ✗ 2× of 50 ms', // the median of those after the first, as the gate will have it
    ])
      expect(text).toContain(words);
  });
  it('tells the timing also where there are no frames', () => {
    const text = shown({ clip: { status: 'absent', reason: 'The file is damaged.' }, job: job(TIMED) }).join('\n');
    for (const words of ['There are no frames to show. The file is damaged.', 'denoise  616 ms'])
      expect(text).toContain(words);
  });
  it('enlarges a small clip where there is room', () => {
    const small = { width: 16, height: 16, count: 1, data: new Uint8Array(16 * 16 * 3).fill(255) };
    expect(shown({ clip: { ...ready, at: 0, frames: small } })[0]).toMatch(/^ *█{32}$/);
  });
});

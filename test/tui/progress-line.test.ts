import { describe, expect, it } from 'vitest';
import { hear, type Job, type StageRow, startJob } from '../../src/tui/job.ts';
import { progressLines } from '../../src/tui/progress-line.ts';

const MB = 1e6;

/** A bake that was so far at such times. */
function baking(told: readonly (readonly [at: number, done: number])[], total = 40 * MB, detail?: string): StageRow {
  const begun = hear(startJob('tiny.yaml', 0), { type: 'stage-started', stage: 'bake', subject: 'tiny' }, 0);
  const job = told.reduce<Job>(
    (before, [at, done]) =>
      hear(
        before,
        { type: 'progress', stage: 'bake', done, total, unit: 'bytes', ...(detail !== undefined && { detail }) },
        at,
      ),
    begun,
  );
  return job.stages[0] as StageRow;
}

const FROM_1_TO_3: [number, number][] = [
  [1000, 0],
  [3000, 10 * MB],
];

describe('progressLines', () => {
  it('have a bar, a share, a rate and the time left', () => {
    // 10 MB in 2 s, 30 MB to go: 6 s
    expect(progressLines(baking(FROM_1_TO_3, 40 * MB, 'conv_in.weight'), 3000, 108)).toEqual([
      `bake  ${'█'.repeat(9)}${'░'.repeat(27)}   25%  10.0 MB of 40.0 MB  5.00 MB/s  6.00 s left  conv_in.weight`,
    ]);
  });
  it('are two where one would be cut', () => {
    const lines = progressLines(baking(FROM_1_TO_3, 40 * MB, 'conv_in.weight'), 3000, 36);
    expect(lines).toEqual(['bake  ███░░░░░░░░░   25%  conv_in.weight', '10.0 MB of 40.0 MB  5.00 MB/s  6.00 s left']);
    const large = baking(
      [
        [0, 0],
        [90_000, 999 * MB],
        [94_000, 1234 * MB],
      ],
      2650 * MB,
    );
    for (const line of progressLines(large, 94_000, 56)) expect(line.length).toBeLessThanOrEqual(56);
  });
  it('tell the rate of the last seconds and not that since the start', () => {
    // a minute at 1 MB/s, then five seconds at 10 MB/s
    const slow = Array.from({ length: 61 }, (_, s): [number, number] => [s * 1000, s * MB]);
    const fast = Array.from({ length: 50 }, (_, i): [number, number] => [60_100 + i * 100, (61 + i) * MB]);
    const [line = ''] = progressLines(baking([...slow, ...fast], 210 * MB), 65_000, 120);
    expect(line).toContain('10.0 MB/s');
    expect(line).toContain('10.0 s left');
  });
  it('keep no more of the past than they need', () => {
    const told = Array.from({ length: 5000 }, (_, i): [number, number] => [i * 10, i * 1000]);
    expect(baking(told).pace?.length).toBeLessThanOrEqual(20);
  });
  it('begin anew when the work does', () => {
    const again = baking([...FROM_1_TO_3, [3100, MB], [4100, 3 * MB]]);
    expect(progressLines(again, 4100, 120)[0]).toContain('2.00 MB/s');
  });
  it('count the time left down between two events, never below nothing', () => {
    expect(progressLines(baking(FROM_1_TO_3), 5000, 120)[0]).toContain('4.00 s left');
    expect(progressLines(baking(FROM_1_TO_3), 99_000, 120)[0]).toContain('0 ms left');
  });
  it('promise nothing before they know, and nothing at the end', () => {
    expect(progressLines(baking([[1000, 10 * MB]]), 1400, 36)).toEqual([
      'bake  ███░░░░░░░░░   25%',
      '10.0 MB of 40.0 MB',
    ]);
    expect(
      progressLines(
        baking([
          [1000, 0],
          [3000, 40 * MB],
        ]),
        3000,
        36,
      ),
    ).toEqual(['bake  ████████████  100%', '40.0 MB of 40.0 MB  20.0 MB/s']);
  });
  it('count steps as steps, without a rate', () => {
    const steps = {
      ...baking([]),
      progress: { done: 3, total: 4, unit: 'steps', at: 4000 },
      pace: [{ done: 1, at: 2000 }],
    } as const;
    expect(progressLines(steps, 4000, 12)).toEqual(['bake  ███░   75%', '3 of 4 steps  1.00 s left']);
  });
  it('stand at nothing of nothing, and say nothing of what has not begun', () => {
    const nothing = { ...baking([]), progress: { done: 0, total: 0, unit: 'checks', at: 0 } } as const;
    expect(progressLines(nothing, 3000, 12)).toEqual(['bake  ░░░░    0%', '0 of 0 checks']);
    expect(progressLines(baking([]), 3000, 12)).toEqual([]);
  });
});

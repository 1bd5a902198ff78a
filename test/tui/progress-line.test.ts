import { describe, expect, it } from 'vitest';
import type { StageRow } from '../../src/tui/job.ts';
import { progressLine } from '../../src/tui/progress-line.ts';

const baking = (progress: Partial<StageRow['progress']> = {}): StageRow => ({
  stage: 'bake',
  startedAt: 1000,
  subject: 'tiny',
  progress: { done: 10_000_000, total: 40_000_000, unit: 'bytes', at: 3000, ...progress },
});

describe('progressLine', () => {
  it('has a bar, a share, a rate and the time left', () => {
    // 10 MB in 2 s, 30 MB to go: 6 s
    expect(progressLine(baking({ detail: 'conv_in.weight' }), 3000, 36)).toBe(
      '███░░░░░░░░░   25%  10.0 MB of 40.0 MB  5.00 MB/s  6.00 s left  conv_in.weight',
    );
  });
  it('counts the time left down between two events, never below nothing', () => {
    expect(progressLine(baking(), 5000, 36)).toContain('4.00 s left');
    expect(progressLine(baking(), 99_000, 36)).toContain('0 ms left');
  });
  it('promises nothing before it knows, and nothing at the end', () => {
    expect(progressLine(baking({ at: 1400 }), 1400, 36)).toBe('███░░░░░░░░░   25%  10.0 MB of 40.0 MB');
    expect(progressLine(baking({ done: 40_000_000 }), 3000, 36)).toBe(
      '████████████  100%  40.0 MB of 40.0 MB  20.0 MB/s',
    );
  });
  it('counts steps as steps, without a rate', () => {
    expect(progressLine(baking({ done: 3, total: 4, unit: 'steps', at: 4000 }), 4000, 12)).toBe(
      '███░   75%  3 of 4 steps  1.00 s left',
    );
  });
  it('stands at nothing of nothing', () => {
    expect(progressLine(baking({ done: 0, total: 0, unit: 'checks' }), 3000, 12)).toBe('░░░░    0%  0 of 0 checks');
  });
});

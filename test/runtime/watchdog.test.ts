import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { patienceOf } from '../../src/runtime/watchdog.ts';

const [SECOND, MINUTE] = [1000, 60_000];

describe('patience', () => {
  const { load, run } = patienceOf({});

  it('is minutes for what has never been done, more for more work', () => {
    expect(load).toBe(10 * MINUTE);
    expect(run({ flops: 1e9 })).toBeCloseTo(10 * MINUTE + 100, 6);
    expect(run({ flops: 1.77e13 })).toBeCloseTo(10 * MINUTE + 1770 * SECOND, 3); // SD1.5, 16 frames of 512²
    expect(run({})).toBeGreaterThan(run({ flops: 1.77e13 })); // nobody knows
  });

  it('is twenty times what the same took before, a minute at least', () => {
    expect(run({ flops: 1e9, slowest: 5 })).toBe(MINUTE);
    expect(run({ flops: 1e9, slowest: 30 * SECOND })).toBe(10 * MINUTE);
  });

  it('never is more than a timer can wait for', () => {
    expect(run({ flops: 1e30 })).toBe(2 ** 31 - 1);
  });

  it('is what LCM_MERGE_PATIENCE says, in seconds', () => {
    const patience = patienceOf({ LCM_MERGE_PATIENCE: '2.5' });
    expect([patience.load, patience.run({}), patience.run({ slowest: 1e6 })]).toEqual([2500, 2500, 2500]);
    for (const wish of ['soon', '0', '-1', 'NaN']) {
      expect(() => patienceOf({ LCM_MERGE_PATIENCE: wish })).toThrow(UsageError);
      expect(() => patienceOf({ LCM_MERGE_PATIENCE: wish })).toThrow(`a number of seconds; "${wish}" is none`);
    }
  });
});

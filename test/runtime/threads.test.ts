import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { threadsOf } from '../../src/runtime/threads.ts';

const of = (wish: string | undefined, allowed: number, present: number) =>
  threadsOf({ LCM_MERGE_THREADS: wish }, { allowed, present });

describe('threads', () => {
  it('are left to onnxruntime where all cores may be used', () => {
    expect(of(undefined, 16, 16)).toBeUndefined();
    expect(of('', 16, 16)).toBeUndefined();
  });

  it('are as many as a quota or an affinity allows', () => expect(of(undefined, 3, 16)).toBe(3));

  it('are as many as is asked for', () => {
    expect(of('1', 16, 16)).toBe(1);
    expect(of('24', 3, 16)).toBe(24);
  });

  it.each(['0', '-1', '2.5', 'two', '1025', 'NaN'])('%s is no number of threads', (wish) => {
    expect(() => of(wish, 2, 2)).toThrow(UsageError);
  });
});

import { describe, expect, it } from 'vitest';
import { createProgress } from '../../src/cli/progress.ts';
import type { Event } from '../../src/events.ts';

/** Shows `events`, each at its millisecond, and gives what was written. */
function show(
  events: readonly (readonly [at: number, event: Event])[],
  options: { live: boolean; quiet?: boolean; columns?: number },
): string[] {
  let time = 0;
  const written: string[] = [];
  const progress = createProgress({
    output: { write: (text) => written.push(text), columns: options.columns ?? 200 },
    paint: (_, text) => text,
    live: options.live,
    quiet: options.quiet ?? false,
    now: () => time,
  });
  for (const [at, event] of events) {
    time = at;
    progress.show(event);
  }
  progress.end();
  return written;
}

const started: Event = { type: 'stage-started', stage: 'bake', subject: 'tiny' };
const advance = (done: number, total = 100e6): Event => ({
  type: 'progress',
  stage: 'bake',
  done,
  total,
  unit: 'bytes',
  detail: 'conv_in.weight',
});
const warning: Event = { type: 'warning', stage: 'plan', message: 'no lcm' };
const check = (verdict: 'passed' | 'failed'): Event => ({
  type: 'check',
  stage: 'verify',
  id: 'weights',
  verdict,
  reason: 'All is finite.',
  seconds: 1,
});
const finished: Event = { type: 'stage-finished', stage: 'bake', milliseconds: 12_345, summary: '3 tensors' };
const latents: Event = { type: 'latents', stage: 'run', step: 0, shape: [1], data: new Float32Array(1) };

describe('createProgress', () => {
  it('writes plain lines where nobody watches: stages, checks and warnings', () => {
    expect(
      show(
        [
          [0, started],
          [1, advance(1)],
          [2, latents],
          [3, warning],
          [4, check('failed')],
          [5, finished],
        ],
        { live: false },
      ),
    ).toEqual([
      'bake: tiny\n',
      'warning: no lcm\n',
      'check failed: weights: All is finite.\n',
      'bake: done: 3 tensors (12.3 s)\n',
    ]);
  });

  it('writes warnings only when it is to be quiet', () => {
    for (const live of [true, false]) {
      expect(
        show(
          [
            [0, started],
            [1, advance(1)],
            [3, warning],
            [4, check('passed')],
            [5, finished],
          ],
          { live, quiet: true },
        ),
      ).toEqual(['warning: no lcm\n']);
    }
  });

  it('draws one line over and over on a terminal, and wipes it for lasting ones', () => {
    const written = show(
      [
        [0, started],
        [200, advance(50e6)],
        [300, check('passed')],
        [400, finished],
      ],
      { live: true },
    );
    expect(written).toEqual([
      '\r\u001b[Kbake  tiny',
      '\r\u001b[Kbake  ██████████░░░░░░░░░░   50%  50.0 MB of 100 MB  conv_in.weight',
      '\r\u001b[K',
      '✓ weights: All is finite.\n',
      '✓ bake 3 tensors (12.3 s)\n',
    ]);
  });

  it('draws at most ten times a second, and the end in any case', () => {
    const events = Array.from({ length: 1001 }, (_, ms): readonly [number, Event] => [ms, advance(ms, 1000)]);
    const drawn = show(events, { live: true }).filter((text) => text.includes('%'));
    expect(drawn.length).toBeLessThanOrEqual(12);
    expect(drawn.at(-1)).toContain('100%');
  });

  it('tells rate and time left from what was done since the first report', () => {
    // 10 s of loading before it say nothing of the pace: 20 MB in 2 s are 10 MB/s
    const [, , last] = show(
      [
        [0, started],
        [10_000, advance(20e6)],
        [12_000, advance(40e6)],
      ],
      { live: true },
    );
    expect(last).toContain('40%  40.0 MB of 100 MB  10.0 MB/s  6.00 s left');
  });

  it('never exceeds the width of the terminal', () => {
    const written = show(
      [
        [0, started],
        [200, advance(50e6)],
      ],
      { live: true, columns: 40 },
    );
    expect(written[1]?.replace('\r\u001b[K', '')).toHaveLength(39);
  });

  it('lets no control character of a file through', () => {
    const evil = 'a\u001b]0;owned\u0007\u009b2J\rb\u202e';
    const events: Event[] = [
      { type: 'stage-started', stage: 'run', subject: evil },
      { type: 'progress', stage: 'run', done: 1, total: 2, unit: 'steps', detail: evil },
      { type: 'warning', stage: 'run', message: evil },
      { type: 'check', stage: 'verify', id: 'x', verdict: 'unknown', reason: evil, seconds: 0 },
      { type: 'stage-finished', stage: 'run', milliseconds: 1, summary: evil },
    ];
    for (const live of [true, false]) {
      const text = show(
        events.map((event, i) => [i * 1000, event]),
        { live },
      )
        .join('')
        .replaceAll('\r\u001b[K', '');
      expect([...text].filter((c) => c !== '\n' && /[\p{Cc}\p{Cf}]/u.test(c))).toEqual([]);
      expect(text).toContain('a\\u001b]0;owned');
    }
  });
});

import { Terminal } from '@xterm/headless';
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
const finding: Event = {
  ...{ type: 'finding', stage: 'verify', id: 'signature', verdict: 'not checked' },
  reason: 'It is not signed.',
};
const finished: Event = { type: 'stage-finished', stage: 'bake', milliseconds: 12_345, summary: '3 tensors' };
const latents: Event = { type: 'latents', stage: 'run', step: 0, shape: [1], data: new Float32Array(1) };

const tile: Event = {
  type: 'tile',
  stage: 'compare',
  index: 1,
  total: 3,
  label: 'a/ink\u001b[31m',
  frames: { width: 1, height: 1, count: 1, data: new Uint8Array(3) },
  milliseconds: 1234,
  note: 'distance 12.3 · motion 4.1',
};

describe('createProgress', () => {
  it('tells no time left of checks, and no rate of other units than those that advance', () => {
    const verify = (done: number, total: number, unit: 'checks' | 'clips'): Event => ({
      type: 'progress',
      stage: 'verify',
      done,
      total,
      unit,
    });
    const lines = show(
      [
        [0, verify(0, 12, 'checks')],
        [5000, verify(9, 12, 'checks')],
        [5200, verify(0, 3, 'clips')],
        [6200, verify(1, 3, 'clips')],
      ],
      { live: true },
    );
    expect(lines.join('')).toContain('9 of 12 checks');
    expect(lines.join('').match(/\S+ \S+ left/g)).toEqual(['2.00 s left']);
  });
  it.each([true, false])('has a line for a clip of several, and no picture (live: %s)', (live) => {
    expect(show([[0, tile]], { live })).toEqual([
      'compare: clip 2 of 3: a/ink\\u001b[31m, 1.23 s, distance 12.3 · motion 4.1\n',
    ]);
  });

  it('writes plain lines where nobody watches: stages, checks and warnings', () => {
    expect(
      show(
        [
          [0, started],
          [1, advance(1)],
          [2, latents],
          [3, warning],
          [4, check('failed')],
          [4, finding],
          [5, finished],
        ],
        { live: false },
      ),
    ).toEqual([
      'bake: tiny\n',
      'warning: no lcm\n',
      'check failed: weights: All is finite.\n',
      'finding: signature not checked: It is not signed.\n',
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
        [350, finding],
        [400, finished],
      ],
      { live: true },
    );
    expect(written).toEqual([
      '\r\u001b[Kbake  tiny',
      '\r\u001b[Kbake  ██████████░░░░░░░░░░   50%  50.0 MB of 100 MB  conv_in.weight',
      '\r\u001b[K',
      '✓ weights: All is finite.\n',
      '– signature not checked: It is not signed.\n',
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
      { type: 'finding', stage: 'verify', id: 'hashes', verdict: 'not checked', reason: evil },
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

describe('previews', () => {
  /** 4×4 pixels of one colour. */
  const preview = (step: number, colour: readonly [number, number, number]): Event => ({
    type: 'preview',
    stage: 'run',
    step,
    total: 2,
    width: 4,
    height: 4,
    pixels: Uint8Array.from({ length: 48 }, (_, i) => colour[i % 3] as number),
  });
  const step = (done: number): Event => ({ type: 'progress', stage: 'run', done, total: 2, unit: 'steps' });
  const run: Event = { type: 'stage-started', stage: 'run', subject: 'tiny' };
  const ended: Event = { type: 'stage-finished', stage: 'run', milliseconds: 5, summary: '16 frames' };

  /** What a terminal shows after `events`: its lines, and the colour of the first pixel. */
  const watch = async (events: readonly Event[], size = { columns: 60, rows: 10 }) => {
    const terminal = new Terminal({ cols: size.columns, rows: size.rows, convertEol: true, allowProposedApi: true });
    let time = 0;
    let written = Promise.resolve();
    const write = (text: string) => {
      written = new Promise((resolve) => terminal.write(text, resolve));
    };
    const progress = createProgress({
      output: { write, ...size },
      ...{ paint: (_, text) => text, live: true, depth: 24, quiet: false, now: () => time },
    });
    for (const event of events) {
      time += 1000;
      progress.show(event);
    }
    await written;
    const { active } = terminal.buffer;
    const lines = Array.from({ length: active.length }, (_, y) => active.getLine(y)?.translateToString(true) ?? '');
    const at = lines.findIndex((line) => line.startsWith('▀'));
    return { lines: lines.filter((line) => line !== ''), colour: active.getLine(at)?.getCell(0)?.getFgColor() };
  };

  it('are drawn over each other above the moving line, and the last one stays', async () => {
    const picture = Array<string>(8).fill('▀'.repeat(16)); // 4×4 pixels, enlarged
    const first = await watch([run, step(1), preview(1, [255, 0, 0])]);
    expect(first.lines).toEqual([...picture, expect.stringContaining('1 of 2 steps')]);
    expect(first.colour).toBe(0xff0000);
    const second = await watch([run, step(1), preview(1, [255, 0, 0]), step(2), preview(2, [0, 0, 255])]);
    expect(second.lines).toEqual([...picture, expect.stringContaining('2 of 2 steps')]);
    expect(second.colour).toBe(0x0000ff);
    const last = await watch([run, preview(1, [255, 0, 0]), warning, step(2), preview(2, [0, 0, 255]), ended]);
    expect(last.lines).toEqual(['warning: no lcm', ...picture, '✓ run 16 frames (5 ms)']);
    expect(last.colour).toBe(0x0000ff);
  });

  it('are never higher than the terminal', async () => {
    const huge: Event = {
      ...preview(1, [1, 2, 3]),
      width: 64,
      height: 64,
      pixels: new Uint8Array(64 * 64 * 3),
    } as Event;
    const { lines } = await watch([run, step(1), huge, huge, huge], { columns: 40, rows: 8 });
    expect(lines).toHaveLength(7);
  });

  it('are a line where there are no colours, and nothing when it is to be quiet', () => {
    const events = [run, preview(1, [9, 9, 9]), ended].map((event): readonly [number, Event] => [0, event]);
    expect(show(events, { live: false })).toEqual([
      'run: tiny\n',
      'run: step 1 of 2\n',
      'run: done: 16 frames (5 ms)\n',
    ]);
    expect(show(events, { live: true })).toContain('run: step 1 of 2\n');
    expect(show(events, { live: true, quiet: true })).toEqual([]);
  });
});

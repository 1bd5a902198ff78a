/** Reports as they may come out of the gate, for the page that shows them: a plain one, and one in which everything is long, many or wrong. */
import type { Lock } from '../../src/export/lock.ts';
import type { Frames } from '../../src/runtime/frames.ts';
import type { Video } from '../../src/runtime/pipeline.ts';
import type { Page } from '../../src/verify/report/page.ts';
import { picturesOf } from '../../src/verify/report/pictures.ts';
import type { CheckReport, Report } from '../../src/verify/report.ts';

const HASH = '0123456789abcdef'.repeat(4);

/** What somebody may write where a name is asked for. */
export const HOSTILE = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;`;

/** A gradient that moves, so that every frame is another one. */
export function movingFrames(count: number, width: number, height: number): Frames {
  const data = new Uint8Array(count * width * height * 3);
  for (let i = 0; i < data.length; i += 1) {
    const pixel = Math.floor(i / 3);
    const [x, y, frame] = [pixel % width, Math.floor(pixel / width) % height, Math.floor(pixel / (width * height))];
    data[i] = 127 + 120 * Math.sin(((i % 3) + 1) * (x / width + frame / count) * 3 + (y / height) * 4);
  }
  return { count, width, height, data };
}

function check(id: string, changes: Partial<CheckReport> = {}): CheckReport {
  const figures = { tensors: 2902, largest_difference: 3.436e-4, not_run: '' };
  return {
    id,
    proves: `what ${id} proves`,
    verdict: 'passed',
    reason: `${id} is sound.`,
    figures,
    seconds: 0.25,
    ...changes,
  };
}

export interface Described {
  readonly report: Report;
  readonly lock: Lock | undefined;
  readonly video: Video | undefined;
}

/** A package that passed: 4 steps, 16 frames of 64×64. */
export function plainReport(changes: Partial<Report> = {}): Described {
  const frames = movingFrames(16, 64, 64);
  const timing = { load_ms: 600, denoise_ms: 190, step_ms: [45, 46, 44, 47], decode_ms: 60, peak_bytes: 254e6 };
  const report: Report = {
    verdict: 'passed',
    name: 'plain',
    tool: { name: 'lcm-merge', version: '0.1.0' },
    device: 'cpu',
    profile: 'standard',
    run: { prompt: 'a red circle', negative: '', seed: 0, steps: 4, guidance: 1, frames: 16, width: 64, height: 64 },
    checks: ['integrity', 'weights', 'frames', 'timing'].map((id) => check(id)),
    graphs: ['unet/model.cpu.onnx'],
    timing,
    effects: {
      sampled: 0.44,
      unchanged: 0.037,
      sources: { 'personalized[0]': 0.13, lcm: 0.056 },
      blocks: Object.fromEntries(
        [0, 0.002, 0.005, 0.02, 0.05, 0.2, 0.9].map((lcm, i) => [
          `IN0${i}`,
          { unchanged: 0.01, sources: i === 3 ? { lcm } : { 'personalized[0]': 0.9 - lcm, lcm } },
        ]),
      ),
      pairs: [{ a: 'personalized[0]', b: 'lcm', cosine: 0.0108, opposed: 0.497 }],
    },
    package: { 'unet/model.cpu.onnx': HASH, 'unet/model.onnx_data': HASH },
    ...changes,
  };
  return { report, lock: lockOf(report.name, { denoise_ms: 2000 }), video: videoOf(frames, report.run.steps) };
}

/** Whatever can be long is, names are hostile, one check failed, one could not tell, and the clip is large. */
export function extremeReport(): Described {
  const { report } = plainReport();
  const long = `${HOSTILE} ${'a very long word of a prompt, '.repeat(8)}${'x'.repeat(120)}`;
  const blocks = ['IN', 'OUT'].flatMap((side) =>
    Array.from({ length: 12 }, (_, i) => `${side}${String(i).padStart(2, '0')}`),
  );
  const sources = Object.fromEntries(
    ['personalized[0]', 'personalized[1]', 'personalized[2]', 'lcm', 'motion.base', 'motion.loras[0]'].map(
      (role, i) => [role, 10 ** -i],
    ),
  );
  const steps = 50;
  return {
    report: {
      ...report,
      verdict: 'failed',
      name: `${HOSTILE.slice(0, 40)}${'long'.repeat(22)}`,
      device: HOSTILE,
      trials: [
        { device: 'cuda', milliseconds: 41.25 },
        { device: 'cpu', milliseconds: 2600 },
      ],
      fallback: [`Of ${HOSTILE} 3 of 100 nodes are computed on the CPU`],
      run: {
        prompt: long,
        negative: long,
        seed: Number.MAX_SAFE_INTEGER,
        steps,
        guidance: 7.5,
        frames: 24,
        width: 384,
        height: 216,
      },
      checks: [
        check('integrity', { verdict: 'failed', reason: `${long} differs.` }),
        check(HOSTILE, {
          proves: long,
          verdict: 'unknown',
          figures: {
            ...{
              [HOSTILE]: HOSTILE,
              not_run: long,
              tensors: 9_126_555,
              share: 0.123,
              peak_bytes: 2e9,
              slowest_ms: 12_345,
            },
            ...({ compared: ['unet', HOSTILE], before_and_now_ms: [180, 190], nested: { a_ms: 1, b: [] } } as object),
          },
        }),
        check('timing', { verdict: 'failed', figures: { denoise_ms: 190_000, warm_step_ms: 44, peak_bytes: 12e9 } }),
      ],
      timing: {
        ...{ load_ms: 60_000, denoise_ms: 190_000, decode_ms: 9000, peak_bytes: 12e9 },
        step_ms: Array.from({ length: steps }, (_, i) => 3800 + 40 * (i % 7)),
      },
      effects: {
        ...{ sampled: 1, unchanged: 1, sources },
        blocks: Object.fromEntries(blocks.map((block) => [block, { unchanged: 0.5, sources }])),
        pairs: [{ a: 'personalized[0]', b: 'motion.loras[0]', cosine: -1, opposed: 1 }],
      },
      graphs: [HOSTILE],
      package: { [HOSTILE]: HASH, [`unet/${'model'.repeat(30)}.onnx`]: HASH },
    },
    lock: lockOf(long, {
      denoise_ms: 95_000,
      warm_step_ms: 60,
      peak_bytes: 16e9,
      load_ms: 1,
      step_ms: 4000,
      nonsense: 3,
    }),
    video: videoOf(movingFrames(24, 384, 216), steps),
  };
}

/** The run came to no end, and there is no lock. */
export function emptyReport(): Described {
  const { report } = plainReport();
  const { effects: _, ...rest } = report;
  const run = { ...report.run, steps: 0, frames: 0, width: 0, height: 0 };
  const checks = [check('run', { verdict: 'failed', reason: 'The run did not end well.', figures: {} })];
  return {
    report: { ...rest, verdict: 'failed', run, checks, graphs: [], timing: null, package: {} },
    lock: undefined,
    video: undefined,
  };
}

export async function pageOf({ report, lock, video }: Described): Promise<Page> {
  return { report, lock, pictures: await picturesOf(video) };
}

/** A step whose estimate had no colours is missing: the second. */
function videoOf(frames: Frames, steps: number): Video {
  const { width, height, data } = frames;
  const previews = Array.from({ length: steps }, (_, i) => {
    const pixels = data.slice(0, width * height * 3).map((value) => (value * (i + 1)) / steps);
    return { step: i + 1, total: steps, width, height, pixels };
  });
  return { frames, previews: previews.filter(({ step }) => step !== 2) } as Partial<Video> as Video;
}

function lockOf(name: string, budgets: Readonly<Record<string, number>>): Lock {
  return {
    tool: { name: 'lcm-merge', version: '0.1.0' },
    name,
    recipe: {
      ...{ name, base: { model: name }, personalized: [{ lora: name, alpha: 0.8 }], motion: { module: name } },
      sampler: { kind: 'lcm', steps: 4 },
      verify: { prompt: name, negative: '', budgets },
    },
    inputs: [
      { role: 'base.unet', file: name, bytes: 11e6, sha256: HASH },
      { role: 'personalized[0]', file: 'ink.safetensors', bytes: 7e5, sha256: HASH, origin: 'personalized[0].lora' },
    ],
    origins: { 'personalized[0].lora': { reference: `hf://${name}`, commit: HASH.slice(0, 40), files: {} } },
    outputs: { 'unet/model.onnx_data': { bytes: 17e6, sha256: HASH } },
  } as unknown as Lock;
}

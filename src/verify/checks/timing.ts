/**
 * The run was fast enough: within the budgets of the recipe, and not much slower than the package of this recipe that was verified
 * before on a machine like this one. What looks too slow is measured once more, and the better of the two counts: what else a machine does is no fault of
 * a package, and a package that is slow is slow both times.
 */
import type { Timing, Video } from '../../runtime/pipeline.ts';
import { median } from '../../runtime/statistics.ts';
import { formatBytes } from '../../text/quantity.ts';
import { type Check, type CheckContext, failed, passed } from '../check.ts';
import type { EarlierReport } from '../earlier.ts';
import { describeMachine } from '../machine.ts';
import { runOf } from './fingerprint.ts';

/** Two runs of one package on a busy machine were seen to differ by a half; a step that takes three times as long is not noise. */
const SLOWDOWN = 2;

const MEASURES = {
  /** All steps, VAE excluded. */
  denoise_ms: ({ denoise_ms }: Timing) => denoise_ms,
  step_ms: (timing: Timing) => warmStep(timing.step_ms),
  decode_ms: ({ decode_ms }: Timing) => decode_ms,
  /** Of the process that samples. */
  peak_bytes: ({ peak_bytes }: Timing) => peak_bytes,
} as const;

type Measure = keyof typeof MEASURES;
export type Budgets = { readonly [name in Measure]?: number };

const WORDS: Readonly<Record<Measure, (value: number) => string>> = {
  denoise_ms: (ms) => `denoising took ${Math.round(ms)} ms`,
  step_ms: (ms) => `a step took ${Math.round(ms)} ms`,
  decode_ms: (ms) => `decoding took ${Math.round(ms)} ms`,
  peak_bytes: (bytes) => `the most memory was ${formatBytes(bytes)}`,
};

export const timing: Check = {
  id: 'timing',
  proves:
    'time and memory stayed within the budgets of the recipe, and a step took no more than twice the time that it took in the package verified before on a machine like this one',
  cost: 'a second, to measure the device; a second clip where the first was too slow, and in the profile full',
  from: 'quick',
  applies: ({ video }) => !(video instanceof Error),
  async run(context) {
    const { video, profile } = context;
    if (video instanceof Error) throw video;
    const runs: [Video, ...Video[]] = [video];
    let verdict = judge(runs, context);
    if (verdict.faults.length > 0 || profile === 'full') {
      runs.push(await context.again());
      verdict = judge(runs, context);
    }
    const { faults, best, figures } = verdict;
    const took = `${sentence(WORDS.denoise_ms(best.denoise_ms))} on ${video.device}, ${WORDS.step_ms(best.step_ms)}`;
    return faults.length > 0
      ? failed(`On ${video.device} ${faults.join('; ')}.`, figures)
      : passed(`${took}; ${comparedWith(context)}.`, figures);
  },
};

function judge(runs: readonly Video[], context: CheckContext) {
  const { budgets, limit } = context;
  const best = Object.fromEntries(
    Object.entries(MEASURES).map(([name, of]) => [name, Math.min(...runs.map(({ timing: t }) => of(t)))]),
  ) as Record<Measure, number>;
  const over = (Object.keys(MEASURES) as Measure[]).flatMap((name) => {
    const budget = budgets[name];
    return budget !== undefined && best[name] > budget
      ? [`${WORDS[name](best[name])}, and ${name === 'peak_bytes' ? formatBytes(budget) : `${budget} ms`} are allowed`]
      : [];
  });
  const before = comparable(context);
  const fastest = Math.min(...runs.flatMap(({ timing: t }) => t.step_ms));
  const slower = before && slowdown(fastest, before, context);
  const faults =
    slower !== undefined && slower > SLOWDOWN
      ? [
          ...over,
          `${WORDS.step_ms(fastest)}, ${slower.toFixed(1)} times as long as in the package that was verified before; ${SLOWDOWN} times is the limit. Verify again when this machine has less to do; if it was meant, remove the folder verification/ of that package`,
        ]
      : over;
  const figures = {
    ...best,
    slowest_step_ms: Math.max(...runs.flatMap(({ timing: t }) => t.step_ms)),
    runs: runs.length,
    ...Object.fromEntries(Object.entries(budgets).map(([name, budget]) => [`budget_${name}`, budget])),
    ...(slower !== undefined && { slowdown: slower }),
    ...(limit && {
      flops_per_step: limit.flops_per_step,
      achieved_flops_per_second: limit.achieved_flops_per_second,
      share_of_limit: limit.share,
    }),
  };
  return { best, faults, figures };
}

/**
 * The earlier report, where it passed and tells of the same recipe, the same clip and the same sort of machine and device: what was fast where
 * a package was published says nothing of how fast it is to be here.
 */
function comparable(context: CheckContext): EarlierReport | undefined {
  const { earlier, lock, video } = context;
  const report = earlier?.report;
  if (!report || video instanceof Error || report.verdict !== 'passed' || !report.timing) return undefined;
  const run = runOf(context);
  const same = ['steps', 'frames', 'width', 'height', 'guidance'].every((key) => report.run[key] === run[key]);
  const here = report.machine === undefined || report.machine === describeMachine();
  return same && here && report.device === video.device && report.name === lock?.name ? report : undefined;
}

/**
 * How many times as long the fastest step takes as the fastest did: what else a machine does makes steps slower and none faster, by four times
 * and more where ten others want its cores. The device's own rate was measured beside both runs: what a slower or a busier
 * machine explains is not counted.
 */
function slowdown(fastest: number, { timing: before, limit }: EarlierReport, context: CheckContext): number {
  const times = fastest / Math.min(...(before?.step_ms ?? []));
  if (!limit || !context.limit) return times;
  const rate = (rates: Readonly<Record<string, number>>) => Math.max(...Object.values(rates));
  return Math.min(times, times * (rate(context.limit.rates.matrix) / rate(limit.rates.matrix)));
}

/** The first step of a process also warms it up. */
/** The median of steps, in milliseconds, without the first, in which much is done for the first time. */
export function warmStep(step_ms: readonly number[]): number {
  return median(step_ms.length > 1 ? step_ms.slice(1) : step_ms);
}

function comparedWith(context: CheckContext): string {
  const within =
    Object.keys(context.budgets).length > 0 ? 'within the budgets of the recipe' : 'the recipe sets no budget';
  return comparable(context) ? `${within}, no slower than before` : within;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

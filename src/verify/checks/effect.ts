/**
 * Every strength of the recipe does something, and what it is there for: γ makes frames alike, β makes pictures of few steps finer, and
 * no source turns pictures into noise. Seen on a small clip, with each of them and without (ablation.ts). Where the limits come
 * from: docs/effects.md.
 */
import { join } from 'node:path';
import { samplerConfig } from '../../architecture/sampler-config.ts';
import { drain, type Stage } from '../../events.ts';
import type { Lock } from '../../export/lock.ts';
import type { Plan } from '../../merge/plan.ts';
import type { Role } from '../../merge/plan-files.ts';
import { targetFor } from '../../runtime/graph-target.ts';
import { relativeRms } from '../../runtime/relative-rms.ts';
import { changedBy, openSmallModel, type SmallClipOptions, type SmallModelOptions } from '../ablation.ts';
import { type Check, type CheckContext, type CheckResult, failed, passed, unknown } from '../check.ts';
import { detail, deviation, incoherence } from '../clip-figures.ts';
import { VERIFICATION_FOLDER } from '../report.ts';
import { SMALL_PARTS, smallGraphs } from '../small-graphs.ts';

/** Evaluations: motion needs some to make frames agree; what a consistency LoRA is for shows best in few. */
export const [MOTION_STEPS, SOURCE_STEPS] = [4, 2];

/**
 * Least relative change of the latents. Weights of which a hundredth have another last bit, as another processor's sums may give, change 8e-4;
 * LoRAs at a strength of 0.1 were seen to change 7e-2 and more.
 */
const LEAST_CHANGE = 2e-3;
/** On other devices two sessions may choose other kernels: the change must be so many times the difference of two that are alike. */
const NOISE_MARGIN = 3;

/** Latents of pictures have a deviation near 1; those of weights that were never trained were seen at 26 and more. */
const MAX_DEVIATION = 5;

/**
 * How unlike neighbouring frames may be, over the same without motion. Seen: 0.03 to 0.39 at γ = 1, up to 0.80 at 0.6, 0.99 at 0.3 and 1.02 at 0.1;
 * 1.00 to 1.19 where the module acts the wrong way. Who asks for a negative strength knows better what it is for.
 */
const MAX_INCOHERENCE = (gamma: number) => (gamma < 0 ? Number.POSITIVE_INFINITY : 1.1 - 0.2 * Math.min(gamma, 1));

/** Least detail over the same without β. Seen: 1.02 to 1.58 for LCM LoRAs at 0.3 to 1.2; 0.64 to 0.86 where a style LoRA stands in their place. */
const MIN_DETAIL = 0.85;

export const effect: Check = {
  id: 'effect',
  proves:
    'γ and every source change what the package makes: γ makes frames more alike, β makes few steps finer, nothing turns pictures into noise',
  cost: 'a small clip as it is and without γ; with --recipe one more per source, and its tensors merged again',
  from: 'standard',
  applies: ({ lock, plan }) => lock !== undefined && (motionCounts(lock) || sourcesOf(plan).length > 0),
  run: (context) => drain(judgeEffects(context)),
  stage: judgeEffects,
};

/** Is there a γ that can be taken out by itself? With a second motion module γ leads from one to the other, which is a source's doing. */
function motionCounts({ recipe: { motion } }: Lock): boolean {
  return motion.gamma !== 0 && motion.base === undefined;
}

/** The sources that change weights, in the recipe's order. */
export function sourcesOf(plan: Plan | undefined): readonly Role[] {
  if (!plan) return [];
  const roles = [...new Set(plan.files.map(({ role }) => role))];
  return roles.filter((role) => SMALL_PARTS.some((part) => changedBy(plan, role, part).length > 0));
}

interface Finding {
  readonly verdict: 'seen' | 'absent' | 'wrong';
  /** What the reason says. */
  readonly says: string;
  readonly figures: CheckResult['figures'];
}

async function* judgeEffects({ folder, pkg, lock, plan, request, video, signal }: CheckContext): Stage<CheckResult> {
  if (!lock) return unknown('The package has no lock, which says what its strengths are.');
  if (video instanceof Error) return unknown('The package does not run, so nothing was taken out of it.');
  const { device } = video;
  const { target } = await targetFor(pkg, device, signal);
  const graphs = await smallGraphs(pkg, lock, target);
  const options: SmallModelOptions = {
    graphs,
    device,
    scratch: join(folder, `${VERIFICATION_FOLDER}.partial`),
    signal,
  };
  const { prompt, promptWeights, seed } = request;
  const { original_inference_steps: most } = samplerConfig(pkg.scheduler, 'lcm');
  const clip = (steps: number): SmallClipOptions => ({
    prompt,
    ...(promptWeights && { promptWeights }),
    seed,
    steps: Math.min(steps, most),
  });

  const sources = sourcesOf(plan);
  const total = 1 + sources.length;
  const progress = (done: number, what: string) =>
    ({ type: 'progress', stage: 'verify', done, total, unit: 'clips', detail: `effect: ${what}` }) as const;
  const findings: Finding[] = [];
  yield progress(0, 'as it is');
  const whole = await withModel(pkg, options, async (model) => {
    const made = await model.sample(clip(SOURCE_STEPS));
    if (motionCounts(lock)) {
      const moving = await model.sample(clip(MOTION_STEPS));
      const still = await model.sample({ ...clip(MOTION_STEPS), motion: 0 });
      findings.push(judgeMotion(lock.recipe.motion.gamma, moving, still, graphs.shape));
    }
    return made;
  });
  const again =
    device === 'cpu' || sources.length === 0
      ? whole
      : await withModel(pkg, options, (model) => model.sample(clip(SOURCE_STEPS)));
  const noise = NOISE_MARGIN * relativeRms(again, whole);
  for (const [done, role] of sources.entries()) {
    yield progress(1 + done, `without ${role}`);
    const without = { role, plan: plan as Plan };
    const isFiner = role === 'lcm' && (plan?.recipe.lcm?.beta ?? 0) > 0;
    const made = await withModel(pkg, { ...options, without }, (model) => model.sample(clip(SOURCE_STEPS)));
    findings.push(
      judgeSource(role, whole, made, { shape: graphs.shape, least: Math.max(LEAST_CHANGE, noise), isFiner }),
    );
  }
  return summary(findings, plan !== undefined);
}

async function withModel<Result>(
  pkg: CheckContext['pkg'],
  options: SmallModelOptions,
  use: (model: Awaited<ReturnType<typeof openSmallModel>>) => Promise<Result>,
): Promise<Result> {
  await using model = await openSmallModel(pkg, options);
  return await use(model);
}

function judgeMotion(gamma: number, moving: Float32Array, still: Float32Array, shape: readonly number[]): Finding {
  const change = relativeRms(moving, still);
  const [made, without] = [incoherence(moving, shape), incoherence(still, shape)];
  const ratio = made / without;
  const figures = {
    gamma_change: change,
    // a single frame has no neighbour
    ...(Number.isFinite(ratio) && {
      gamma_incoherence_with: made,
      gamma_incoherence_without: without,
      gamma_ratio: ratio,
    }),
  };
  if (!(change >= LEAST_CHANGE))
    return { verdict: 'absent', says: `γ does nothing: ${unchanged(change, LEAST_CHANGE)}`, figures };
  const unseen = unseenIn(moving, still);
  if (unseen) return { ...unseen, says: `γ ${unseen.says(change)}`, figures };
  const limit = MAX_INCOHERENCE(gamma);
  if (Number.isNaN(ratio))
    return { verdict: 'seen', says: `γ changes ${percent(change)} of the single frame`, figures };
  if (!(ratio > limit)) return { verdict: 'seen', says: `γ makes frames ${times(1 / ratio)} as alike`, figures };
  const says = `γ = ${gamma} should make frames more alike, but neighbours differ ${ratio.toFixed(2)} times as much as without the motion modules (limit ${limit.toFixed(2)})`;
  return { verdict: 'wrong', says, figures };
}

function judgeSource(
  role: Role,
  whole: Float32Array,
  without: Float32Array,
  { shape, least, isFiner }: { readonly shape: readonly number[]; readonly least: number; readonly isFiner: boolean },
): Finding {
  const change = relativeRms(whole, without);
  const [made, bare] = [detail(whole, shape), detail(without, shape)];
  const ratio = made / bare;
  const figures = {
    [`${role}_change`]: change,
    ...(isFiner && { lcm_detail_with: made, lcm_detail_without: bare, lcm_ratio: ratio }),
  };
  if (!(change >= least))
    return { verdict: 'absent', says: `${role} does nothing: ${unchanged(change, least)}`, figures };
  const unseen = unseenIn(whole, without);
  if (unseen) return { ...unseen, says: `${role} ${unseen.says(change)}`, figures };
  if (isFiner && ratio < MIN_DETAIL) {
    const says = `lcm should make pictures of ${SOURCE_STEPS} steps finer, as LCM LoRAs do, but they have ${ratio.toFixed(2)} times the detail that they have without it (limit ${MIN_DETAIL})`;
    return { verdict: 'wrong', says, figures };
  }
  const finer = isFiner ? ` and gives ${SOURCE_STEPS} steps ${times(ratio)} the detail` : '';
  return { verdict: 'seen', says: `${role} changes ${percent(change)} of the clip${finer}`, figures };
}

/** Where one of two clips is no picture, nothing finer can be said of them than that they differ, or that a picture was lost. */
function unseenIn(made: Float32Array, without: Float32Array) {
  const [spread, bare] = [deviation(made), deviation(without)];
  if (bare > MAX_DEVIATION) {
    const says = (change: number) => `changes ${percent(change)} of the clip, which is no picture with or without it`;
    return { verdict: 'seen', says } as const;
  }
  if (spread <= MAX_DEVIATION) return undefined;
  const says = () =>
    `turns pictures into noise (latents with a deviation of ${spread.toFixed(1)}, without it ${bare.toFixed(1)}); look at its strength and scale`;
  return { verdict: 'wrong', says } as const;
}

/** What is not there at all makes comparisons of the rest misleading, so it is named alone. */
function summary(findings: readonly Finding[], hasPlan: boolean): CheckResult {
  const figures = Object.assign({}, ...findings.map((finding) => finding.figures)) as CheckResult['figures'];
  const of = (verdict: Finding['verdict']) => findings.filter((finding) => finding.verdict === verdict);
  const faults = of('absent').length > 0 ? of('absent') : of('wrong');
  const list = (some: readonly Finding[]) => some.map(({ says }) => says).join('; ');
  if (faults.length > 0) return failed(`${list(faults)}.`, figures);
  const left = hasPlan ? '' : ' What α and β do needs the sources: verify with --recipe.';
  return passed(`${list(findings)}.${left}`, figures);
}

const unchanged = (change: number, least: number) =>
  `without it the clip is the same (change ${change.toExponential(1)}, ${least.toExponential(1)} at least were expected)`;
const percent = (share: number) => `${share < 0.01 ? (100 * share).toPrecision(1) : Math.round(100 * share)} %`;
const times = (factor: number) => `${factor.toFixed(factor < 2 ? 2 : 1)} times`;

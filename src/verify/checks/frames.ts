/**
 * The frames show something, and they are frames of one clip that moves. All figures are in levels of 0…255. Limits lie where nothing
 * that works was seen; how good a clip is of few steps, or of little motion module, is a figure and no verdict.
 */
import type { Lock } from '../../export/lock.ts';
import type { Frames } from '../../runtime/frames.ts';
import { correlation, meanDifference, median, moments } from '../../runtime/statistics.ts';
import { type Check, type CheckResult, failed, passed } from '../check.ts';

/** A frame this dark, and of no more contrast, has nothing in it: the NaN-to-black of a broken VAE is 0. A starry sky has contrast. */
const BLACK_BELOW = 3;
/** Less contrast than this over a whole frame is one flat colour. */
const FLAT_BELOW = 1;
/** Less change than this from every frame to the next is a still. */
const STATIC_BELOW = 0.02;
/** Ink on white has nearly all of its values at one end, but tones at the edges; with fewer than these there are none left. */
const CLIPPED_ABOVE = 0.98;
/**
 * How far a frame's brightness may lie, as a rule, from the mean of those before and after it. Clips of models/tiny have 1.1 at
 * most from three steps on; random weights gave 14 and more. A fade, however fast, has none.
 */
const FLICKER_ABOVE = 8;
/**
 * Neighbouring frames of a clip are alike: of models/tiny the correlation was 0.72 and more with the whole motion module, and 0.48
 * at most without it, where every frame is a picture of its own. In between lies what a part of the module does: 0.58 at γ = 0.5.
 */
const ALIKE_FROM = 0.5;
/** In fewer steps clips of models/tiny flicker by up to 58 levels, and neighbours have a correlation of 0.23 and more. */
const STEPS_TO_JUDGE = 3;

export const frames: Check = {
  id: 'frames',
  proves:
    'no frame is black, one flat colour or without tones; the frames differ from each other, do not flicker, and each is like the next',
  cost: "the clip's pixels",
  from: 'quick',
  applies: ({ video }) => !(video instanceof Error),
  run({ video, lock }) {
    if (video instanceof Error) throw video;
    const steps = video.trajectory.length;
    return judge(measure(video.frames), { steps, isWhole: lock === undefined || asksForMotion(lock) });
  },
};

/** Does the recipe ask for all of the motion module? Of a part of it nobody can say how alike frames should be. */
function asksForMotion({ strengths, recipe: { motion } }: Lock): boolean {
  return strengths.gamma >= 1 && Object.values(motion.blocks ?? {}).every((weight) => weight >= 1);
}

/** Entries of each frame, then of each but the last, then of each but the first and the last. */
interface Measures {
  readonly brightness: readonly number[];
  readonly contrast: readonly number[];
  readonly clipped: readonly number[];
  readonly changes: readonly number[];
  readonly likeness: readonly number[];
  readonly flicker: readonly number[];
}

function measure({ data, width, height, count }: Frames): Measures {
  const size = width * height * 3;
  const pixels = Array.from({ length: count }, (_, i) => data.subarray(i * size, (i + 1) * size));
  const statistics = pixels.map(moments);
  const brightness = statistics.map(({ mean }) => mean);
  const following = pixels.slice(1);
  return {
    brightness,
    contrast: statistics.map(({ deviation }) => deviation),
    clipped: pixels.map((frame) => frame.reduce((n, x) => n + (x === 0 || x === 255 ? 1 : 0), 0) / size),
    changes: following.map((frame, i) => meanDifference(pixels[i] as Uint8Array, frame)),
    likeness: following.map((frame, i) => correlation(pixels[i] as Uint8Array, frame)),
    flicker: brightness
      .slice(1, -1)
      .map((level, i) => Math.abs(level - ((brightness[i] as number) + (brightness[i + 2] as number)) / 2)),
  };
}

interface Asked {
  readonly steps: number;
  /** Is the whole motion module at work? */
  readonly isWhole: boolean;
}

function judge(measures: Measures, { steps, isWhole }: Asked): CheckResult {
  const { brightness, contrast, clipped, changes, likeness, flicker } = measures;
  const frames = brightness.length;
  const figures = {
    brightness_min: Math.min(...brightness),
    contrast_min: Math.min(...contrast),
    clipped_max: Math.max(...clipped),
    change_max: Math.max(0, ...changes),
    change_mean: changes.reduce((a, b) => a + b, 0) / Math.max(1, changes.length),
    ...(likeness.length > 0 && { likeness: median(likeness) }),
    ...(flicker.length > 0 && { flicker: median(flicker) }),
  };
  const black = brightness.findIndex((level, i) => level < BLACK_BELOW && (contrast[i] as number) < BLACK_BELOW);
  if (black >= 0) return failed(`Frame ${black} is black (mean level ${brightness[black]?.toFixed(2)}).`, figures);
  const flat = contrast.findIndex((deviation) => deviation < FLAT_BELOW);
  if (flat >= 0) return failed(`Frame ${flat} is one flat colour (deviation ${contrast[flat]?.toFixed(2)}).`, figures);
  const burnt = clipped.findIndex((share) => share > CLIPPED_ABOVE);
  if (burnt >= 0)
    return failed(
      `Frame ${burnt} is saturated: ${((clipped[burnt] as number) * 100).toFixed(0)} % of its values are 0 or 255.`,
      figures,
    );
  if (frames > 1 && figures.change_max < STATIC_BELOW)
    return failed(
      `All ${frames} frames are the same: the largest change from one to the next is ${figures.change_max.toFixed(4)} levels.`,
      figures,
    );
  const flickers = (figures.flicker ?? 0) > FLICKER_ABOVE;
  const strangers = isWhole && (figures.likeness ?? 1) < ALIKE_FROM;
  if (flickers && steps >= STEPS_TO_JUDGE)
    return failed(
      `The clip flickers: the brightness of a frame lies ${figures.flicker?.toFixed(1)} levels from that of its neighbours; ${FLICKER_ABOVE} are allowed.`,
      figures,
    );
  if (strangers && steps >= STEPS_TO_JUDGE)
    return failed(
      `The frames are pictures that know nothing of each other: neighbours have a correlation of ${figures.likeness?.toFixed(2)}; of a clip it is at least ${ALIKE_FROM}. Does the motion module work?`,
      figures,
    );
  const poor = [...(flickers ? ['it flickers'] : []), ...(strangers ? ['frames are not much alike'] : [])];
  const advice =
    poor.length > 0 ? ` As clips of few steps may, ${poor.join(' and ')}: raise sampler.steps for a better one.` : '';
  return passed(
    `${frames} frames, contrast at least ${figures.contrast_min.toFixed(1)}, mean change from frame to frame ${figures.change_mean.toFixed(2)} levels.${advice}`,
    figures,
  );
}

/** The frames show something, and it moves. All figures are in levels of 0…255. */
import type { Frames } from '../../runtime/frames.ts';
import { type Check, failed, passed } from '../check.ts';

/** A frame this dark has nothing in it: the NaN-to-black of a broken VAE is 0. */
const BLACK_BELOW = 3;
/** Less contrast than this over a whole frame is one flat colour. */
const FLAT_BELOW = 1;
/** Less change than this from every frame to the next is a still. */
const STATIC_BELOW = 0.02;

export const frames: Check = {
  id: 'frames',
  proves: 'no frame is black or one flat colour, and the frames differ from each other',
  cost: "the clip's pixels",
  from: 'quick',
  applies: ({ video }) => !(video instanceof Error),
  run({ video }) {
    if (video instanceof Error) throw video;
    const stills = Array.from({ length: video.frames.count }, (_, i) => frameStatistics(video.frames, i));
    const changes = Array.from({ length: video.frames.count - 1 }, (_, i) => meanDifference(video.frames, i));
    const figures = {
      brightness_min: Math.min(...stills.map((s) => s.mean)),
      contrast_min: Math.min(...stills.map((s) => s.deviation)),
      change_max: Math.max(0, ...changes),
      change_mean: changes.reduce((a, b) => a + b, 0) / Math.max(1, changes.length),
    };
    const black = stills.findIndex((s) => s.mean < BLACK_BELOW);
    if (black >= 0) return failed(`Frame ${black} is black (mean level ${stills[black]?.mean.toFixed(2)}).`, figures);
    const flat = stills.findIndex((s) => s.deviation < FLAT_BELOW);
    if (flat >= 0)
      return failed(`Frame ${flat} is one flat colour (deviation ${stills[flat]?.deviation.toFixed(2)}).`, figures);
    if (changes.length > 0 && figures.change_max < STATIC_BELOW) {
      return failed(
        `All ${stills.length} frames are the same: the largest change from one to the next is ${figures.change_max.toFixed(4)} levels.`,
        figures,
      );
    }
    return passed(
      `${stills.length} frames, contrast at least ${figures.contrast_min.toFixed(1)}, mean change from frame to frame ${figures.change_mean.toFixed(2)} levels.`,
      figures,
    );
  },
};

function frameStatistics({ data, width, height }: Frames, index: number): { mean: number; deviation: number } {
  const size = width * height * 3;
  let [sum, squares] = [0, 0];
  for (let i = index * size; i < (index + 1) * size; i += 1) {
    const value = data[i] as number;
    sum += value;
    squares += value * value;
  }
  const mean = sum / size;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / size - mean * mean)) };
}

function meanDifference({ data, width, height }: Frames, index: number): number {
  const size = width * height * 3;
  let sum = 0;
  for (let i = index * size; i < (index + 1) * size; i += 1)
    sum += Math.abs((data[i + size] as number) - (data[i] as number));
  return sum / size;
}

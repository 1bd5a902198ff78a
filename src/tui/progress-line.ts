/** How far a stage is, in a line or two. */
import { progressBar, progressNumbers, rateBetween } from '../text/progress.ts';
import type { StageRow } from './job.ts';

const MAX_BAR = 40;
/** Columns for all of it in one line; where there are fewer, the numbers stand below the bar. */
const ONE_LINE = 96;

/**
 * `bake  ████████░░░░  41%  7.9 MB of 19.3 MB  38 MB/s  2 s left  conv_in.weight`, the rate being that of the last seconds. Where that is
 * too wide, the bar and what is worked at come first and the numbers in a second line.
 */
export function progressLines(
  { stage, progress, pace = [] }: StageRow,
  now: number,
  columns: number,
): readonly string[] {
  if (!progress) return [];
  const bar = `${stage}  ${progressBar(progress, Math.min(MAX_BAR, Math.floor(columns / 3)))}`;
  const numbers = progressNumbers(progress, rateBetween(pace[0], progress), now - progress.at).join('  ');
  const parts = progress.detail === undefined ? [] : [progress.detail];
  return columns >= ONE_LINE ? [[bar, numbers, ...parts].join('  ')] : [[bar, ...parts].join('  '), numbers];
}

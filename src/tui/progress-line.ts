/** How far a stage is, in a line or two: events carry counts and times, rates and times left are computed here. */
import { formatBytes, formatDuration } from '../text/quantity.ts';
import type { StageRow } from './job.ts';

const MAX_BAR = 40;
/** Milliseconds before which a rate says more about the start than about the work. */
const MIN_RATE_TIME = 500;
/** Columns for all of it in one line; where there are fewer, the numbers stand below the bar. */
const ONE_LINE = 96;

/**
 * `bake  ████████░░░░  41%  7.9 of 19.3 MB  38 MB/s  2 s left  conv_in.weight`, the rate being that of the last seconds. Where that is
 * too wide, the bar and what is worked at come first and the numbers in a second line.
 */
export function progressLines({ stage, progress, pace }: StageRow, now: number, columns: number): readonly string[] {
  if (!progress) return [];
  const { done, total, unit, detail, at } = progress;
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const width = Math.min(MAX_BAR, Math.floor(columns / 3));
  const filled = Math.round(share * width);
  const bar = `${stage}  ${'█'.repeat(filled)}${'░'.repeat(width - filled)}  ${`${Math.floor(share * 100)}%`.padStart(4)}`;
  const rate = rateOf(pace, { done, at });
  const numbers = [
    unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`,
    ...(rate !== undefined && unit === 'bytes' ? [`${formatBytes(Math.round(rate * 1000))}/s`] : []),
    ...(rate !== undefined && done < total ? [timeLeft(rate, total - done, now - at)] : []),
  ].join('  ');
  const parts = detail === undefined ? [] : [detail];
  return columns >= ONE_LINE ? [[bar, numbers, ...parts].join('  ')] : [[bar, ...parts].join('  '), numbers];
}

/** Units a millisecond over the last seconds; undefined until that can be told. */
function rateOf(pace: StageRow['pace'] = [], { done, at }: { readonly done: number; readonly at: number }) {
  const first = pace[0];
  return first && done > first.done && at - first.at >= MIN_RATE_TIME
    ? (done - first.done) / (at - first.at)
    : undefined;
}

function timeLeft(rate: number, units: number, sinceTold: number): string {
  return `${formatDuration(Math.max(0, units / rate - sinceTold))} left`;
}

/** How far a stage is, in words: events carry counts and times, rates and times left are computed here, for whoever shows them. */
import { formatBytes, formatDuration } from './quantity.ts';

export interface Amount {
  readonly done: number;
  readonly total: number;
  /** `bytes` are shown as such, everything else as a number of them. */
  readonly unit: string;
}

/** How far it was at a time, in milliseconds. */
export interface Moment {
  readonly done: number;
  readonly at: number;
}

/** Milliseconds before which a rate says more about the start than about the work. */
const MIN_RATE_TIME = 500;

/** `████████░░░░   41%` */
export function progressBar({ done, total }: Amount, width: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(share * width);
  return `${'█'.repeat(filled)}${'░'.repeat(width - filled)}  ${`${Math.floor(share * 100)}%`.padStart(4)}`;
}

/** Units a millisecond; undefined until that can be told. */
export function rateBetween(first: Moment | undefined, last: Moment): number | undefined {
  if (!first || last.done <= first.done || last.at - first.at < MIN_RATE_TIME) return undefined;
  return (last.done - first.done) / (last.at - first.at);
}

/** `7.9 MB of 19.3 MB`, `38 MB/s`, `2 s left`: as many as can be told. `since`: milliseconds since it was so far. */
export function progressNumbers({ done, total, unit }: Amount, rate: number | undefined, since = 0): readonly string[] {
  const isBytes = unit === 'bytes';
  return [
    isBytes ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`,
    ...(rate !== undefined && isBytes ? [`${formatBytes(Math.round(rate * 1000))}/s`] : []),
    ...(rate !== undefined && done < total && unit !== 'checks' // one takes a thousand times as long as another
      ? [`${formatDuration(Math.max(0, (total - done) / rate - since))} left`]
      : []),
  ];
}

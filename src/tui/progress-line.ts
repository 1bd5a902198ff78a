/** How far a stage is, in one line: events carry counts and times, rates and times left are computed here. */
import { formatBytes, formatDuration } from '../cli/format.ts';
import type { StageRow } from './job.ts';

const MAX_BAR = 40;
/** Milliseconds before which a rate says more about the start than about the work. */
const MIN_RATE_TIME = 500;

/** `████████░░░░  41%  7.9 of 19.3 MB  38 MB/s  2 s left  conv_in.weight`, with a bar of a third of `columns`. */
export function progressLine({ startedAt, progress }: StageRow, now: number, columns: number): string {
  if (!progress) return '';
  const { done, total, unit, detail, at } = progress;
  const width = Math.min(MAX_BAR, Math.floor(columns / 3));
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(share * width);
  const elapsed = at - startedAt;
  const known = done > 0 && elapsed >= MIN_RATE_TIME;
  const left = Math.max(0, (elapsed / done) * total - (now - startedAt));
  return [
    '█'.repeat(filled) + '░'.repeat(width - filled),
    `${Math.floor(share * 100)}%`.padStart(4),
    unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`,
    ...(known && unit === 'bytes' ? [`${formatBytes((done / elapsed) * 1000)}/s`] : []),
    ...(known && done < total ? [`${formatDuration(left)} left`] : []),
    ...(detail === undefined ? [] : [detail]),
  ].join('  ');
}

/**
 * Events for somebody who watches. On a terminal: one line that is drawn over, at most ten times a second, and a lasting one for
 * whatever ends. Elsewhere, as in a log: one plain line per stage, check and warning. Rates and times left are computed here.
 */
import type { CheckVerdict, Event, StageName } from '../events.ts';
import { formatBytes, formatDuration } from './format.ts';
import { type Output, type Paint, sanitise } from './terminal.ts';

export interface Progress {
  show(event: Event): void;
  /** A lasting line of harmless text, with the moving one out of its way. */
  line(text: string): void;
  /** Wipes the moving line. */
  end(): void;
}

export interface ProgressOptions {
  readonly output: Output;
  readonly paint: Paint;
  /** Draw the moving line; otherwise write plain lines. */
  readonly live: boolean;
  /** Warnings only. */
  readonly quiet: boolean;
  /** Milliseconds; grows only. */
  readonly now?: () => number;
}

/** Faster than this nobody sees. */
const MIN_INTERVAL = 100;
const BAR_WIDTH = 20;
/** Before this a rate says more about the start than about the work. */
const MIN_RATE_TIME = 500;
const DEFAULT_COLUMNS = 80;
/** Back to the first column and erase to the end of the line (ECMA-48: EL). */
const WIPE = '\r\u001b[K';

const MARKS: Readonly<Record<CheckVerdict, readonly [mark: string, style: 'green' | 'red' | 'yellow']>> = {
  passed: ['✓', 'green'],
  failed: ['✗', 'red'],
  unknown: ['?', 'yellow'],
};

type Advance = Extract<Event, { type: 'progress' }>;

export function createProgress({
  output,
  paint,
  live,
  quiet,
  now = () => performance.now(),
}: ProgressOptions): Progress {
  let drawn = false;
  let drawnAt = -Infinity;
  /** Where each stage was when it first told; what came before (loading, compiling) says nothing of its pace. */
  const first = new Map<StageName, { readonly at: number; readonly done: number }>();

  const end = () => {
    if (drawn) output.write(WIPE);
    drawn = false;
  };
  const line = (text: string) => {
    end();
    output.write(`${text}\n`);
  };
  const draw = (text: string) => {
    output.write(`${WIPE}${text.slice(0, (output.columns || DEFAULT_COLUMNS) - 1)}`);
    drawn = true;
    drawnAt = now();
  };

  return {
    line,
    end,
    show(event) {
      if (event.type === 'warning') line(`${paint('yellow', 'warning:')} ${sanitise(event.message)}`);
      if (quiet) return;
      switch (event.type) {
        case 'stage-started':
          first.delete(event.stage);
          if (live) draw(`${event.stage}  ${sanitise(event.subject)}`);
          else line(`${event.stage}: ${sanitise(event.subject)}`);
          return;
        case 'progress': {
          const since = first.get(event.stage) ?? { at: now(), done: event.done };
          first.set(event.stage, since);
          if (live && (now() - drawnAt >= MIN_INTERVAL || event.done === event.total)) {
            draw(statusLine(event, { elapsed: now() - since.at, advanced: event.done - since.done }));
          }
          return;
        }
        case 'check': {
          const [mark, style] = MARKS[event.verdict];
          line(`${live ? paint(style, mark) : `check ${event.verdict}:`} ${event.id}: ${sanitise(event.reason)}`);
          return;
        }
        case 'stage-finished': {
          const took = `${sanitise(event.summary)} (${formatDuration(event.milliseconds)})`;
          line(live ? `${paint('green', '✓')} ${paint('bold', event.stage)} ${took}` : `${event.stage}: done: ${took}`);
        }
      }
    },
  };
}

/** `bake  ████████░░░░░░░░░░░░  41%  7.9 of 19.3 MB  38 MB/s  2 s left  conv_in.weight` */
function statusLine(
  { stage, done, total, unit, detail }: Advance,
  pace: { elapsed: number; advanced: number },
): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(share * BAR_WIDTH);
  const rate = pace.elapsed >= MIN_RATE_TIME ? pace.advanced / pace.elapsed : 0;
  return [
    stage,
    '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled),
    `${Math.floor(share * 100)}%`.padStart(4),
    unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done} of ${total} ${unit}`,
    ...(rate > 0 && unit === 'bytes' ? [`${formatBytes(Math.round(rate * 1000))}/s`] : []),
    ...(rate > 0 && done < total ? [`${formatDuration((total - done) / rate)} left`] : []),
    ...(detail === undefined ? [] : [sanitise(detail)]),
  ].join('  ');
}

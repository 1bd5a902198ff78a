/**
 * Events for somebody who watches. On a terminal: one line that is drawn over, at most ten times a second, and a lasting one for
 * whatever ends; above it, where previews are wanted, the picture of the last step. Elsewhere, as in a log: one plain line per
 * stage, check and warning.
 */
import type { CheckVerdict, Event, Preview, StageName, Tile } from '../events.ts';
import { type Moment, progressBar, progressNumbers, rateBetween } from '../text/progress.ts';
import { formatDuration } from '../text/quantity.ts';
import { type Output, type Paint, sanitise } from '../text/terminal.ts';
import { halfBlocks, resize, sizeIn } from '../tui/pixels.ts';

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
  /** Bits per colour of the terminal, as of getColorDepth(); 1 for none. Pictures are drawn in colours only. */
  readonly depth?: number;
  /** Warnings only. */
  readonly quiet: boolean;
  /** Milliseconds; grows only. */
  readonly now?: () => number;
}

/** Faster than this nobody sees. */
const MIN_INTERVAL = 100;
const BAR_WIDTH = 20;
const [DEFAULT_COLUMNS, DEFAULT_ROWS] = [80, 24];
/** Back to the first column and erase to the end of the line (ECMA-48: EL). */
const WIPE = '\r\u001b[K';
/** The same from so many lines above to the end of the screen (CUU, ED). */
const wipeFrom = (above: number) => (above === 0 ? WIPE : `\r\u001b[${above}A\u001b[J`);
/** Rows of a picture: what was said before it is to stay in sight. */
const MAX_PICTURE_ROWS = 20;

type Verdict = CheckVerdict | 'not checked';

const MARKS: Readonly<Record<Verdict, readonly [mark: string, style: 'green' | 'red' | 'yellow' | 'dim']>> = {
  passed: ['✓', 'green'],
  failed: ['✗', 'red'],
  unknown: ['?', 'yellow'],
  'not checked': ['–', 'dim'],
};

const VERDICTS: Readonly<Record<Verdict, string>> = {
  passed: 'passed',
  failed: 'failed',
  unknown: 'could not tell',
  'not checked': 'not checked',
};

type Advance = Extract<Event, { type: 'progress' }>;

export function createProgress({
  output,
  paint,
  live,
  depth = 1,
  quiet,
  now = () => performance.now(),
}: ProgressOptions): Progress {
  let drawn = false;
  let drawnAt = -Infinity;
  let status = '';
  /** Of the stage that works, and how many lines of it are on the screen. */
  let picture: string | undefined;
  let above = 0;
  /** Where each stage was when it first told; what came before (loading, compiling) says nothing of its pace. */
  const first = new Map<StageName, Moment & Pick<Advance, 'unit'>>();

  const end = () => {
    if (drawn) output.write(wipeFrom(above));
    drawn = false;
    above = 0;
  };
  const line = (text: string) => {
    end();
    output.write(`${text}\n`);
  };
  const draw = (text: string) => {
    const renewed = picture !== undefined && above === 0 ? `${picture}\n` : '';
    output.write(`${WIPE}${renewed}${text.slice(0, (output.columns || DEFAULT_COLUMNS) - 1)}`);
    if (renewed !== '') above = renewed.split('\n').length - 1;
    status = text;
    drawn = true;
    drawnAt = now();
  };
  const drawPicture = ({ width, height, pixels }: Preview) => {
    const rows = Math.min(MAX_PICTURE_ROWS, (output.rows || DEFAULT_ROWS) - 2);
    const size = sizeIn({ width, height }, { columns: (output.columns || DEFAULT_COLUMNS) - 1, rows });
    end();
    picture = halfBlocks(resize({ width, height, data: pixels }, size), depth).join('\n');
    draw(status);
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
          picture = undefined;
          if (live) draw(`${event.stage}  ${sanitise(event.subject)}`);
          else line(`${event.stage}: ${sanitise(event.subject)}`);
          return;
        case 'progress': {
          const moment = { at: now(), done: event.done, unit: event.unit };
          const known = first.get(event.stage);
          const since = known?.unit === event.unit ? known : moment;
          first.set(event.stage, since);
          if (live && (moment.at - drawnAt >= MIN_INTERVAL || event.done === event.total))
            draw(statusLine(event, rateBetween(since, moment)));
          return;
        }
        case 'preview':
          if (live && depth > 1) drawPicture(event);
          else line(`${event.stage}: step ${event.step} of ${event.total}`);
          return;
        case 'tile':
          line(`${event.stage}: clip ${event.index + 1} of ${event.total}: ${sanitise(tileText(event))}`);
          return;
        case 'check': {
          const [mark, style] = MARKS[event.verdict];
          line(`${live ? paint(style, mark) : `check ${event.verdict}:`} ${event.id}: ${sanitise(event.reason)}`);
          return;
        }
        case 'finding': {
          const [mark, style] = MARKS[event.verdict];
          line(
            `${live ? paint(style, mark) : 'finding:'} ${event.id} ${VERDICTS[event.verdict]}: ${sanitise(event.reason)}`,
          );
          return;
        }
        case 'stage-finished': {
          if (picture !== undefined) line(picture); // the last one stays
          picture = undefined;
          const took = `${sanitise(event.summary)} (${formatDuration(event.milliseconds)})`;
          line(live ? `${paint('green', '✓')} ${paint('bold', event.stage)} ${took}` : `${event.stage}: done: ${took}`);
        }
      }
    },
  };
}

/** `out/ink, 238 ms, distance 12.3 · motion 4.1` */
function tileText({ label, milliseconds, note }: Tile): string {
  return [label, formatDuration(milliseconds), ...(note === undefined ? [] : [note])].join(', ');
}

/** `bake  ████████░░░░░░░░░░░░  41%  7.9 MB of 19.3 MB  38 MB/s  2 s left  conv_in.weight` */
function statusLine({ stage, detail, ...amount }: Advance, rate: number | undefined): string {
  return [
    stage,
    progressBar(amount, BAR_WIDTH),
    ...progressNumbers(amount, rate),
    ...(detail === undefined ? [] : [sanitise(detail)]),
  ].join('  ');
}

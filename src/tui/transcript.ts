/**
 * The screen for a screen reader: text that only goes on. Of each picture of the screen that Ink makes, what was not said
 * before is written below what was; nothing is erased, and nothing is written when nothing changes.
 */
import { Writable } from 'node:stream';

/** Milliseconds in which changes are one. */
const SETTLE = 60;
/** Milliseconds after which a line of which only figures have changed is said again. */
const COUNTING = 10_000;
/** So long after a key it is the answer to it, and said at once. */
const ANSWER = 1000;

type Terminal = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  getColorDepth?(): number;
};

export interface Transcript extends Writable {
  /** A key was pressed. */
  readonly pressed: () => void;
}

/** For Ink's debug mode, which writes every picture whole and once. Sequences for the terminal pass as they are. */
export function createTranscript(terminal: Terminal, now: () => number = () => performance.now()): Transcript {
  let latest: readonly string[] = [];
  let said: readonly string[] = [];
  let [keyAt, timer]: [number, NodeJS.Timeout | undefined] = [-Infinity, undefined];
  const saidAt = new Map<string, number>();

  const wait = (milliseconds: number) => {
    timer ??= setTimeout(say, milliseconds);
  };
  const say = () => {
    timer = undefined;
    const at = now();
    const mayCount = at - keyAt < ANSWER + SETTLE;
    const isDue = (shape: string) => mayCount || at - (saidAt.get(shape) ?? -Infinity) >= COUNTING;
    const news = changes(said, latest, isDue);
    for (const line of news.lines) saidAt.set(shapeOf(line), at);
    const text = writing(said, latest, news.lines);
    said = news.known;
    if (text !== '') terminal.write(text);
    if (news.isHeld) wait(COUNTING);
  };

  const transcript = new Writable({
    decodeStrings: false,
    write(chunk: string, _, done) {
      if (chunk.startsWith('\u001b')) terminal.write(chunk);
      else {
        latest = linesOf(chunk);
        if (timer !== undefined) clearTimeout(timer);
        timer = undefined;
        wait(SETTLE);
      }
      done();
    },
    final(done) {
      clearTimeout(timer);
      done();
    },
  });
  terminal.on('resize', () => transcript.emit('resize'));
  return Object.defineProperties(Object.assign(transcript, { pressed: () => void (keyAt = now()) }), {
    isTTY: { get: () => terminal.isTTY },
    columns: { get: () => terminal.columns },
    rows: { get: () => terminal.rows },
  });
}

const linesOf = (picture: string): readonly string[] =>
  picture
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** A figure with its unit. */
const FIGURE = /\d[\d.,]*(?: ?(?:ms|s|min|h|bytes|[kMG]B)\b)?(?:\/s)?/g;

const shapeOf = (line: string): string => line.replace(FIGURE, '#');

const SELECTED = 'selected: ';

interface Changes {
  readonly lines: readonly string[];
  /** What counts as said from now on: of a line that is held back, what was said of it before. */
  readonly known: readonly string[];
  readonly isHeld: boolean;
}

/** Lines of `after` that are not in `before`; that something is no longer selected goes without saying. */
export function changes(
  before: readonly string[],
  after: readonly string[],
  isDue: (shape: string) => boolean,
): Changes {
  const known = new Set(before);
  const shapes = new Map(before.map((line) => [shapeOf(line), line]));
  const lines: string[] = [];
  let isHeld = false;
  const kept = after.map((line) => {
    if (known.has(line) || known.has(SELECTED + line)) return line;
    const shape = shapeOf(line);
    const earlier = shapes.get(shape);
    if (earlier !== undefined && !isDue(shape)) {
      isHeld = true;
      return earlier;
    }
    lines.push(line);
    return line;
  });
  return { lines, known: kept, isHeld };
}

/** A last line that only grows, or shrinks, is one that is typed: what was written of it is not written again. */
function writing(before: readonly string[], after: readonly string[], lines: readonly string[]): string {
  const [was = '', is = ''] = [before.at(-1), after.at(-1)];
  const isTyped = lines.length <= 1 && was !== is && was !== '' && /: /.test(`${was} `);
  if (isTyped && lines[0] === is && is.startsWith(was)) return is.slice(was.length);
  if (isTyped && lines[0] === is && was.startsWith(is)) return '\b \b'.repeat([...was.slice(is.length)].length);
  return lines.map((line) => `\n${line}`).join('');
}

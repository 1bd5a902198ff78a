/**
 * What a command is given besides its arguments, and the one place where results, errors and events are written: the result alone
 * goes to stdout, everything else to stderr. Commands know neither JSON nor terminals.
 */
import { drain, type Event, type Stage } from '../events.ts';
import { type Failure, Interruption } from '../exit-codes.ts';
import { type Paint, painter, sanitise } from '../text/terminal.ts';
import type { OutputOptions } from './args.ts';
import type { Arguments, Verb } from './command-table.ts';
import { createProgress } from './progress.ts';

export interface Context {
  /** Aborted by Ctrl-C, by SIGTERM, by the terminal's end, and when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  /** For text that goes to stdout. */
  readonly paint: Paint;
  /** Runs a stage to its end and shows its events. */
  follow<Result>(stage: Stage<Result>): Promise<Result>;
}

/** What a command gives back: the same result twice. */
export interface Outcome {
  /** For people; empty for none. */
  readonly text: string;
  /** For programs: one JSON object. */
  readonly value: object;
  /** What went wrong although a result was made; goes to stderr. */
  readonly complaint?: string;
  readonly exitCode?: number;
}

export type Command<V extends Verb> = (args: Arguments<V>, context: Context) => Promise<Outcome>;

export interface Console extends Context {
  finish(outcome: Outcome): Promise<void>;
  fail(failure: Failure): Promise<void>;
  /** A line for people, also with --quiet. */
  say(text: string): void;
}

/** Work whose results cannot be written any more is stopped. */
export function stopWhenUnwritable(controller: AbortController): void {
  process.stdout.on('error', (error) => controller.abort(unwritable(error)));
  process.stderr.on('error', () => undefined); // there is nobody left to tell
}

/** An event as NDJSON has it: pixels become a WebP picture in base64, a tenth of their size. */
async function withPicture(event: Event): Promise<object> {
  if (event.type !== 'preview' && event.type !== 'tile') return event;
  const [{ encodeWebp, encodeAnimatedWebp }, { CLIP_FPS }] = await Promise.all([
    import('../runtime/frame-files.ts'),
    import('../runtime/frames.ts'),
  ]);
  const base64 = (webp: Uint8Array) => Buffer.from(webp).toString('base64');
  if (event.type === 'tile') {
    const { frames, ...rest } = event;
    const { width, height, count } = frames;
    return {
      ...rest,
      width,
      height,
      count,
      webp: base64(await encodeAnimatedWebp(frames, { fps: CLIP_FPS, lossless: false })),
    };
  }
  const { pixels, ...rest } = event;
  return {
    ...rest,
    webp: base64(await encodeWebp({ width: event.width, height: event.height, count: 1, data: pixels }, 0)),
  };
}

/** That nobody reads any more is no error, but a reason to stop. */
function unwritable(error: Error): Error {
  return 'code' in error && error.code === 'EPIPE' ? new Interruption('EPIPE') : error;
}

/** Resolves when the system has taken `text`. */
export function writeResult(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(unwritable(error)) : resolve()));
  });
}

export function createConsole(signal: AbortSignal, { mode, quiet, color, preview }: OutputOptions): Console {
  const {
    stdout,
    stderr,
    env: { TERM },
  } = process;
  const paintError = painter(stderr, color);
  const progress = createProgress({
    output: stderr,
    paint: paintError,
    live: stderr.isTTY === true && TERM !== 'dumb',
    depth: stderr.isTTY && color ? stderr.getColorDepth() : 1,
    quiet: quiet || mode === 'stream',
  });
  const json = (value: object) => `${JSON.stringify(value)}\n`;
  const show = async (event: Event) => {
    if (event.type === 'latents' || (event.type === 'preview' && !preview)) return;
    progress.show(event);
    if (mode === 'stream') stdout.write(json(await withPicture(event)));
  };
  return {
    signal,
    paint: painter(stdout, color),
    follow: (stage) => drain(stage, show),
    say: (text) => progress.line(text),
    async finish({ text, value, complaint }) {
      progress.end();
      if (complaint !== undefined) progress.line(`${paintError('red', 'error:')} ${sanitise(complaint)}`);
      if (mode === 'stream') await writeResult(json({ type: 'result', ...value }));
      else if (mode === 'object') await writeResult(json(value));
      else if (text !== '') await writeResult(text.endsWith('\n') ? text : `${text}\n`);
    },
    async fail({ exitCode, kind, message, place }) {
      progress.line(`${paintError('red', 'error:')} ${sanitise(message)}`);
      const value = { error: { kind, message, place }, exitCode };
      if (mode === 'stream') await writeResult(json({ type: 'error', ...value }));
      else if (mode === 'object') await writeResult(json(value));
    },
  };
}

/**
 * A terminal of xterm's own making (@xterm/headless) with the terminal UI on it, and keys to press. What Ink writes is replayed
 * by a real terminal emulator; only the line discipline is left out (`convertEol` stands for the tty's ONLCR).
 */
import { PassThrough, Writable } from 'node:stream';
import type { Terminal } from '@xterm/headless';
import { onTestFinished, vi } from 'vitest';
import { type LcmMergeError, RuntimeFailure } from '../../src/errors.ts';
import type { Event, Stage } from '../../src/events.ts';
import { openTui } from '../../src/tui/main.tsx';
import { createServices, type Services } from '../../src/tui/services.ts';
import { createTerminal } from '../../tools/terminal/cells.ts';

export const KEYS = {
  enter: '\r',
  escape: '\u001b',
  tab: '\t',
  down: '\u001b[B',
  up: '\u001b[A',
  ctrlC: '\u0003',
} as const;

export interface Screen {
  readonly terminal: Terminal;
  /** Everything that was written, unread. */
  readonly raw: () => string;
  /** The lines that can be seen. */
  readonly text: () => string;
  readonly press: (...keys: readonly string[]) => void;
  readonly resize: (columns: number, rows: number) => void;
  /** Waits until `text()` contains all of these. */
  readonly shows: (...texts: readonly string[]) => Promise<void>;
  /** What openTui gives back. */
  readonly left: Promise<number>;
  /** Raw mode as the program has set it. */
  readonly isRaw: () => boolean;
}

export interface ScreenOptions {
  readonly columns?: number;
  readonly rows?: number;
  /** As of getColorDepth(). */
  readonly depth?: number;
  readonly services?: Partial<Services>;
  readonly signal?: AbortSignal;
}

export function openScreen({ columns = 80, rows = 24, depth = 24, services, signal }: ScreenOptions = {}): Screen {
  const terminal = createTerminal({ cols: columns, rows, convertEol: true });
  let raw = '';
  let isRaw = false;
  const stdout = Object.assign(
    new Writable({
      write(chunk: Buffer, _, done) {
        raw += chunk;
        terminal.write(chunk, done);
      },
    }),
    { isTTY: true, columns, rows, getColorDepth: () => depth },
  );
  const stdin = Object.assign(new PassThrough(), {
    isTTY: true,
    setRawMode: (wanted: boolean) => {
      isRaw = wanted;
    },
    ref: () => undefined,
    unref: () => undefined,
  });
  const end = new AbortController();
  const left = openTui({
    stdin,
    stdout,
    services: { ...createServices(), findPackages: async () => [], ...services },
    signal: signal ? AbortSignal.any([signal, end.signal]) : end.signal,
  });
  onTestFinished(async () => {
    end.abort();
    await left.catch(() => undefined);
  });
  left.catch(() => undefined); // whoever awaits it still gets it
  const text = () => {
    const { active } = terminal.buffer;
    return Array.from(
      { length: terminal.rows },
      (_, y) => active.getLine(active.viewportY + y)?.translateToString(true) ?? '',
    ).join('\n');
  };
  return {
    terminal,
    raw: () => raw,
    text,
    press: (...keys) => {
      for (const key of keys) stdin.write(key);
    },
    resize: (wide, high) => {
      terminal.resize(wide, high);
      Object.assign(stdout, { columns: wide, rows: high });
      stdout.emit('resize');
    },
    shows: (...texts) =>
      vi.waitFor(
        () => {
          const missing = texts.filter((wanted) => !text().includes(wanted));
          if (missing.length > 0) throw new Error(`The screen does not show ${JSON.stringify(missing)}:\n${text()}`);
        },
        { timeout: 10_000, interval: 10 },
      ),
    left,
    isRaw: () => isRaw,
  };
}

export interface ControlledStage<Result> {
  /** The stage; stands still until something is sent, and rejects when it is aborted. */
  readonly run: (signal: AbortSignal) => Stage<Result>;
  readonly send: (...events: readonly Event[]) => void;
  readonly finish: (result: Result) => void;
  readonly fail: (error: LcmMergeError) => void;
  /** Whether it has been run to an end, of whatever kind. */
  readonly hasEnded: () => boolean;
}

export function controlStage<Result>(): ControlledStage<Result> {
  const steps: (() => Event | { readonly result: Result })[] = [];
  let wake: () => void = () => undefined;
  let ended = false;
  const push = (step: (typeof steps)[number]) => {
    steps.push(step);
    wake();
  };
  return {
    async *run(signal) {
      try {
        for (;;) {
          signal.throwIfAborted();
          const step = steps.shift()?.();
          if (step === undefined) {
            await new Promise<void>((resolve) => {
              wake = resolve;
              signal.addEventListener('abort', () => resolve(), { once: true });
            });
          } else if ('result' in step) return step.result;
          else yield step;
        }
      } finally {
        ended = true;
      }
    },
    send: (...events) => {
      for (const event of events) push(() => event);
    },
    finish: (result) => push(() => ({ result })),
    fail: (error) =>
      push(() => {
        throw error;
      }),
    hasEnded: () => ended,
  };
}

export const deviceLost = new RuntimeFailure('The device was lost in step 2 of 4.');

/**
 * What a failure is called and which exit code it has: one table (sysexits where one fits, 128 + signal for interruptions),
 * one function from anything thrown to what is told of it.
 */
import { type ErrorKind, LcmMergeError, type Place } from './errors.ts';
import { ioError } from './formats/byte-source.ts';

export const EXIT_CODES = {
  done: 0,
  refused: 1,
  usage: 2,
  data: 65,
  'no-input': 66,
  unavailable: 69,
  internal: 70,
  io: 74,
  SIGHUP: 129,
  SIGINT: 130,
  SIGTERM: 143,
} as const;

type Outcome = keyof typeof EXIT_CODES;

export const EXIT_MEANINGS: Readonly<Record<Outcome, string>> = {
  done: 'done',
  refused: 'verification failed or could not tell, publication was refused, or packages differ where that was asked',
  usage: 'the command line asks for something that cannot be done',
  data: 'the recipe or a weight file is wrong, or they do not fit together',
  'no-input': 'a file or folder is missing',
  unavailable: 'a device or service is not to be had',
  internal: 'a device failed in mid-run, or lcm-merge has a fault',
  io: 'reading or writing failed: disk full, permissions',
  SIGHUP: 'the terminal was closed',
  SIGINT: 'interrupted (Ctrl-C)',
  SIGTERM: 'terminated',
};

const BY_KIND = {
  usage: 'usage',
  recipe: 'data',
  format: 'data',
  merge: 'data',
  'input-missing': 'no-input',
  io: 'io',
  runtime: 'internal',
  verification: 'refused',
  publish: 'refused',
  unavailable: 'unavailable',
} as const satisfies Record<ErrorKind, Outcome>;

/** The signals that ask a process to end. */
export const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;
export type Signal = (typeof SIGNALS)[number];

/** Why work was stopped from outside. `EPIPE`: nobody reads stdout any more. */
type InterruptionCause = Signal | 'EPIPE';

/** The reason that the process's AbortSignal carries. */
export class Interruption extends Error {
  override readonly name = 'Interruption' as const;
  override readonly cause: InterruptionCause;

  constructor(cause: InterruptionCause) {
    super(`Stopped by ${cause}; what was unfinished has been removed.`);
    this.cause = cause;
  }
}

export interface Failure {
  readonly exitCode: number;
  readonly kind: ErrorKind | 'interrupted' | 'internal';
  readonly message: string;
  readonly place: Place;
  /** There is nobody to tell it to. */
  readonly silent?: boolean;
}

/** Turns whatever was thrown into what is told; once `signal` is aborted, every error is a consequence of that. */
export function failureOf(
  thrown: unknown,
  { signal, debug = false }: { signal?: AbortSignal; debug?: boolean } = {},
): Failure {
  const error: unknown = signal?.aborted ? signal.reason : thrown;
  if (error instanceof Interruption) {
    const unread = error.cause === 'EPIPE';
    return {
      exitCode: EXIT_CODES[unread ? 'io' : error.cause],
      kind: 'interrupted',
      message: error.message,
      place: {},
      silent: unread,
    };
  }
  if (error instanceof LcmMergeError) {
    return { exitCode: EXIT_CODES[BY_KIND[error.kind]], kind: error.kind, message: error.message, place: error.place };
  }
  return systemFailure(error) ?? internalFailure(error, debug);
}

/** Not the file that is copied lacks space, but where it goes. */
const FULL: readonly unknown[] = ['ENOSPC', 'EDQUOT', 'EROFS'];

const NOT_THERE: readonly unknown[] = ['ENOENT', 'ENOTDIR'];

/** What is done to inputs; when an output has no place, that is another matter. */
const READING: readonly unknown[] = ['open', 'stat', 'lstat', 'access', 'scandir', 'read'];

/** What node:fs throws when it was not expected to: disk full, permissions, a file that went away. */
function systemFailure(error: unknown): Failure | undefined {
  if (!(error instanceof Error && 'syscall' in error && 'code' in error)) return undefined;
  const { path: from, dest } = error as NodeJS.ErrnoException & { dest?: unknown };
  const path = FULL.includes(error.code) && typeof dest === 'string' ? dest : from;
  const { message } = ioError(String(error.syscall), path ?? 'An open file', error);
  const kind = NOT_THERE.includes(error.code) && READING.includes(error.syscall) ? 'input-missing' : 'io';
  return { exitCode: EXIT_CODES[BY_KIND[kind]], kind, message, place: path === undefined ? {} : { file: path } };
}

function internalFailure(error: unknown, debug: boolean): Failure {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const message = debug
    ? (error instanceof Error && error.stack) || what
    : `${what}\nThis is a fault of lcm-merge itself. With LCM_MERGE_DEBUG=1 in the environment it says where; please report that.`;
  return { exitCode: EXIT_CODES.internal, kind: 'internal', message, place: {} };
}

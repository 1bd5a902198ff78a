/** What a terminal must be able to do for somebody to sit in front of it, and the keys that it has. */
import type { Cells } from './cells.ts';

/** By the names that tmux has for them, which are also what it is told. */
export const KEYS = {
  Enter: '\r',
  Escape: '\u001b',
  Tab: '\t',
  BTab: '\u001b[Z',
  BSpace: '\u007f',
  Up: '\u001b[A',
  Down: '\u001b[B',
  Right: '\u001b[C',
  Left: '\u001b[D',
  Home: '\u001b[H',
  End: '\u001b[F',
  PPage: '\u001b[5~',
  NPage: '\u001b[6~',
  'C-c': '\u0003',
  'C-r': '\u0012',
} as const;

export type KeyName = keyof typeof KEYS;

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

/** A terminal with something running in it. */
export interface Wire extends AsyncDisposable {
  type(key: { readonly name: KeyName } | { readonly text: string }): Promise<void>;
  resize(size: Size): Promise<void>;
  cells(): Promise<Cells>;
  modes(): Promise<Modes>;
}

export interface Modes {
  /** Whether the other screen is shown, which a program takes for itself. */
  readonly alternate: boolean;
  readonly cursor: boolean;
}

export interface WireOptions extends Size {
  /** For files of the session; removed after it. */
  readonly folder: string;
  /** A file that `sh` runs in the terminal. It writes the name of that into the file `tty` of `folder`. */
  readonly script: string;
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
}

export interface Driver {
  readonly name: 'tmux' | 'script';
  /** How to ask for its version, which it has if it is what is wanted. */
  readonly version: readonly [command: string, argument: string, pattern: RegExp];
  open(options: WireOptions): Promise<Wire>;
}

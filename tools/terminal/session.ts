/**
 * A program in a terminal of its own, as a person sits in front of it: keys go in through a real tty, what is read is what a terminal
 * shows. The terminal is tmux where that is installed, else xterm's headless one behind util-linux's `script`.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Cells, textOf } from './cells.ts';
import { type Driver, KEYS, type KeyName, type Modes, type Size } from './driver.ts';
import { scriptDriver } from './script.ts';
import { tmuxDriver } from './tmux.ts';

export const DRIVERS: readonly Driver[] = [tmuxDriver, scriptDriver];

/** Those that work on this machine, the one to be preferred first, each with its version. */
export async function findDrivers(): Promise<readonly (Driver & { readonly found: string })[]> {
  const asked = DRIVERS.map(async (driver) => {
    const [command, argument, pattern] = driver.version;
    const { stdout } = await promisify(execFile)(command, [argument]).catch(() => ({ stdout: '' }));
    return pattern.test(stdout) ? [{ ...driver, found: stdout.trim() }] : [];
  });
  return (await Promise.all(asked)).flat();
}

export interface SessionOptions extends Partial<Size> {
  readonly driver: Driver;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env?: NodeJS.ProcessEnv;
}

export interface Session extends AsyncDisposable {
  /** Each is a key by its name, or text to type. */
  press(...keys: readonly (KeyName | (string & {}))[]): Promise<void>;
  cells(): Promise<Cells>;
  text(): Promise<string>;
  /** Waits until `text()` contains all of `texts`. @throws with the screen as it is after `seconds`. */
  shows(texts: string | readonly string[], seconds?: number): Promise<void>;
  resize(columns: number, rows: number): Promise<void>;
  modes(): Promise<Modes>;
  /** The exit code of the program. A shell takes its place, in the same terminal, with what `stty -g` said before in $BEFORE. @throws with the screen if it goes on. */
  ended(seconds?: number): Promise<number>;
  /** Of the program. */
  pid(): Promise<number>;
}

/** Seconds that a loaded machine may take to answer. */
const PATIENCE = 20;
/** Milliseconds between two looks. */
const INTERVAL = 25;

/** Opens a terminal with `argv` in it. However this process ends, the terminal ends with it; what runs in it is hung up on. */
export async function openSession({
  driver,
  argv,
  cwd,
  env = {},
  columns = 80,
  rows = 24,
}: SessionOptions): Promise<Session> {
  const folder = await mkdtemp(join(tmpdir(), 'lcm-merge-terminal-'));
  const files = { pid: join(folder, 'pid'), code: join(folder, 'code'), tty: join(folder, 'tty') };
  const script = join(folder, 'script.sh');
  await writeFile(script, scriptFor(argv, files, { columns, rows }));
  const { PATH, HOME, TMPDIR } = process.env;
  const wire = await driver.open({
    folder,
    script,
    cwd,
    env: { PATH, HOME, TMPDIR, LANG: 'C.UTF-8', COLORTERM: 'truecolor', ...env },
    columns,
    rows,
  });

  const text = async () => textOf(await wire.cells());
  const until = async <Value>(look: () => Promise<Value | undefined>, seconds: number, wanted: string) => {
    for (const end = performance.now() + 1000 * seconds; ; await setTimeout(INTERVAL)) {
      const found = await look();
      if (found !== undefined) return found;
      if (performance.now() > end) throw new Error(`In ${seconds} s ${wanted} The screen shows:\n${await text()}`);
    }
  };
  const numberIn = async (file: string) => {
    const written = await readFile(file, 'utf8').catch(() => '');
    return written.endsWith('\n') ? Number(written) : undefined;
  };
  const pid = () => until(() => numberIn(files.pid), PATIENCE, 'the program did not start.');
  return {
    pid,
    text,
    cells: wire.cells,
    modes: wire.modes,
    async press(...keys) {
      for (const key of keys) await wire.type(Object.hasOwn(KEYS, key) ? { name: key as KeyName } : { text: key });
    },
    async shows(texts, seconds = PATIENCE) {
      const wanted = [texts].flat();
      await until(
        async () => {
          const shown = await text();
          return wanted.every((one) => shown.includes(one)) ? true : undefined;
        },
        seconds,
        `${JSON.stringify(wanted)} did not appear.`,
      );
    },
    resize: (wide, high) => wire.resize({ columns: wide, rows: high }),
    ended: (seconds = PATIENCE) => until(() => numberIn(files.code), seconds, 'the program did not end.'),
    async [Symbol.asyncDispose]() {
      const program = await numberIn(files.pid);
      await wire[Symbol.asyncDispose]();
      if (program !== undefined && (await numberIn(files.code)) === undefined) await end(program);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Milliseconds that a program has to tidy up when its terminal is gone. */
const GRACE = 3000;

/** Hung up on, a program ends by itself; one that does not is ended. */
async function end(pid: number): Promise<void> {
  for (const last = performance.now() + GRACE; isAlive(pid); await setTimeout(INTERVAL))
    if (performance.now() > last) process.kill(pid, 'SIGKILL');
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function scriptFor(
  argv: readonly string[],
  files: Readonly<Record<'pid' | 'code' | 'tty', string>>,
  { columns, rows }: Size,
): string {
  return `stty cols ${columns} rows ${rows}
tty > ${quoted(files.tty)}
export BEFORE=$(stty -g)
sh -c 'echo $$ > "$0"; exec "$@"' ${[files.pid, ...argv].map(quoted).join(' ')}
echo $? > ${quoted(files.code)}
PS1='$ ' exec sh -i
`;
}

function quoted(argument: string): string {
  return `'${argument.replaceAll("'", "'\\''")}'`;
}

/**
 * A pseudo-terminal with a shell on it that runs a command and then asks the terminal itself how it was left. util-linux's `script`
 * makes the terminal; keys go in through its stdin.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { vi } from 'vitest';

export interface Pty {
  readonly script: ChildProcess;
  /** Everything that was written to the terminal. */
  readonly output: () => string;
  readonly press: (keys: string) => void;
  readonly shows: (text: string) => Promise<void>;
  /** Exit code of the command, the settings of the line before and after it (`stty -g`), what was written after the alternate screen was left. */
  readonly end: () => Promise<{ code: number; before: string; after: string; rest: string }>;
}

/** Runs `command`, of which `"$PID"` is written to the terminal first. */
export function openPty(command: string, env: Readonly<Record<string, string>> = {}): Pty {
  // the shell stays to read the terminal's state; the command is a job of its own, as in an interactive shell
  const program = `stty cols 80 rows 24; echo "[before $(stty -g)]"; ${command}; code=$?; echo "[after $(stty -g)] [code $code]"`;
  const script = spawn('script', ['-qec', `bash -c ${quote(program)}`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, TERM: 'xterm-256color', SHELL: '/bin/bash', ...env },
  });
  let output = '';
  script.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  script.stdin?.on('error', () => undefined);
  const closed = once(script, 'close');
  return {
    script,
    output: () => output,
    press: (keys) => script.stdin?.write(keys),
    shows: (text) =>
      vi.waitFor(
        () => {
          if (!output.includes(text)) throw new Error(`The terminal does not show ${text}: ${JSON.stringify(output)}`);
        },
        { timeout: 60_000, interval: 20 },
      ),
    async end() {
      await closed;
      const found = (what: string) =>
        new RegExp(`\\[${what} ([^\\]]+)\\]`).exec(output)?.[1] ?? `no ${what}: ${output}`;
      const rest = output.slice(output.lastIndexOf('\u001b[?1049l'));
      return { code: Number(found('code')), before: found('before'), after: found('after'), rest };
    },
  };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** What is on and off at the end, of the modes that a screen turns on. */
export function modesOf(output: string): Record<'alternate screen' | 'cursor' | 'bracketed paste', boolean> {
  const last = (mode: number, initial: boolean) => {
    const set = [...output.matchAll(new RegExp(`\\u001b\\[\\?${mode}([hl])`, 'g'))].at(-1)?.[1];
    return set === undefined ? initial : set === 'h';
  };
  return { 'alternate screen': last(1049, false), cursor: last(25, true), 'bracketed paste': last(2004, false) };
}

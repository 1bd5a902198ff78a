/** Stages that do one thing each, for what can happen to a stage in a process of its own. */
import { spawn } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as errors from '../../src/errors.ts';
import type { Event, Stage } from '../../src/events.ts';

interface Options {
  readonly signal?: AbortSignal | undefined;
}

export const told = (done: number): Event => ({ type: 'progress', stage: 'bake', done, total: 0, unit: 'tensors' });

export const ERRORS = {
  recipe: () =>
    new errors.RecipeError(['a.yaml:1:2: One.', 'a.yaml:3:4: Two.'], { file: 'a.yaml', line: 1, column: 2 }),
  format: () =>
    new errors.FormatError('f: Damaged.', { file: 'f', tensor: 't', offset: 9 }, { cause: new RangeError('Beyond.') }),
  runtime: () => new errors.RuntimeFailure('Lost.', { blame: 'memory' }),
  unavailable: () => new errors.UnavailableError('No card.', 'Buy one.'),
  system: () => Object.assign(new Error('EACCES: no'), { code: 'EACCES', syscall: 'open', path: '/etc/secret' }),
  type: () => new TypeError('x is not a function'),
  unclonable: () => Object.assign(new errors.MergeError('Odd.'), { helper: () => 1 }),
};

export const ODD_STAGES = {
  /** `n` events; gives back what it was given and arrays of numbers. */
  count: async () =>
    async function* count(n: number, { signal: _, ...rest }: Options & { readonly extra?: unknown }) {
      for (let i = 0; i < n; i++) yield told(i);
      const numbers = Float32Array.of(0, 1, 2, 3).subarray(1, 3);
      return { rest, numbers, bytes: Uint8Array.of(7, 8), pid: process.pid };
    },
  fail: async () =>
    async function* fail(kind: keyof typeof ERRORS, _: Options): Stage<never> {
      yield told(0);
      throw ERRORS[kind]();
    },
  /** Holds `file` while it works; how often it has told is written in it. */
  work: async () =>
    async function* work(file: string, { signal, pause }: Options & { readonly pause?: number }): Stage<never> {
      try {
        for (let i = 1; ; i++) {
          signal?.throwIfAborted();
          writeFileSync(file, String(i));
          yield told(i);
          if (pause !== undefined) await sleep(pause);
        }
      } finally {
        await sleep(50); // cleaning up takes a while
        rmSync(file);
      }
    },
  /** Has a child of its own, whose id it tells; hears no signal. */
  deaf: async () =>
    async function* deaf(_: Options): Stage<never> {
      const { pid = 0 } = spawn('sleep', ['1000'], { stdio: 'ignore' });
      yield told(pid);
      for (;;) await sleep(1000);
    },
  /** Ends its own process. */
  die: async () =>
    async function* die(how: 'abort' | 'exit' | 'kill', _: Options): Stage<never> {
      yield told(process.pid);
      process.stderr.write('terminate called after throwing an instance of Napi::Error\n');
      await sleep(20);
      if (how === 'abort') process.abort();
      if (how === 'kill') process.kill(process.pid, 'SIGKILL');
      process.exit(7);
    },
  /** An error in a callback, which no `await` sees. */
  stray: async () =>
    async function* stray({ signal }: Options): Stage<never> {
      setTimeout(() => {
        throw new errors.IoError('The disk is full.');
      });
      for (;;) {
        yield told(0);
        signal?.throwIfAborted();
        await sleep(5);
      }
    },
  /** Gives what cannot be sent. */
  unsendable: async () =>
    async function* unsendable(_: Options): Stage<() => void> {
      yield told(0);
      return () => undefined;
    },
};

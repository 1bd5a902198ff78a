/**
 * Stages in processes of their own: merging and sampling block the thread they run in, and whoever draws a screen must not wait. The
 * caller has the same `Stage` as if it ran here: events in order, the result, errors of their class; an abort, or leaving early, stops
 * it, and it cleans up. Reference: toolchain.md §1.4 and §1.5.
 */
import { RuntimeFailure } from '../errors.ts';
import type { Stage } from '../events.ts';
import { GRACE, type StageTable } from './messages.ts';
import { unpackError } from './packed-error.ts';
import { startWorker, type Worker } from './worker.ts';

/** The table's stages, called as if they were here. */
export type Remote<Table extends StageTable> = AsyncDisposable & {
  readonly stages: { readonly [Name in keyof Table]: Awaited<ReturnType<Table[Name]>> };
  /** Starts a process that has these loaded when they are asked for. */
  warm(...names: readonly (keyof Table & string)[]): void;
};

export interface RemoteOptions {
  /** What the processes run: it calls `serve` with the same table. */
  readonly entry: URL;
  /** Milliseconds in which a stage that is to stop must have stopped; after that its process is ended. */
  readonly grace?: number;
}

/**
 * One process works on one stage; a second stage at the same time has another. One of them is kept for the next stage, and does not
 * keep this process alive. Disposal stops what runs and waits until it has cleaned up.
 */
export function openRemote<Table extends StageTable>(
  table: Table,
  { entry, grace = GRACE }: RemoteOptions,
): Remote<Table> {
  const workers = new Set<Worker>();
  let spare: Worker | undefined;

  const start = (): Worker => {
    const worker = startWorker(entry);
    workers.add(worker);
    void worker.ended.then(() => workers.delete(worker));
    return worker;
  };
  const take = (): Worker => {
    const worker = spare?.isAlive() ? spare : start();
    spare = undefined;
    worker.hold();
    return worker;
  };
  const giveBack = (worker: Worker) => {
    if (worker.isAlive() && !spare?.isAlive()) {
      spare = worker;
      worker.letGo();
    } else {
      void worker.end();
    }
  };

  /** @throws what the stage throws; the signal's reason; RuntimeFailure when the process dies or does not stop. */
  async function* run(name: string, args: readonly unknown[], signal: AbortSignal | undefined): Stage<unknown> {
    signal?.throwIfAborted();
    const worker = take();
    let deadline: NodeJS.Timeout | undefined;
    let finished = false;
    const stop = () => {
      worker.send({ type: 'abort' });
      deadline ??= setTimeout(() => worker.kill(overdue(name, grace)), grace);
    };
    signal?.addEventListener('abort', stop, { once: true });
    try {
      worker.send({ type: 'start', stage: name, args });
      for (;;) {
        const message = await worker.receive(name);
        if (message.type === 'event') {
          worker.send({ type: 'taken' });
          if (!signal?.aborted) yield message.event;
          continue;
        }
        finished = true;
        if (message.type === 'done') return message.result;
        if (message.last) await worker.end();
        throw signal?.aborted ? signal.reason : unpackError(message.error);
      }
    } finally {
      if (!finished && worker.isAlive()) {
        stop();
        await settle(worker, name);
      }
      clearTimeout(deadline);
      signal?.removeEventListener('abort', stop);
      giveBack(worker);
    }
  }

  const stages = Object.fromEntries(
    Object.keys(table).map((name) => [
      name,
      (...args: unknown[]) => {
        const { signal, ...options } = args.pop() as { signal?: AbortSignal };
        return run(name, [...args, options], signal);
      },
    ]),
  ) as Remote<Table>['stages'];

  return {
    stages,
    warm(...names) {
      const worker = take();
      worker.send({ type: 'load', stages: names });
      giveBack(worker);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...workers].map((worker) => worker.end()));
    },
  };
}

/** The end of a stage that nobody waits for any more, however it ends. */
async function settle(worker: Worker, name: string): Promise<void> {
  try {
    while ((await worker.receive(name)).type === 'event') worker.send({ type: 'taken' });
  } catch (error) {
    if (!(error instanceof RuntimeFailure)) throw error;
  }
}

function overdue(name: string, grace: number): RuntimeFailure {
  return new RuntimeFailure(
    `The process of the stage ${name} was asked to stop, did not do so within ${Math.round(grace / 1000)} s and was ended. What it left unfinished has a name that ends in .partial; the next one at that place removes it.`,
    { blame: 'machine' },
  );
}

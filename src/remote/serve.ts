/**
 * The side of a stage's own process: runs one stage after another and tells what comes of it. It stops, and cleans up, when it is
 * asked to, when its parent is gone, and when an error was caught by nobody.
 */
import { RuntimeFailure } from '../errors.ts';
import { type AnyStage, EVENTS_AHEAD, type FromStage, GRACE, type StageTable, type ToStage } from './messages.ts';
import { packError } from './packed-error.ts';

interface Running {
  readonly controller: AbortController;
  /** Events that may be sent before one is taken. */
  credit: number;
  /** One was taken, or the stage is to stop. */
  wake: () => void;
}

/** Answers this process's parent until that lets go of the channel. */
export function serve(table: StageTable): void {
  let running: Running | undefined;
  /** Ends the process as soon as nothing runs. */
  let leaving = false;

  const start = async (name: string, args: readonly unknown[]) => {
    const job: Running = { controller: new AbortController(), credit: EVENTS_AHEAD, wake: () => undefined };
    running = job;
    const { signal } = job.controller;
    signal.addEventListener('abort', () => job.wake(), { once: true });
    try {
      const load = table[name];
      if (!load) throw new RangeError(`There is no stage ${name}.`);
      await send({ type: 'done', result: await run(await load(), args, job) });
    } catch (error) {
      const reason = packError(signal.aborted ? signal.reason : error);
      await send({ type: 'failed', error: reason, last: leaving });
    }
    if (running === job) running = undefined; // the next one may be here before this one's end is known to be sent
    if (leaving && !running) process.exit(0);
  };

  const leave = (reason: unknown) => {
    leaving = true;
    if (!running) process.exit(0);
    setTimeout(() => process.exit(1), GRACE);
    running.controller.abort(reason);
  };

  process.on('message', (message: ToStage) => {
    switch (message.type) {
      case 'load':
        for (const name of message.stages) table[name]?.().catch(() => undefined); // told when it is to run
        return;
      case 'start':
        void start(message.stage, message.args);
        return;
      case 'taken':
        if (!running) return;
        running.credit += 1;
        running.wake();
        return;
      case 'abort':
        running?.controller.abort(new Error('The caller has stopped this.'));
        return;
      case 'leave':
        leave(new RuntimeFailure('The processes that run stages have been closed.'));
    }
  });
  process.on('disconnect', () => leave(new Error('The process that asked for this is gone.')));
  process.on('uncaughtException', leave);
  process.on('SIGINT', () => undefined); // a terminal's Ctrl-C reaches everybody; when to stop is the parent's decision
  for (const name of ['SIGTERM', 'SIGHUP'] as const) process.on(name, () => leave(new Error(`Stopped by ${name}.`)));
}

async function run(stage: AnyStage, args: readonly unknown[], job: Running): Promise<unknown> {
  const { signal } = job.controller;
  const events = stage(...args.slice(0, -1), { ...(args.at(-1) as object), signal });
  try {
    for (;;) {
      const next = await events.next();
      if (next.done) return next.value;
      if (job.credit === 0 && !signal.aborted) {
        await new Promise<void>((resolve) => {
          job.wake = resolve;
        });
      }
      job.credit -= 1;
      await send({ type: 'event', event: next.value });
    }
  } finally {
    await events.return(undefined);
  }
}

/** Resolves when the message is on its way: one that is only queued would wait for the end of whatever blocks this thread next. */
function send(message: FromStage): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected)
      process.send?.(message, () => resolve()); // who does not listen any more has nothing to be told
    else resolve();
  });
}

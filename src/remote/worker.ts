/**
 * A process that runs stages, seen from the one that has started it: what it says, in order, and how it ended. It leads a group of
 * its own, so that Ctrl-C in a terminal is not its business and nothing that it has started outlives it.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { setPriority } from 'node:os';
import { RuntimeFailure } from '../errors.ts';
import { type FromStage, GRACE, type ToStage } from './messages.ts';

export interface Worker {
  isAlive(): boolean;
  send(message: ToStage): void;
  /** The next thing that it says. @throws RuntimeFailure when it has ended and there is none. */
  receive(stage: string): Promise<FromStage>;
  /** This process waits for it, or does not. */
  hold(): void;
  letGo(): void;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  /** At once, with all that it has started. */
  kill(why: RuntimeFailure): void;
  /** Lets it stop and clean up, and waits for that. */
  end(): Promise<void>;
}

/** Process groups are POSIX's. */
const HAS_GROUPS = process.platform !== 'win32';

/** Of `nice`: whoever draws a screen is answered first where there are fewer cores than work; what is alone is as fast as ever. */
const NICE = 5;

/** Characters of its stderr that are kept: its last words. */
const LAST_WORDS = 2000;

export function startWorker(entry: URL): Worker {
  const child = fork(entry, {
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: HAS_GROUPS,
  });
  giveWay(child);
  const said: FromStage[] = [];
  let wake: () => void = () => undefined;
  let complaint = '';
  let end: { readonly how: string; readonly killed: boolean } | undefined;
  let reason: RuntimeFailure | undefined;
  const { promise: ended, resolve: hasEnded } = Promise.withResolvers<void>();

  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-LAST_WORDS);
  });
  child.on('message', (message: FromStage) => {
    said.push(message);
    wake();
  });
  child.on('exit', () => killGroup(child));
  child.on('error', (error) => {
    if (child.pid === undefined) finish(`could not be started: ${error.message}`, false);
  });
  // not 'exit': what it said last comes before this
  child.on('close', (code, signal) => {
    finish(signal ? `was ended by ${signal}` : `exited with code ${code}`, signal === 'SIGKILL');
  });
  const tell = (message: ToStage) => {
    if (child.connected) child.send(message, () => undefined); // that it is gone is told by its end
  };
  const finish = (how: string, killed: boolean) => {
    end ??= { how, killed };
    wake();
    hasEnded();
  };

  return {
    isAlive: () => end === undefined && child.exitCode === null && child.signalCode === null,
    send: tell,
    async receive(stage) {
      for (;;) {
        const message = said.shift();
        if (message) return message;
        if (end) throw (reason ??= deathOf(stage, end, complaint));
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    ended,
    hold: () => setHeld(child, 'ref'),
    letGo: () => setHeld(child, 'unref'),
    kill(why) {
      reason ??= why;
      killGroup(child);
      child.kill('SIGKILL');
    },
    async end() {
      if (end) return;
      reason ??= new RuntimeFailure('The processes that run stages have been closed.');
      setHeld(child, 'ref');
      tell({ type: 'leave' }); // after disconnect() Node would not tell of its end
      const deadline = setTimeout(() => {
        killGroup(child);
        child.kill('SIGKILL');
      }, GRACE);
      await ended;
      clearTimeout(deadline);
    },
  };
}

/** So do all that it starts. */
function giveWay({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, NICE);
  } catch {
    // it has ended already, or this system has another idea of priorities
  }
}

function setHeld(child: ChildProcess, how: 'ref' | 'unref'): void {
  child[how]();
  child.channel?.[how]();
  (child.stderr as { ref(): void; unref(): void } | null)?.[how]();
}

function killGroup({ pid }: ChildProcess): void {
  if (!HAS_GROUPS || pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // nobody is left in it
  }
}

function deathOf(
  stage: string,
  { how, killed }: { readonly how: string; readonly killed: boolean },
  complaint: string,
): RuntimeFailure {
  const said = complaint.trim();
  const text = [
    `The process of the stage ${stage} ${how}${killed ? ', most likely for want of memory' : ''}.`,
    ...(said ? [`It said: ${said.replace(/[.\s]*$/, '.')}`] : []),
    'Nothing that was there before is changed; what is unfinished has a name that ends in .partial, and the next one at that place removes it. Try again.',
  ].join(' ');
  return new RuntimeFailure(text, { blame: killed ? 'memory' : 'machine' });
}

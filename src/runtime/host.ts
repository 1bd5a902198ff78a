/**
 * Inference runs in a child process: onnxruntime's run() blocks the thread it is called from, and a thread cannot be ended
 * in mid-run without aborting the process, but a process can. Ending it also gives its memory back. One that dies, or is silent
 * for longer than its watchdog's patience, fails every call with what it was doing.
 * Reference: toolchain.md §1.4 and §1.5.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { RuntimeFailure } from '../errors.ts';
import type { Device } from './device.ts';
import { endOf, failureFrom } from './faults.ts';
import { threadsOf } from './threads.ts';
import { type Patience, patienceOf } from './watchdog.ts';

export interface HostTensor {
  readonly type: 'float32' | 'int64';
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface LoadOptions {
  /** Refuse a graph of which a part would run on the CPU. */
  readonly wholly?: boolean;
  /** Without onnxruntime's work on the graph, whose results then differ in last bits: it loads sooner, runs longer, and keeps weights in their own type. */
  readonly unoptimised?: boolean;
}

type Load = { readonly model: string | Uint8Array; readonly device: Device } & LoadOptions;

export type HostRequest =
  | ({ readonly op: 'load' } & Load)
  | ({ readonly op: 'describe' } & Load)
  | ({ readonly op: 'optimise'; readonly into: string } & Load)
  | { readonly op: 'run'; readonly session: number; readonly feeds: Readonly<Record<string, HostTensor>> }
  | { readonly op: 'release'; readonly session: number }
  | { readonly op: 'memory' };

/** The child writes this after a log, so that the end of it is known. */
export const END_OF_LOG = '\u0004 end of log\n';

export interface RunReply {
  readonly outputs: Readonly<Record<string, HostTensor>>;
  /** Of the run itself, without the way there and back. */
  readonly milliseconds: number;
}

export interface HostedSession extends AsyncDisposable {
  /** `flops`: how much work it is, where that is known; a run of other lengths is another one. */
  run(feeds: Readonly<Record<string, HostTensor>>, flops?: number): Promise<RunReply>;
}

export interface InferenceHost extends AsyncDisposable {
  /** Loads a model.onnx and its data, or a model without data from its bytes. @throws RuntimeFailure naming model and device. */
  load(model: string | Uint8Array, device: Device, options?: LoadOptions): Promise<HostedSession>;
  /** Everything that onnxruntime says while it loads a model, which is then given up. */
  loadingLog(model: string | Uint8Array, device: Device): Promise<string>;
  /**
   * Writes the model as onnxruntime makes it of `model` before anything is done for one device's kernels (its basic level): what depends on no
   * input is computed; weights lie beside it in `<into>_data`. @throws RuntimeFailure naming model and device.
   */
  optimise(model: string, device: Device, into: string): Promise<void>;
  /** The most memory the process has had resident, in bytes. */
  peakBytes(): Promise<number>;
}

export interface HostOptions {
  readonly patience?: Patience;
  /** What the process runs. */
  readonly entry?: URL;
}

/** The entry runs as TypeScript from the sources and as JavaScript from the build. */
const ENTRY = new URL(`./host-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** Those that have not ended. */
const alive = new Set<ChildProcess>();

/** One that hangs does not hear that its parent is gone. */
function endWithParent(child: ChildProcess): void {
  if (alive.size === 0) process.on('exit', endAll);
  alive.add(child);
  child.once('close', () => {
    alive.delete(child);
    if (alive.size === 0) process.off('exit', endAll);
  });
}

function endAll(): void {
  for (const child of alive) child.kill('SIGKILL');
}

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly doing: string;
  readonly patience: number;
}

/** Starts the process. `signal` kills it at once, also in the middle of a run; pending calls then reject with its reason. */
export function startHost(signal?: AbortSignal, { patience = patienceOf(), entry = ENTRY }: HostOptions = {}) {
  signal?.throwIfAborted();
  const threads = threadsOf();
  const args = threads === undefined ? [] : [String(threads)];
  const child = fork(entry, args, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  /** In the order in which they are answered: the first is what the process is doing. */
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let ended: unknown;
  let complaint = '';
  let watchdog: NodeJS.Timeout | undefined;

  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  const kill = () => void child.kill('SIGKILL');
  const current = (): Pending | undefined => pending.values().next().value;
  const end = (reason: unknown) => {
    ended ??= reason;
    clearTimeout(watchdog);
    for (const { reject } of pending.values()) reject(ended);
    pending.clear();
  };
  const watch = () => {
    clearTimeout(watchdog);
    const call = current();
    if (call) watchdog = setTimeout(giveUp, call.patience, call);
  };
  const giveUp = ({ doing, patience: limit }: Pending) => {
    const text =
      `The inference process gave no answer for ${Math.round(limit / 100) / 10} s while ${doing} and was ended: the driver hangs, or the machine is far too busy. ` +
      'Run with another --device, or fewer frames or a smaller size; LCM_MERGE_PATIENCE=SECONDS allows more time.';
    end(new RuntimeFailure(text, { blame: 'machine' }));
    kill();
  };

  child.on('message', (reply: { id: number; value?: unknown; error?: string }) => {
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    watch();
    if (reply.error === undefined) waiting?.resolve(reply.value);
    else waiting?.reject(failureFrom(reply.error));
  });
  child.on('error', (error) =>
    end(new RuntimeFailure(`The inference process could not be started: ${error.message}.`, { blame: 'machine' })),
  );
  // not 'exit': what it said last comes before this
  child.on('close', (code, killed) => {
    const how = killed
      ? `was ended by ${killed}${killed === 'SIGKILL' ? ', most likely for want of memory,' : ''}`
      : `exited with code ${code}`;
    end(endOf(how, current()?.doing, complaint));
  });
  endWithParent(child);
  const abort = () => {
    end(signal?.reason);
    kill();
  };
  signal?.addEventListener('abort', abort, { once: true });

  const call = <Value>(request: HostRequest, doing: string, limit: number): Promise<Value> => {
    if (ended !== undefined) return Promise.reject(ended);
    const id = nextId;
    nextId += 1;
    return new Promise<Value>((resolve, reject) => {
      pending.set(id, { resolve: resolve as (value: unknown) => void, reject, doing, patience: limit });
      if (pending.size === 1) watch();
      child.send({ id, request }, (error) => {
        if (error && pending.delete(id))
          reject(ended ?? new RuntimeFailure(`The inference process does not listen: ${error.message}.`));
      });
    });
  };

  const host: InferenceHost = {
    async load(model, device, options) {
      const name = `${typeof model === 'string' ? model : 'a small graph'} on ${device}`;
      const session = await call<number>({ op: 'load', model, device, ...options }, `loading ${name}`, patience.load);
      /** Milliseconds that runs of some lengths took at most. */
      const slowest = new Map<string, number>();
      return {
        async run(feeds, flops) {
          const lengths = Object.values(feeds)
            .map(({ dims }) => dims.join('×'))
            .join();
          const limit = patience.run({ flops, slowest: slowest.get(lengths) });
          const reply = await call<RunReply>({ op: 'run', session, feeds }, `running ${name}`, limit);
          slowest.set(lengths, Math.max(reply.milliseconds, slowest.get(lengths) ?? 0));
          return reply;
        },
        [Symbol.asyncDispose]: async () => {
          if (ended === undefined) await call({ op: 'release', session }, `releasing ${name}`, patience.load);
        },
      };
    },
    async loadingLog(model, device) {
      let log = '';
      const { promise: whole, resolve } = Promise.withResolvers<void>();
      const listen = (text: string) => {
        log += text;
        if (log.endsWith(END_OF_LOG)) resolve();
      };
      child.stderr?.on('data', listen).once('end', resolve);
      try {
        await call({ op: 'describe', model, device }, `loading ${model} on ${device}`, patience.load);
        await whole;
        return log;
      } finally {
        child.stderr?.off('data', listen).off('end', resolve);
        complaint = ''; // that was none
      }
    },
    optimise: (model, device, into) =>
      call<void>({ op: 'optimise', model, device, into }, `optimising ${model}`, patience.load),
    peakBytes: () => call<number>({ op: 'memory' }, 'saying how much memory it has', patience.load),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener('abort', abort);
      clearTimeout(watchdog);
      ended ??= new RuntimeFailure('The inference process has been closed.');
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      kill();
      await exit;
    },
  };
  return host;
}

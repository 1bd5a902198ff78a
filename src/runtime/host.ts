/**
 * Inference runs in a child process: onnxruntime's run() blocks the thread it is called from, and a thread cannot be ended
 * in mid-run without aborting the process, but a process can. Ending it also gives its memory back.
 * Reference: toolchain.md §1.4 and §1.5.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { RuntimeFailure } from '../errors.ts';
import type { Device } from './device.ts';

export interface HostTensor {
  readonly type: 'float32' | 'int64';
  readonly dims: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export interface LoadOptions {
  /** Refuse a graph of which a part would run on the CPU. */
  readonly wholly?: boolean;
}

export type HostRequest =
  | ({ readonly op: 'load'; readonly model: string | Uint8Array; readonly device: Device } & LoadOptions)
  | { readonly op: 'run'; readonly session: number; readonly feeds: Readonly<Record<string, HostTensor>> }
  | { readonly op: 'release'; readonly session: number }
  | { readonly op: 'memory' };

export interface RunReply {
  readonly outputs: Readonly<Record<string, HostTensor>>;
  /** Of the run itself, without the way there and back. */
  readonly milliseconds: number;
}

export interface HostedSession extends AsyncDisposable {
  run(feeds: Readonly<Record<string, HostTensor>>): Promise<RunReply>;
}

export interface InferenceHost extends AsyncDisposable {
  /** Loads a model.onnx and its data, or a model without data from its bytes. @throws RuntimeFailure naming model and device. */
  load(model: string | Uint8Array, device: Device, options?: LoadOptions): Promise<HostedSession>;
  /** The most memory the process has had resident, in bytes. */
  peakBytes(): Promise<number>;
}

/** The entry runs as TypeScript from the sources and as JavaScript from the build. */
const ENTRY = new URL(`./host-main${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Starts the process. `signal` kills it at once, also in the middle of a run; pending calls then reject with its reason. */
export function startHost(signal?: AbortSignal): InferenceHost {
  signal?.throwIfAborted();
  const child = fork(ENTRY, { serialization: 'advanced', stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  const pending = new Map<number, Pending>();
  let nextId = 0;
  let ended: unknown;
  let complaint = '';

  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  child.on('message', (reply: { id: number; value?: unknown; error?: string }) => {
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    if (reply.error === undefined) waiting?.resolve(reply.value);
    else waiting?.reject(new RuntimeFailure(reply.error));
  });
  const end = (reason: unknown) => {
    ended ??= reason;
    for (const { reject } of pending.values()) reject(ended);
    pending.clear();
  };
  child.on('error', (error) =>
    end(new RuntimeFailure(`The inference process could not be started: ${error.message}.`)),
  );
  child.on('exit', (code, killed) => {
    const how = killed
      ? `was ended by ${killed}${killed === 'SIGKILL' ? ', most likely for want of memory' : ''}`
      : `exited with code ${code}`;
    end(new RuntimeFailure(`The inference process ${how}.${complaint ? ` It said: ${complaint.trim()}` : ''}`));
  });
  const abort = () => {
    end(signal?.reason);
    child.kill('SIGKILL');
  };
  signal?.addEventListener('abort', abort, { once: true });

  const call = <Value>(request: HostRequest): Promise<Value> => {
    if (ended !== undefined) return Promise.reject(ended);
    const id = nextId;
    nextId += 1;
    return new Promise<Value>((resolve, reject) => {
      pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      child.send({ id, request }, (error) => {
        if (error && pending.delete(id))
          reject(ended ?? new RuntimeFailure(`The inference process does not listen: ${error.message}.`));
      });
    });
  };

  return {
    async load(model, device, options) {
      const session = await call<number>({ op: 'load', model, device, ...options });
      return {
        run: (feeds) => call<RunReply>({ op: 'run', session, feeds }),
        [Symbol.asyncDispose]: async () => {
          if (ended === undefined) await call({ op: 'release', session });
        },
      };
    },
    peakBytes: () => call<number>({ op: 'memory' }),
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener('abort', abort);
      ended ??= new RuntimeFailure('The inference process has been closed.');
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

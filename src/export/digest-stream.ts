/** SHA-256 of bytes that come one after the other, computed in a thread of its own. */
import { Worker } from 'node:worker_threads';

export interface StreamDigest extends AsyncDisposable {
  /** Resolves when the thread no longer needs the bytes, which must lie in shared memory. */
  update(bytes: Uint8Array): Promise<void>;
  /** The digest of everything since the last one, in hexadecimal digits. */
  finish(): Promise<string>;
}

/** The worker runs as TypeScript from the sources and as JavaScript from the build. */
const WORKER = new URL(`./digest-stream-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export function openStreamDigest(): StreamDigest {
  const worker = new Worker(WORKER);
  /** The thread answers in the order in which it is asked. */
  const waiting: PromiseWithResolvers<string | null>[] = [];
  worker.on('message', (answer: string | null) => waiting.shift()?.resolve(answer));
  let ended: Error | undefined;
  const end = (error: Error) => {
    ended ??= error;
    for (const { reject } of waiting.splice(0)) reject(ended);
  };
  worker.on('error', end);
  worker.on('exit', () => end(new Error('The thread that hashes has ended.')));
  const ask = async (question: Uint8Array | null) => {
    if (ended) throw ended;
    const answer = Promise.withResolvers<string | null>();
    waiting.push(answer);
    worker.postMessage(question);
    return answer.promise;
  };
  return {
    update: async (bytes) => void (await ask(bytes)),
    finish: async () => (await ask(null)) as string,
    [Symbol.asyncDispose]: async () => void (await worker.terminate()),
  };
}

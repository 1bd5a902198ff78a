/** SHA-256 of files, streamed; many at once are hashed in a thread of their own, beside other work. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { IoError } from '../errors.ts';
import { openFile } from '../formats/byte-source.ts';
import type { FileDigest } from './lock.ts';

/** Large reads keep the disk busy; 1 MiB is where the gain ends. */
const CHUNK = 1 << 20;

/** Throws what openFile throws: a pipe, say, would be waited for without end. */
export async function digestFile(path: string, signal?: AbortSignal): Promise<FileDigest> {
  const digesting = digestInSteps(path, signal);
  for (;;) {
    const step = await digesting.next();
    if (step.done) return step.value;
  }
}

/** The same, telling the bytes of each step. */
export async function* digestInSteps(path: string, signal?: AbortSignal): AsyncGenerator<number, FileDigest, void> {
  const hash = createHash('sha256');
  await using source = await openFile(path);
  const buffers = [Buffer.allocUnsafeSlow(CHUNK), Buffer.allocUnsafeSlow(CHUNK)] as const;
  const read = (at: number) => {
    const length = Math.min(CHUNK, source.size - at);
    const reading = source.read(at, length, buffers[(at / CHUNK) % 2]?.subarray(0, length));
    reading.catch(() => undefined); // met when it is awaited
    return reading;
  };
  let ahead = read(0);
  for (let at = 0; at < source.size; at += CHUNK) {
    signal?.throwIfAborted();
    const chunk = await ahead;
    if (at + CHUNK < source.size) ahead = read(at + CHUNK); // while this chunk is hashed
    hash.update(chunk);
    yield chunk.length;
  }
  await ahead;
  return { sha256: hash.digest('hex'), bytes: source.size };
}

export function digestBytes(data: Uint8Array): FileDigest {
  return { sha256: createHash('sha256').update(data).digest('hex'), bytes: data.byteLength };
}

/** The worker runs as TypeScript from the sources and as JavaScript from the build. */
const WORKER = new URL(`./digest-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

export interface Digesting extends AsyncDisposable {
  /** In the order of the paths. */
  readonly digests: Promise<readonly FileDigest[]>;
}

/** Hashes `paths` in a thread; disposal ends it. */
export function digestInBackground(paths: readonly string[]): Digesting {
  const worker = new Worker(WORKER, { workerData: paths });
  const digests = once(worker, 'message').then(
    ([message]) => message as readonly FileDigest[],
    (error: Error) => {
      // an error loses its class on the way between threads
      throw new IoError(`An input that was just read can no longer be hashed. ${error.message}`, {}, { cause: error });
    },
  );
  digests.catch(() => undefined); // met where it is awaited
  return { digests, [Symbol.asyncDispose]: async () => void (await worker.terminate()) };
}

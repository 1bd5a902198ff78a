/** SHA-256 of files, streamed; many at once are hashed in a thread of their own, beside other work. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { FileDigest } from './lock.ts';

/** Large reads keep the disk busy; 1 MiB is where the gain ends. */
const CHUNK = 1 << 20;

export async function digestFile(path: string, signal?: AbortSignal): Promise<FileDigest> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK, ...(signal && { signal }) })) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
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
  const digests = once(worker, 'message').then(([message]) => message as readonly FileDigest[]);
  digests.catch(() => undefined); // met where it is awaited
  return { digests, [Symbol.asyncDispose]: async () => void (await worker.terminate()) };
}

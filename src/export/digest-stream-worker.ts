/** The thread of openStreamDigest: takes bytes in shared memory, one message after the other, and `null` for the end of a stream. */
import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

let hash = createHash('sha256');
parentPort?.on('message', (bytes: Uint8Array | null) => {
  if (bytes) {
    hash.update(bytes);
    parentPort?.postMessage(null);
    return;
  }
  parentPort?.postMessage(hash.digest('hex'));
  hash = createHash('sha256');
});

/** The thread of digestInBackground: hashes the files it is given, one after the other. An error reaches the parent as an 'error' event. */
import { parentPort, workerData } from 'node:worker_threads';
import { digestFile } from './digest.ts';
import type { FileDigest } from './lock.ts';

const digests: FileDigest[] = [];
for (const path of workerData as readonly string[]) digests.push(await digestFile(path));
parentPort?.postMessage(digests);

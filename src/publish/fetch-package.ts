/**
 * A listed package's files through the cache into a folder, wherever it is listed: each is held to its hash, a broken download is taken
 * up where it ended, and what is in the cache already, and still is what it was, is not fetched again.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FormatError } from '../errors.ts';
import { type Event, type Stage, telling } from '../events.ts';
import { digestInSteps } from '../export/digest.ts';
import { writingTo } from '../formats/byte-source.ts';
import type { Blob, Cache } from '../hub/cache.ts';
import { assertRoom, download } from '../hub/download.ts';
import { NotCached } from '../hub/repository.ts';
import { count, formatBytes } from '../text/quantity.ts';
import { type RemotePackage, withRemedy } from './remote-package.ts';

export interface FetchOptions {
  readonly cache: Cache;
  /** Gives a content of the cache its place in the folder. */
  readonly put: (content: string, path: string) => Promise<void>;
  /** Of which files, by their paths in the package; default: all. */
  readonly wanted?: ((path: string) => boolean) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Fetched {
  readonly files: number;
  readonly bytes: number;
}

/**
 * @throws FormatError for a content that is not what was listed; InputMissingError when the network is not to be used and something is
 * not in the cache; UnavailableError, IoError
 */
export async function* fetchPackage(
  remote: RemotePackage,
  folder: string,
  { cache, put, wanted = () => true, signal }: FetchOptions,
): Stage<Fetched> {
  const started = performance.now();
  const { reference } = remote;
  yield { type: 'stage-started', stage: 'fetch', subject: reference };
  if (remote.remembered)
    yield { type: 'warning', stage: 'fetch', message: `${reference} is what it was when it was last fetched.` };
  const files = remote.files.filter(({ path }) => wanted(path));
  const here = await Promise.all(files.map((file) => remote.cached(file)));
  const total = sum(files);
  const missing = sum(files.filter((_, i) => here[i] === undefined));
  try {
    await assertRoom(cache, missing, reference);
    let done = 0;
    for (const [i, file] of files.entries()) {
      signal?.throwIfAborted();
      const tell = (bytes: number) =>
        ({ type: 'progress', stage: 'fetch', done: done + bytes, total, unit: 'bytes', detail: file.path }) as const;
      const known = here[i];
      const isSound = known !== undefined && (yield* isWhole(cache.blobPath(known.sha256), known, tell, signal));
      let content = isSound ? known : undefined;
      if (known && !isSound) {
        const damaged = `What the cache has of ${file.path} is no longer what was fetched`;
        if (!remote.wire) throw new FormatError(`${damaged}, and the network is not to be used: ${reference}.`);
        yield { type: 'warning', stage: 'fetch', message: `${damaged}: it is fetched again.` };
        await cache.discard(known);
      }
      if (content === undefined) {
        if (!remote.wire)
          throw new NotCached(`${file.path} of ${reference} is not in the cache, and the network is not to be used.`);
        const options = { wire: remote.wire, cache, label: reference, signal };
        content = yield* telling(download(remote.addressOf(file), file, options), tell);
        await remote.remember(file, content);
      }
      const path = join(folder, file.path);
      const blob = cache.blobPath(content.sha256);
      await writingTo(
        path,
        mkdir(dirname(path), { recursive: true }).then(() => put(blob, path)),
      );
      yield tell(file.bytes);
      done += file.bytes;
    }
  } catch (error) {
    throw withRemedy(remote.explain(error));
  }
  yield {
    type: 'stage-finished',
    stage: 'fetch',
    milliseconds: performance.now() - started,
    summary: `${count(files.length, 'file')}, ${missing === 0 ? 'all in the cache' : `${formatBytes(missing)} downloaded`}`,
  };
  return { files: files.length, bytes: total };
}

/** Disks forget, and people edit what they find; a package that is passed on is held to its hashes. */
async function* isWhole(
  path: string,
  { sha256 }: Blob,
  tell: (bytes: number) => Event,
  signal: AbortSignal | undefined,
): Stage<boolean> {
  let read = 0;
  const found = yield* telling(digestInSteps(path, signal), (more) => tell((read += more)));
  return found.sha256 === sha256;
}

const sum = (files: readonly { readonly bytes: number }[]) => files.reduce((all, { bytes }) => all + bytes, 0);

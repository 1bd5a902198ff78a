/**
 * One file of the Hub into the cache. A connection that breaks off is taken up where it ended (Range, with If-Range where an ETag is
 * known), also by the next process after this one was killed. What counts in the end is the hash that the repository itself lists:
 * for large files their SHA-256 (Git LFS), for the others git's own SHA-1 of `blob SIZE\0` and the content.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FormatError, IoError } from '../errors.ts';
import { type Blob, type Cache, cacheError } from './cache.ts';
import { ConnectionFailure, type Opened, type Wire } from './http.ts';
import { abandon, claimPartial } from './partial.ts';

/** A file as a repository lists it. */
export interface RemoteFile {
  readonly path: string;
  readonly bytes: number;
  /** What its content must hash to. */
  readonly hash: { readonly kind: 'sha256' | 'git'; readonly hex: string };
}

/** Between two events. */
const REPORT_EVERY = 1 << 20;
/** So much between two breaks of the connection, and it counts as one that works: its tries are counted anew. */
const ENOUGH_PROGRESS = 1 << 20;
/** A file that changes again and again while it is loaded is not waited for. */
const MAX_RESTARTS = 2;
/** For hashing what is there already. */
const READ_PIECE = 4 << 20;

export interface DownloadOptions {
  readonly wire: Wire;
  readonly cache: Cache;
  /** How errors call it. */
  readonly label: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Fetches `file` from `url`; yields how many of its bytes are here.
 * @throws FormatError when what came is not what the repository lists (nothing of it stays); IoError; ConnectionFailure and
 * HttpRefusal (what has come stays, to be gone on with)
 */
export async function* download(url: string, file: RemoteFile, options: DownloadOptions): AsyncGenerator<number, Blob> {
  const { cache, label, signal } = options;
  const known = file.hash.kind === 'sha256' ? { sha256: file.hash.hex, bytes: file.bytes } : undefined;
  const isDone = async () => known !== undefined && (await cache.has(known));
  const name = `${file.hash.kind}-${file.hash.hex}`;
  const path = await claimPartial(cache.partial, name, isDone, signal);
  if (path === undefined) return known as Blob;
  let fate: 'kept' | 'removed' | 'moved' = 'kept';
  try {
    await using handle = await open(path, 'r+');
    const state = await resume(handle, file);
    const wasResumed = state.offset > 0;
    await assertRoom(cache, file.bytes - state.offset, label);
    yield* fill(url, file, handle, state, options);
    let found = digests(state);
    if (found[file.hash.kind] !== file.hash.hex && wasResumed) {
      // What an earlier process left was not of this file: once more from the start.
      await restart(state, handle, file);
      yield* fill(url, file, handle, state, options);
      found = digests(state);
    }
    if (found[file.hash.kind] !== file.hash.hex) {
      throw new FormatError(
        `${label}: what was downloaded is not the file that the repository lists: its ${HASH_NAMES[file.hash.kind]} is ` +
          `${found[file.hash.kind]}, ${file.hash.hex} was expected. It was thrown away. Try again; if it stays so, the server or something on the way is damaged.`,
      );
    }
    await handle.sync();
    const place = cache.blobPath(found.sha256);
    await mkdir(dirname(place), { recursive: true });
    await rename(path, place);
    fate = 'moved';
    return { sha256: found.sha256, bytes: file.bytes };
  } catch (error) {
    // what cannot be right is not gone on with, and a full disk shall not stay full
    if (error instanceof FormatError || (error instanceof Error && 'syscall' in error)) fate = 'removed';
    throw cacheError('write', path, error);
  } finally {
    if (fate === 'removed') await rm(path, { force: true });
    if (fate === 'kept') await abandon(path, cache.partial, name);
  }
}

const HASH_NAMES = { sha256: 'SHA-256', git: 'git object id' } as const;

interface State {
  /** Bytes that are in the file and in the hashes. */
  offset: number;
  sha256: Hash;
  git: Hash;
}

function begin({ bytes }: RemoteFile): State {
  return { offset: 0, sha256: createHash('sha256'), git: createHash('sha1').update(`blob ${bytes}\0`) };
}

/** Once for each state. */
function digests({ sha256, git }: State): { readonly sha256: string; readonly git: string } {
  return { sha256: sha256.digest('hex'), git: git.digest('hex') };
}

function take(state: State, { hash }: RemoteFile, chunk: Uint8Array): void {
  state.sha256.update(chunk);
  if (hash.kind === 'git') state.git.update(chunk);
  state.offset += chunk.length;
}

/** Hashes what an earlier process has left. */
async function resume(handle: FileHandle, file: RemoteFile): Promise<State> {
  const state = begin(file);
  const { size } = await handle.stat();
  if (size > file.bytes) {
    await handle.truncate(0);
    return state;
  }
  const buffer = Buffer.allocUnsafe(READ_PIECE);
  while (state.offset < size) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, state.offset);
    if (bytesRead === 0) break;
    take(state, file, buffer.subarray(0, bytesRead));
  }
  return state;
}

async function restart(state: State, handle: FileHandle, file: RemoteFile): Promise<void> {
  await handle.truncate(0);
  Object.assign(state, begin(file));
}

/** Asks for what is missing until nothing is, or until it breaks off too often without getting anywhere. */
async function* fill(
  url: string,
  file: RemoteFile,
  handle: FileHandle,
  state: State,
  { wire, label }: DownloadOptions,
): AsyncGenerator<number, void> {
  const { host } = new URL(url);
  let etag: string | undefined;
  let reported = state.offset;
  let restarts = 0;
  for (let attempt = 1, since = state.offset; state.offset < file.bytes; ) {
    const ranged = state.offset > 0;
    const headers = ranged ? { range: `bytes=${state.offset}-`, ...(etag !== undefined && { 'if-range': etag }) } : {};
    const answer = await wire.open(url, headers);
    const size = toldSize(answer);
    if (size !== undefined && size !== file.bytes) {
      await answer.cancel();
      throw new FormatError(
        `${label}: ${host} has ${size} bytes where the repository lists ${file.bytes} for ${file.path}. What came was thrown away.`,
      );
    }
    if (!continues(answer, state.offset)) {
      // The file has changed, or the server takes no ranges, or not this one.
      if (answer.status !== 200) await answer.cancel();
      if (!ranged || (restarts += 1) > MAX_RESTARTS)
        throw new ConnectionFailure(`${host} does not answer a request for ${file.path} as HTTP asks`, true);
      await restart(state, handle, file);
      [since, reported] = [0, 0];
      if (answer.status !== 200) continue;
    }
    etag = strongETag(answer) ?? etag;
    let failure: unknown;
    try {
      for await (const chunk of answer.chunks()) {
        if (state.offset + chunk.length > file.bytes)
          throw new ConnectionFailure(`${host} sends more than the ${file.bytes} bytes of ${file.path}`, true);
        await writeAll(handle, chunk, state.offset);
        take(state, file, chunk);
        if (state.offset - reported >= REPORT_EVERY || state.offset === file.bytes) yield (reported = state.offset);
      }
    } catch (error) {
      failure = error;
    }
    if (failure !== undefined && !(failure instanceof ConnectionFailure && !failure.lasting)) throw failure;
    if (state.offset === file.bytes) return;
    if (state.offset - since >= ENOUGH_PROGRESS) attempt = 1;
    since = state.offset;
    if (attempt >= wire.patience.attempts) {
      throw (
        failure ?? new ConnectionFailure(`${host} ends ${file.path} after ${state.offset} of ${file.bytes} bytes`, true)
      );
    }
    await wire.pause(attempt);
    attempt += 1;
  }
}

/** Whether the answer's bytes belong at `offset`. */
function continues({ status, headers }: Opened, offset: number): boolean {
  if (status === 200) return offset === 0;
  return status === 206 && Number(contentRange(headers)?.first) === offset;
}

/** The size of the whole file, where the answer tells it. */
function toldSize({ status, headers }: Opened): number | undefined {
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity') return undefined; // then it is another one's length
  const told =
    status === 206 ? contentRange(headers)?.total : status === 200 ? headers.get('content-length') : undefined;
  return told != null && /^\d+$/.test(told) ? Number(told) : undefined;
}

function contentRange(headers: Headers) {
  const [, first, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
  return first === undefined ? undefined : { first, total };
}

/** If-Range takes no weak one (RFC 9110, 13.1.5). */
function strongETag({ headers }: Opened): string | undefined {
  const etag = headers.get('etag');
  return etag?.startsWith('"') ? etag : undefined;
}

async function writeAll(handle: FileHandle, chunk: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    const { bytesWritten } = await handle.write(chunk, done, chunk.length - done, offset + done);
    done += bytesWritten;
  }
}

/** That there is no room is said before gigabytes have come. @throws IoError */
export async function assertRoom({ partial, folder }: Cache, needed: number, label: string): Promise<void> {
  await mkdir(partial, { recursive: true });
  const { bavail, bsize } = await statfs(partial);
  if (bavail * bsize >= needed) return;
  throw new IoError(
    `${label} needs ${needed} more bytes in the cache, and ${folder} has room for ${bavail * bsize}. Free some, or set LCM_MERGE_CACHE to a folder that has.`,
    { file: folder },
  );
}

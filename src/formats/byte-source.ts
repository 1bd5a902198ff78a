/**
 * Random access to bytes, the only way the readers see a file: a size and ranges of it. Nothing is cached or read ahead,
 * so what an operation costs is the sum of its `read` calls.
 */

import type { BigIntStats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { FormatError, InputMissingError, IoError } from '../errors.ts';
import { formatError } from './format-error.ts';

export interface ByteSource extends AsyncDisposable {
  /** The path, as errors show it. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Exactly the bytes [offset, offset + length), in memory that belongs to the caller: `into`, if it is given and of that length.
   * Throws FormatError when the range is not inside the source, IoError when it cannot be read.
   */
  read(offset: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** Throws IoError when the file is no longer what was opened: written to, replaced or removed since. */
  assertUnchanged(): Promise<void>;
}

/** One read(2) moves at most 2 GiB − 4 KiB on Linux; pieces of this size already reach the speed of the page cache. */
const PIECE = 64 << 20;

const MISSING = new Set(['ENOENT', 'ENOTDIR']);

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space is left on the device; free some or choose another place',
  EFBIG: 'it would be larger than the file system or a limit of this process (ulimit -f) allows',
  EDQUOT: 'the disk quota is used up',
  EMFILE: 'too many files are open in this process',
  ENFILE: 'too many files are open on this machine',
  ENAMETOOLONG: 'the name is too long for the file system',
  ELOOP: 'its symbolic links lead in a circle',
  ENOENT: 'its folder does not exist',
  ENOTDIR: 'a part of its path is a file, not a folder',
  EISDIR: 'it is a folder',
  EIO: 'the device reports an error',
  EEXIST: 'something else stands there',
  EBUSY: 'the system is using it',
};

/** System calls whose names are no English. */
const ACTIONS: Readonly<Record<string, string>> = {
  mkdir: 'make',
  rename: 'move',
  rm: 'remove',
  unlink: 'remove',
  rmdir: 'remove',
  stat: 'look at',
  lstat: 'look at',
  access: 'look at',
  scandir: 'list',
  cp: 'copy',
  copyfile: 'copy',
  fsync: 'write',
  ftruncate: 'write',
};

/** An IoError for what `node:fs` threw while doing `action` ("read", "write", or the name of the system call) to `path`. */
export function ioError(action: string, path: string, cause: unknown): IoError {
  return new IoError(`${path}: cannot ${ACTIONS[action] ?? action} it: ${ioReason(cause)}.`, { file: path }, { cause });
}

/** `work` writes to `path`; an error of the file system, which does not say where once the file is open, becomes one that does. */
export async function writingTo<Result>(path: string, work: Promise<Result>): Promise<Result> {
  return work.catch((error: unknown) => {
    throw error instanceof Error && 'syscall' in error ? ioError('write', path, error) : error;
  });
}

/** Why the file system refused, as the end of a sentence. */
export function ioReason(cause: unknown): string {
  const code = codeOf(cause);
  return (code && REASONS[code]) ?? (cause instanceof Error ? cause.message : String(cause));
}

/** Opens a regular file for reading. Throws InputMissingError, FormatError (folder, device) or IoError (permission …). */
export async function openFile(path: string): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    const kind = await stat(path); // before open, which would wait for ever on a FIFO
    if (kind.isDirectory()) throw formatError(path, 'a folder; a file was expected here.');
    if (!kind.isFile()) {
      throw formatError(path, 'not a regular file but a device, pipe or socket; copy it into one.');
    }
    handle = await open(path, 'r');
    return fileSource(path, handle, await handle.stat({ bigint: true }));
  } catch (error) {
    await handle?.close();
    if (error instanceof FormatError) throw error;
    if (MISSING.has(codeOf(error) ?? '')) {
      throw new InputMissingError(`${path}: there is no such file (looked for ${resolve(path)}).`, { file: path });
    }
    throw ioError('open', path, error);
  }
}

/**
 * The whole of a small file: a config, a graph. `limit` is the most bytes that it may have.
 * Throws what openFile throws, and FormatError for a larger file.
 */
export async function readSmallFile(path: string, limit: number): Promise<Uint8Array> {
  await using source = await openFile(path);
  if (source.size <= limit) return await source.read(0, source.size);
  throw formatError(
    path,
    `the file has ${source.size} bytes, and one of its kind has at most ${limit}; it is something else.`,
  );
}

/** What no write, truncation or replacement leaves as it was; ctime cannot be set back. */
const IDENTITY = ['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const;

function fileSource(name: string, handle: FileHandle, opened: BigIntStats): ByteSource {
  const size = Number(opened.size);
  return {
    name,
    size,
    async read(offset, length, into) {
      checkRange(name, size, offset, length);
      // Unlike `new Uint8Array(length)` this does not write zeros over pages that the read fills anyway.
      const bytes = into ?? new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
      for (let done = 0; done < length; ) {
        const piece = Math.min(PIECE, length - done);
        const { bytesRead } = await handle.read(bytes, done, piece, offset + done).catch((error: unknown) => {
          throw ioError('read', name, error);
        });
        if (bytesRead === 0) {
          throw new IoError(
            `${name}: it had ${size} bytes when it was opened and now ends at byte ${offset + done}; something is writing to it. Try again when that is done.`,
            { file: name, offset: offset + done },
          );
        }
        done += bytesRead;
      }
      return bytes;
    },
    async assertUnchanged() {
      const now = await stat(name, { bigint: true }).catch(() => undefined); // by name: another file may have taken its place
      if (now && IDENTITY.every((field) => now[field] === opened[field])) return;
      throw new IoError(
        `${name}: it was ${now ? 'changed' : 'moved or removed'} while it was being read. Nothing was made of it; try again when nobody writes to it.`,
        { file: name },
      );
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** The same over bytes that are in memory already. */
export function bytesSource(name: string, bytes: Uint8Array): ByteSource {
  const size = bytes.byteLength;
  return {
    name,
    size,
    async read(offset, length, into) {
      checkRange(name, size, offset, length);
      const copy = into ?? new Uint8Array(length);
      copy.set(bytes.subarray(offset, offset + length));
      return copy;
    },
    async assertUnchanged() {},
    async [Symbol.asyncDispose]() {},
  };
}

function checkRange(name: string, size: number, offset: number, length: number): void {
  if (
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= size
  )
    return;
  throw formatError(
    name,
    `${length} bytes were expected at byte ${offset}, but the file has ${size} bytes; it is truncated or damaged.`,
    { offset },
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

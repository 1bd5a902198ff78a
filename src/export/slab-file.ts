/**
 * Writes a large file as a row of slabs: what is appended is copied into one slab while those before it are written and hashed,
 * so the three keep pace with each other and memory is bounded. Where the system allows it the slabs go past the page cache
 * (open(2), O_DIRECT): gigabytes that nobody is about to read would push everything else out of it, and filling it takes longer than
 * the disk does.
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { writingTo } from '../formats/byte-source.ts';
import type { StreamDigest } from './digest-stream.ts';

/** Large enough for a disk's full speed, and a multiple of every block size. */
const SLAB_BYTES = 8 << 20;

/** Enough for the disk and the hash to work on while the largest pieces of a merge (26 MB) are made and copied. */
const SLABS = 5;

/** What direct writes must be a multiple of, in place and length: no smaller than the blocks of any disk in use. */
const DIRECT_BYTES = 4096;

/** Memory for `writeSlabs`, to be made once and used for one file after the other. */
export type Slabs = readonly Uint8Array[];

export function createSlabs(): Slabs {
  // growable memory begins at a page, as direct writes want it
  return Array.from(
    { length: SLABS },
    () => new Uint8Array(new SharedArrayBuffer(SLAB_BYTES, { maxByteLength: SLAB_BYTES }), 0, SLAB_BYTES),
  );
}

export interface SlabFile extends AsyncDisposable {
  /** Copies the bytes; waits while all slabs are full. Throws what an earlier write met. */
  append(bytes: Uint8Array): Promise<void>;
  /** Writes what is left, waits until everything is on the disk, and returns what the digest says. */
  finish(): Promise<string>;
}

export interface SlabFileOptions {
  readonly digest: StreamDigest;
  /** Through the page cache, and no waiting for the disk. */
  readonly passing?: boolean;
}

/** Creates the file at `path`, where none may be. */
export async function createSlabFile(
  path: string,
  slabs: Slabs,
  { digest, passing = false }: SlabFileOptions,
): Promise<SlabFile> {
  const file = await open(path, 'wx');
  const direct = passing ? undefined : await openDirect(path);
  const busy = slabs.map(() => Promise.resolve());
  let current = 0;
  let filled = 0;
  let position = 0;

  const write = async (bytes: Uint8Array, at: number) => {
    if (direct && bytes.length % DIRECT_BYTES === 0 && (await tryDirect(direct, bytes, at))) return;
    await writeAll(file, bytes, at);
  };
  /** Hands the current slab on and goes to the next one. */
  const flush = () => {
    const bytes = (slabs[current] as Uint8Array).subarray(0, filled);
    const job = allDone(writingTo(path, write(bytes, position)), digest.update(bytes));
    job.catch(() => undefined); // met when the slab is needed again, or at the end
    busy[current] = job;
    position += filled;
    filled = 0;
    current = (current + 1) % slabs.length;
  };
  return {
    async append(bytes) {
      for (let done = 0; done < bytes.length; ) {
        if (filled === 0) await busy[current];
        const piece = bytes.subarray(done, done + SLAB_BYTES - filled);
        slabs[current]?.set(piece, filled);
        filled += piece.length;
        done += piece.length;
        if (filled === SLAB_BYTES) flush();
      }
    },
    async finish() {
      if (filled > 0) flush();
      await Promise.all(busy);
      const [sha256] = await Promise.all([digest.finish(), passing ? undefined : writingTo(path, file.sync())]);
      return sha256;
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(busy);
      await direct?.close();
      await file.close();
    },
  };
}

/** Unlike Promise.all it waits for both also when one fails: until then the memory is in use. */
async function allDone(...work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}

async function openDirect(path: string): Promise<FileHandle | undefined> {
  if (!('O_DIRECT' in constants)) return undefined;
  return open(path, constants.O_WRONLY | constants.O_DIRECT).catch(() => undefined); // tmpfs, network folders
}

/** Says whether the file system took it: some open a file for direct writes and then ask for other multiples. */
async function tryDirect(file: FileHandle, bytes: Uint8Array, at: number): Promise<boolean> {
  return writeAll(file, bytes, at).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EINVAL') return false;
      throw error;
    },
  );
}

async function writeAll(file: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/**
 * A file on its way to where it is published, with the SHA-256 that it had when it was checked. Whatever is read of it is held to that hash before the
 * last of it is given away, so that nobody gets a whole file other than the one that was checked.
 */
import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { PublishError } from '../errors.ts';
import { ioError } from '../formats/byte-source.ts';
import type { Streamed } from './body.ts';

export interface Content {
  /** In the package, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** The path of a file, or what is in none. */
  readonly data: string | Uint8Array<ArrayBuffer>;
}

const READ_PIECE = 1 << 20;

export interface Part {
  readonly body: Streamed;
  /** Bytes of the file that were given away the last time. */
  readonly sent: () => number;
  /** The hash of everything up to the end of this part, once all of it was read. */
  readonly hash: () => Hash;
}

/** The bytes [`from`, `to`) of the file; `before` is the hash of all that comes before them. The body throws PublishError, IoError. */
export function partOf(file: Content, from: number, to: number, before: Hash = createHash('sha256')): Part {
  let [sent, after] = [from, before];
  async function* pieces() {
    const hash = before.copy();
    let [at, held] = [from, undefined as Uint8Array | undefined];
    for await (const piece of readRange(file, from, to)) {
      hash.update(piece);
      at += piece.length;
      if (held) yield held;
      held = piece;
      sent = at - piece.length;
    }
    if (at !== to || (to === file.bytes && hash.copy().digest('hex') !== file.sha256))
      throw changedError(typeof file.data === 'string' ? file.data : file.name);
    if (held) yield held;
    [sent, after] = [at, hash];
  }
  return { body: { bytes: to - from, pieces }, sent: () => sent, hash: () => after };
}

/** All of it, for a file that is small. @throws PublishError, IoError */
export async function readWhole(file: Content): Promise<Buffer<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for await (const piece of partOf(file, 0, file.bytes).body.pieces()) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** What git calls a content: the SHA-1 of `blob SIZE\0` and the content. */
export async function gitHash(file: Content): Promise<string> {
  const hash = createHash('sha1').update(`blob ${file.bytes}\0`);
  for await (const piece of partOf(file, 0, file.bytes).body.pieces()) hash.update(piece);
  return hash.digest('hex');
}

async function* readRange({ data }: Content, from: number, to: number): AsyncGenerator<Uint8Array> {
  if (from === to) return;
  if (typeof data !== 'string') {
    yield data.subarray(from, to);
    return;
  }
  await using file = await openChecked(data);
  try {
    yield* file.createReadStream({ start: from, end: to - 1, highWaterMark: READ_PIECE, autoClose: false });
  } catch (error) {
    throw ioError('read', data, error);
  }
}

/** Goes through no link, and waits for nobody at the other end of a pipe; Windows has neither. */
const ITSELF = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** The file at `path` that was checked, where somebody may have put something else: a link to a secret, a pipe. @throws PublishError, IoError */
export async function openChecked(path: string): Promise<FileHandle> {
  const file = await open(path, ITSELF).catch((error: NodeJS.ErrnoException) => {
    throw error.code === 'ELOOP' || error.code === 'ENOENT' ? changedError(path) : ioError('open', path, error);
  });
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw changedError(path);
}

export function changedError(what: string): PublishError {
  return new PublishError(
    `${what} has changed since it was checked. Nothing was published. Let nobody write to the package, and publish it again.`,
  );
}

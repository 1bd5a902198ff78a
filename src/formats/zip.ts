/**
 * The directory of a zip archive whose entries are stored, not compressed: enough to find each entry's bytes in place.
 * Source of truth: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14–16 (end records).
 */

import type { ByteSource } from './byte-source.ts';
import { formatError, quoteName } from './format-error.ts';

export interface ZipEntry {
  /** As in the archive. Only ever a key: nothing is extracted, so "../x" and "/x" are names like others. */
  readonly name: string;
  /** Of the data, in bytes. */
  readonly size: number;
  readonly compressedSize: number;
  readonly method: number;
  readonly flags: number;
  readonly headerOffset: number;
  /** Where the next entry or the directory begins: this entry's data ends before. */
  readonly limit: number;
  readonly nameBytes: Uint8Array;
}

export type ZipDirectory = ReadonlyMap<string, ZipEntry>;

const LOCAL_HEADER = { signature: 0x04034b50, bytes: 30 };
const CENTRAL_ENTRY = { signature: 0x02014b50, bytes: 46 };
const END_RECORD = { signature: 0x06054b50, bytes: 22 };
const END_LOCATOR_64 = { signature: 0x07064b50, bytes: 20 };
const END_RECORD_64 = { signature: 0x06064b50, bytes: 56 };
const ZIP64_FIELD = 0x0001;

/** A field of all ones stands for "see the zip64 record". */
const U16_ONES = 0xffff;
const U32_ONES = 0xffffffff;

/** The end record comes last but for a comment of at most 65,535 bytes; one read of this size finds all end records. */
const TAIL_BYTES = U16_ONES + END_RECORD.bytes + END_LOCATOR_64.bytes + END_RECORD_64.bytes;

/** It is held in memory. SD1.5 has 1,131 tensors, about 90 KB of directory; this is 700 times that. */
const MAX_DIRECTORY_BYTES = 64 << 20;

const FLAG_ENCRYPTED = 0x0001;
const FLAG_SIZES_FOLLOW = 0x0008;

/** Reads the end of the file, and the directory where the first read missed it. Throws FormatError. */
export async function readZipDirectory(source: ByteSource): Promise<ZipDirectory> {
  const tailOffset = Math.max(0, source.size - TAIL_BYTES);
  const tail = await source.read(tailOffset, source.size - tailOffset);
  const end = findEnd(source, tail, tailOffset);
  const { offset, size } = end;
  if (size > MAX_DIRECTORY_BYTES) {
    throw formatError(
      source.name,
      `the zip directory claims ${size} bytes, more than the ${MAX_DIRECTORY_BYTES} allowed; the file is damaged.`,
    );
  }
  if (offset + size !== end.expected) {
    throw formatError(
      source.name,
      `the zip directory is said to be bytes ${offset} to ${offset + size}, but its end record stands at ${end.expected}; the file is damaged or something was put before or into it.`,
      { offset: end.expected },
    );
  }
  const bytes =
    offset >= tailOffset
      ? tail.subarray(offset - tailOffset, offset - tailOffset + size)
      : await source.read(offset, size);
  return parseDirectory(source.name, bytes, offset, end.count);
}

/** Where the data of `entry` begins, after checking that its local header says the same as the directory. One read. */
export async function locateEntry(source: ByteSource, entry: ZipEntry): Promise<number> {
  const { name, size, method, flags, headerOffset: offset, nameBytes } = entry;
  const fail = (problem: string) => formatError(source.name, `zip entry ${quoteName(name)} ${problem}`, { offset });
  if (flags & FLAG_ENCRYPTED) throw fail('is encrypted; save the checkpoint without a password.');
  if (method !== 0)
    throw fail(`is compressed (method ${method}); PyTorch stores: unpack the file and save it from PyTorch.`);
  if (entry.compressedSize !== size) {
    throw fail(`is stored, yet has two sizes, ${entry.compressedSize} and ${size} bytes; the file is damaged.`);
  }
  const headerLength = LOCAL_HEADER.bytes + nameBytes.length;
  if (offset + headerLength + size > entry.limit) {
    throw fail(`of ${size} bytes runs into what begins at byte ${entry.limit}; the file is damaged.`);
  }
  const header = viewOf(await source.read(offset, headerLength));
  const localName = new Uint8Array(header.buffer, header.byteOffset + LOCAL_HEADER.bytes, nameBytes.length);
  const same =
    header.getUint32(0, true) === LOCAL_HEADER.signature &&
    header.getUint16(6, true) === flags &&
    header.getUint16(8, true) === method &&
    header.getUint16(26, true) === nameBytes.length &&
    Buffer.compare(localName, nameBytes) === 0 &&
    [18, 22].every((field) => {
      const local = header.getUint32(field, true);
      return local === size || local === U32_ONES || (local === 0 && (flags & FLAG_SIZES_FOLLOW) !== 0);
    });
  if (!same) throw fail('is described differently by the directory and by its own header; the file is damaged.');
  const data = offset + headerLength + header.getUint16(28, true);
  if (data + size > entry.limit) {
    throw fail(`of ${size} bytes runs into what begins at byte ${entry.limit}; the file is damaged.`);
  }
  return data;
}

interface End {
  /** Of the directory, as the end record says. */
  readonly offset: number;
  readonly size: number;
  readonly count: number;
  /** Where the directory must end: at the first of the end records. */
  readonly expected: number;
}

function findEnd({ name: file, size: fileSize }: ByteSource, tail: Uint8Array, tailOffset: number): End {
  const view = viewOf(tail);
  for (let at = tail.length - END_RECORD.bytes; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_RECORD.signature) continue;
    if (at + END_RECORD.bytes + view.getUint16(at + 20, true) !== tail.length) continue;
    const end = {
      disks: [view.getUint16(at + 4, true), view.getUint16(at + 6, true)],
      counts: [view.getUint16(at + 8, true), view.getUint16(at + 10, true)],
      size: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
      expected: tailOffset + at,
    };
    const { disks, counts, ...rest } = findEnd64(file, view, at, tailOffset) ?? end;
    if (disks.some((disk) => disk !== 0) || counts[0] !== counts[1]) {
      throw formatError(file, 'a part of a zip archive that was split over several files; join them first.');
    }
    return { ...rest, count: counts[0]! };
  }
  throw formatError(
    file,
    `it begins like a zip archive, but the ${tail.length} bytes at its end hold no end record; it is truncated at ${fileSize} bytes or something was appended: download or copy it again.`,
  );
}

/** PyTorch always writes the zip64 records, also where the older ones would do. */
function findEnd64(file: string, view: DataView, endAt: number, tailOffset: number) {
  const locatorAt = endAt - END_LOCATOR_64.bytes;
  if (locatorAt < 0 || view.getUint32(locatorAt, true) !== END_LOCATOR_64.signature) return undefined;
  const at = locatorAt - END_RECORD_64.bytes;
  const claimed = view.getBigUint64(locatorAt + 8, true);
  if (at < 0 || claimed !== BigInt(tailOffset + at) || view.getUint32(at, true) !== END_RECORD_64.signature) {
    throw formatError(file, `the zip64 end record is not at byte ${claimed}, where it should be; the file is damaged.`);
  }
  return {
    disks: [view.getUint32(at + 16, true), view.getUint32(at + 20, true)],
    counts: [Number(view.getBigUint64(at + 24, true)), Number(view.getBigUint64(at + 32, true))],
    size: Number(view.getBigUint64(at + 40, true)),
    offset: Number(view.getBigUint64(at + 48, true)),
    expected: tailOffset + at,
  };
}

function parseDirectory(file: string, bytes: Uint8Array, offset: number, count: number): ZipDirectory {
  const view = viewOf(bytes);
  const entries: Omit<ZipEntry, 'limit'>[] = [];
  let at = 0;
  while (at < bytes.length) {
    const broken = () =>
      formatError(file, `entry ${entries.length} of the zip directory is broken; the file is damaged.`, {
        offset: offset + at,
      });
    if (bytes.length - at < CENTRAL_ENTRY.bytes || view.getUint32(at, true) !== CENTRAL_ENTRY.signature) throw broken();
    const nameAt = at + CENTRAL_ENTRY.bytes;
    const extraAt = nameAt + view.getUint16(at + 28, true);
    const commentAt = extraAt + view.getUint16(at + 30, true);
    const next = commentAt + view.getUint16(at + 32, true);
    if (next > bytes.length) throw broken();
    const nameBytes = bytes.subarray(nameAt, extraAt);
    // In the order in which zip64 gives those that do not fit.
    const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
    const [size, compressedSize, headerOffset] = widenFields(view, extraAt, commentAt, fields) ?? [];
    if (size === undefined || compressedSize === undefined || headerOffset === undefined) throw broken();
    entries.push({
      name: Buffer.from(nameBytes).toString('utf8'),
      size,
      compressedSize,
      method: view.getUint16(at + 10, true),
      flags: view.getUint16(at + 8, true),
      headerOffset,
      nameBytes,
    });
    at = next;
  }
  if (entries.length !== count) {
    throw formatError(
      file,
      `the zip directory has ${entries.length} entries, but ${count} were announced; the file is damaged.`,
    );
  }
  return withLimits(file, entries, offset);
}

function withLimits(file: string, entries: readonly Omit<ZipEntry, 'limit'>[], directoryOffset: number): ZipDirectory {
  const directory = new Map<string, ZipEntry>();
  const inOrder = entries.toSorted((a, b) => a.headerOffset - b.headerOffset);
  for (const [i, entry] of inOrder.entries()) {
    if (directory.has(entry.name)) {
      throw formatError(
        file,
        `the zip directory has two entries named ${quoteName(entry.name)}, so readers would disagree about which one counts.`,
      );
    }
    directory.set(entry.name, { ...entry, limit: inOrder[i + 1]?.headerOffset ?? directoryOffset });
  }
  return directory;
}

/** Fills in the zip64 values of 32-bit fields that are all ones; undefined when the extra field lacks one. */
function widenFields(view: DataView, from: number, to: number, fields: readonly number[]): number[] | undefined {
  if (!fields.includes(U32_ONES)) return [...fields];
  for (let at = from; at + 4 <= to; ) {
    const fieldEnd = at + 4 + view.getUint16(at + 2, true);
    if (fieldEnd > to) return undefined;
    if (view.getUint16(at, true) !== ZIP64_FIELD) {
      at = fieldEnd;
      continue;
    }
    let next = at + 4;
    const wide: number[] = [];
    for (const field of fields) {
      if (field !== U32_ONES) wide.push(field);
      else {
        if (next + 8 > fieldEnd) return undefined;
        wide.push(Number(view.getBigUint64(next, true)));
        next += 8;
      }
    }
    return wide;
  }
  return undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

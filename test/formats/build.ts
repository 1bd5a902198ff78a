/** Files made byte by byte for the tests of src/formats, sound unless told otherwise, and a source that counts reads. */

import { readFileSync } from 'node:fs';
import { LcmMergeError } from '../../src/errors.ts';
import { type ByteSource, bytesSource } from '../../src/formats/byte-source.ts';

export const text = (s: string): Uint8Array => Buffer.from(s);
export const concat = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
export const golden = (name: string): Uint8Array => new Uint8Array(readFileSync(`test/golden/${name}`));

function integer(bytes: number, value: number | bigint): Uint8Array {
  const out = Buffer.alloc(8);
  out.writeBigUInt64LE(BigInt(value));
  return out.subarray(0, bytes);
}
export const u8 = (value: number): Uint8Array => integer(1, value);
export const u16 = (value: number): Uint8Array => integer(2, value);
export const u32 = (value: number): Uint8Array => integer(4, value);
export const u64 = (value: number | bigint): Uint8Array => integer(8, value);

/** A safetensors file of this header, verbatim when it is a string, and `data` bytes of data. */
export function safetensors(header: unknown, data = 0): Uint8Array {
  const json = text(typeof header === 'string' ? header : JSON.stringify(header));
  return concat(u64(json.length), json, new Uint8Array(data));
}

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  readonly method?: number;
  readonly flags?: number;
  /** In the directory only; the local header keeps the truth. */
  readonly directory?: { readonly size?: number; readonly compressedSize?: number; readonly offset?: number };
  /** Sizes and offset as zip64 fields. */
  readonly wide?: boolean;
  readonly localName?: string;
  /** Of the local header's extra field, as it claims. */
  readonly localExtra?: number;
}

/** A zip archive of stored entries. */
export function zip(parts: readonly ZipPart[], options: { zip64?: boolean; count?: number; comment?: string } = {}) {
  const local: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const { name, data, method = 0, flags = 0, localName = name, localExtra = 0, wide = false, ...part } of parts) {
    const size = part.directory?.size ?? data.length;
    const compressed = part.directory?.compressedSize ?? size;
    const at = part.directory?.offset ?? offset;
    const header = concat(u32(0x04034b50), u16(20), u16(flags), u16(method), u32(0), u32(0));
    const entry = concat(
      header,
      u32(data.length),
      u32(data.length),
      u16(text(localName).length),
      u16(localExtra),
      text(localName),
      data,
    );
    local.push(entry);
    offset += entry.length;
    const extra = wide ? concat(u16(1), u16(24), u64(size), u64(compressed), u64(at)) : new Uint8Array();
    const narrow = (value: number) => u32(wide ? 0xffffffff : value);
    directory.push(
      concat(u32(0x02014b50), u16(20), u16(20), u16(flags), u16(method), u32(0), u32(0)),
      concat(
        narrow(compressed),
        narrow(size),
        u16(text(name).length),
        u16(extra.length),
        u16(0),
        u16(0),
        u16(0),
        u32(0),
      ),
      concat(narrow(at), text(name), extra),
    );
  }
  const listing = concat(...directory);
  const count = options.count ?? parts.length;
  const end64 = concat(
    concat(
      u32(0x06064b50),
      u64(44),
      u16(45),
      u16(45),
      u32(0),
      u32(0),
      u64(count),
      u64(count),
      u64(listing.length),
      u64(offset),
    ),
    concat(u32(0x07064b50), u32(0), u64(offset + listing.length), u32(1)),
  );
  const comment = text(options.comment ?? '');
  const end = options.zip64
    ? concat(end64, u32(0x06054b50), u32(0), u16(0xffff), u16(0xffff), u32(0xffffffff), u32(0xffffffff))
    : concat(u32(0x06054b50), u32(0), u16(count), u16(count), u32(listing.length), u32(offset));
  return concat(...local, listing, end, u16(comment.length), comment);
}

/** Opcodes by the names of pickletools. */
export const op = {
  PROTO: u8(0x80),
  MARK: text('('),
  STOP: text('.'),
  REDUCE: text('R'),
  BUILD: text('b'),
  NEWOBJ: u8(0x81),
  TUPLE: text('t'),
  EMPTY_TUPLE: text(')'),
  EMPTY_DICT: text('}'),
  EMPTY_LIST: text(']'),
  SETITEM: text('s'),
  SETITEMS: text('u'),
  APPEND: text('a'),
  APPENDS: text('e'),
  BINPERSID: text('Q'),
  NEWFALSE: u8(0x89),
  NONE: text('N'),
  STACK_GLOBAL: u8(0x93),
  MEMOIZE: u8(0x94),
  str: (s: string): Uint8Array => concat(text('X'), u32(text(s).length), text(s)),
  int: (n: number): Uint8Array => concat(text('J'), u32(n >>> 0)),
  long: (n: bigint): Uint8Array => concat(u8(0x8a), u8(8), u64(BigInt.asUintN(64, n))),
  global: (module: string, name: string): Uint8Array => text(`c${module}\n${name}\n`),
  put: (index: number): Uint8Array => concat(text('q'), u8(index)),
  get: (index: number): Uint8Array => concat(text('h'), u8(index)),
  tuple: (...items: Uint8Array[]): Uint8Array => concat(op.MARK, ...items, op.TUPLE),
  call: (module: string, name: string, ...args: Uint8Array[]): Uint8Array =>
    concat(op.global(module, name), op.tuple(...args), op.REDUCE),
  dict: (...pairs: (readonly [Uint8Array, Uint8Array])[]): Uint8Array =>
    concat(op.EMPTY_DICT, op.MARK, ...pairs.flat(), op.SETITEMS),
};

export const pickle = (...body: Uint8Array[]): Uint8Array => concat(op.PROTO, u8(2), ...body, op.STOP);

export interface TensorParts {
  readonly storage?: string;
  readonly key?: string;
  readonly count?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly marks?: Uint8Array;
  readonly rebuild?: string;
}

/** What torch.save writes for one tensor; by default float32 [2] that fills storage "0". */
export function tensor(parts: TensorParts = {}): Uint8Array {
  const { storage = 'FloatStorage', key = '0', count = 2, offset = 0, shape = [2], strides = [1] } = parts;
  const int = (n: number) => (n < 2 ** 31 ? op.int(n) : op.long(BigInt(n)));
  const ints = (values: readonly number[]) => op.tuple(...values.map(int));
  return op.call(
    'torch._utils',
    parts.rebuild ?? '_rebuild_tensor_v2',
    concat(
      op.tuple(op.str('storage'), op.global('torch', storage), op.str(key), op.str('cpu'), int(count)),
      op.BINPERSID,
    ),
    op.int(offset),
    ints(shape),
    ints(strides),
    op.NEWFALSE,
    op.call('collections', 'OrderedDict'),
    parts.marks ?? new Uint8Array(),
  );
}

/** A checkpoint of this pickle and one storage "0" of 8 bytes, plus or instead of what `parts` says. */
export function checkpoint(body: Uint8Array, parts: readonly ZipPart[] = [], options: Parameters<typeof zip>[1] = {}) {
  const standard: ZipPart[] = [
    { name: 'archive/data.pkl', data: body },
    { name: 'archive/byteorder', data: text('little') },
    { name: 'archive/data/0', data: new Uint8Array(8) },
  ];
  const kept = standard.filter(({ name }) => !parts.some((part) => part.name === name));
  return zip([...kept, ...parts], options);
}

/** `reads` lists [offset, length] of every read. */
export function countingSource(inner: ByteSource): ByteSource & { readonly reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name: inner.name,
    size: inner.size,
    reads,
    read(offset, length, into) {
      reads.push([offset, length]);
      return inner.read(offset, length, into);
    },
    assertUnchanged: () => inner.assertUnchanged(),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
}

export const source = (bytes: Uint8Array): ByteSource => bytesSource('weights.bin', bytes);

/** What `promise` is rejected with, which must be one of our errors and name its file. */
export async function errorOf(promise: Promise<unknown>): Promise<LcmMergeError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof LcmMergeError)) throw new Error(`expected one of our errors, got ${String(error)}`);
  return error;
}

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Described {
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Dense bytes. */
  readonly hex: string;
  readonly float64: readonly (number | string)[];
  readonly float32: readonly (number | string)[];
}

interface FamilyFile {
  readonly count: number;
  /** Of every tensor's bytes, in the order of the names. */
  readonly sha256: string;
  readonly probes: Readonly<
    Record<string, { dtype: string; shape: readonly number[]; sum: number; first: readonly (number | string)[] }>
  >;
}

/** test/golden/formats.json, made by test/oracle/formats.py. */
export function goldenFormats(): {
  readonly family: Readonly<Record<string, FamilyFile>>;
  readonly kinds: Readonly<Record<string, Described>>;
  readonly lightning: Readonly<Record<string, Described>>;
  readonly named: Readonly<Record<string, Described>>;
  readonly rounding: Readonly<Record<string, string>>;
} {
  return JSON.parse(readFileSync('test/golden/formats.json', 'utf8'));
}

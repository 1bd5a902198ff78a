/**
 * safetensors, read strictly and written canonically. Layout: u64 length of the header, the header (JSON, UTF-8), then the
 * tensors without a gap. Source of truth: huggingface/safetensors, README "Format" and safetensors/src/tensor.rs.
 */

import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { type ByteSource, ioError } from './byte-source.ts';
import { DTYPES, type DType, denseByteLength, isDType } from './dtype.ts';
import { formatError, quoteName } from './format-error.ts';
import { isJsonObject, parseJson } from './json.ts';
import { MAX_NAME } from './limits.ts';
import type { TensorEntry, TensorFile } from './tensor-file.ts';

/** The Rust library's own limit. SD1.5 as one file needs 150 KB; a header is held in memory as text and as objects. */
export const MAX_HEADER_BYTES = 100_000_000;

/** Of the u64 that holds the header's length. */
const PREFIX = 8;

const METADATA = '__metadata__';

const ENTRY_KEYS = ['dtype', 'shape', 'data_offsets'];

/** Reads the header in two reads and checks everything that can be wrong with it. Throws FormatError. */
export async function readSafetensors(source: ByteSource): Promise<TensorFile> {
  const { name: file, size } = source;
  const headerLength = await readHeaderLength(source);
  const dataStart = PREFIX + headerLength;
  const header = parseHeader(file, await source.read(PREFIX, headerLength));
  const entries: TensorEntry[] = [];
  let metadata = checkMetadata(file, {});
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) metadata = checkMetadata(file, value);
    else entries.push(checkEntry(file, name, value, dataStart, size));
  }
  checkCoverage(file, entries, dataStart, size);
  return {
    kind: 'safetensors',
    source,
    metadata,
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  const { name: file, size } = source;
  if (size < PREFIX) {
    throw formatError(
      file,
      `the file has ${size} bytes, and a safetensors file begins with ${PREFIX} that give the length of its header; it is truncated or of another kind.`,
    );
  }
  const prefix = await source.read(0, PREFIX);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw formatError(
      file,
      `the safetensors header claims ${length} bytes, more than the ${MAX_HEADER_BYTES} allowed; the file is damaged or of another kind.`,
      { offset: 0 },
    );
  }
  if (Number(length) > size - PREFIX) {
    throw formatError(
      file,
      `the safetensors header claims ${length} bytes, but only ${size - PREFIX} follow; the file is truncated.`,
      { offset: 0 },
    );
  }
  return Number(length);
}

function parseHeader(file: string, bytes: Uint8Array): Readonly<Record<string, unknown>> {
  const offset = PREFIX;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw formatError(file, 'the safetensors header is not UTF-8; the file is damaged.', { offset }, cause);
  }
  let parsed: ReturnType<typeof parseJson>;
  try {
    parsed = parseJson(text);
  } catch (cause) {
    const reason = cause instanceof Error ? quoteName(cause.message) : 'unknown error';
    throw formatError(
      file,
      `the safetensors header is not JSON (${reason}); the file is damaged or of another kind.`,
      { offset },
      cause,
    );
  }
  if (!text.startsWith('{') || !isJsonObject(parsed.value)) {
    throw formatError(file, 'the safetensors header is JSON, but does not begin with "{" as it must.', { offset });
  }
  if (parsed.duplicate !== undefined) {
    throw formatError(
      file,
      `the safetensors header has the key ${quoteName(parsed.duplicate)} twice in one object, so readers would disagree about which one counts; write the file anew.`,
      { offset },
    );
  }
  return parsed.value;
}

function checkMetadata(file: string, value: unknown): Record<string, string> {
  const metadata: Record<string, string> = Object.create(null);
  if (!isJsonObject(value)) throw formatError(file, `${METADATA} must be an object of strings; it is ${show(value)}.`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw formatError(file, `${METADATA} must hold only strings, but ${quoteName(key)} is ${show(text)}.`);
    }
    metadata[key] = text;
  }
  return metadata;
}

function checkEntry(file: string, name: string, value: unknown, dataStart: number, size: number): TensorEntry {
  const fail = (problem: string) => formatError(file, `tensor ${quoteName(name)} ${problem}`, { tensor: name });
  if (name.length > MAX_NAME)
    throw fail(`has a name of ${name.length} characters; no weight file needs more than ${MAX_NAME}.`);
  if (!isJsonObject(value)) throw fail(`must be described by an object; it is ${show(value)}.`);
  const missing = ENTRY_KEYS.find((key) => !Object.hasOwn(value, key));
  if (missing) throw fail(`has no ${missing}; dtype, shape and data_offsets are expected.`);
  const extra = Object.keys(value).find((key) => !ENTRY_KEYS.includes(key));
  if (extra !== undefined)
    throw fail(`has the key ${quoteName(extra)}; only dtype, shape and data_offsets are expected.`);
  const { dtype, shape, data_offsets: offsets } = value as { dtype: unknown; shape: unknown; data_offsets: unknown };
  if (typeof dtype !== 'string' || !isDType(dtype)) {
    throw fail(`has dtype ${show(dtype)}; ${Object.keys(DTYPES).join(', ')} are read here.`);
  }
  if (!isSizes(shape)) throw fail(`has shape ${show(shape)}; a list of non-negative integers is expected.`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(`has data_offsets ${show(offsets)}; two non-negative integers are expected.`);
  }
  const byteLength = denseByteLength(dtype, shape);
  if (byteLength === undefined) throw fail(`has shape ${show(shape)}, whose size in bytes is beyond 2^53.`);
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw fail(`has data_offsets ${show(offsets)}, which end before they begin.`);
  if (end - begin !== byteLength) {
    throw fail(
      `of dtype ${dtype} and shape ${show(shape)} takes ${byteLength} bytes, but its data_offsets ${show(offsets)} span ${end - begin}.`,
    );
  }
  if (end > size - dataStart) {
    throw fail(
      `ends at byte ${end} of the data, but the file has only ${size - dataStart} bytes of data; it is truncated: download or copy it again.`,
    );
  }
  return { name, dtype, shape, offset: dataStart + begin, byteLength };
}

/** Every byte of data belongs to exactly one tensor, so nothing else can hide in the file. */
function checkCoverage(file: string, entries: readonly TensorEntry[], dataStart: number, size: number): void {
  let covered = dataStart;
  let previous = 'the header';
  const inOrder = entries.toSorted((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
  for (const { name, offset, byteLength } of inOrder) {
    if (offset !== covered) {
      const problem =
        offset < covered
          ? `begins ${covered - offset} bytes before the end of ${previous}: the two overlap`
          : `begins ${offset - covered} bytes after the end of ${previous}: these bytes belong to no tensor`;
      throw formatError(file, `tensor ${quoteName(name)} ${problem}; write the file anew.`, { tensor: name, offset });
    }
    covered += byteLength;
    previous = `tensor ${quoteName(name)}`;
  }
  if (covered !== size) {
    throw formatError(
      file,
      `${size - covered} bytes follow the end of ${previous} and belong to no tensor; the file is damaged or was appended to.`,
      { offset: covered },
    );
  }
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A JSON value in a message. Lists of lists are not walked: a hostile header nests them a million deep. */
function show(value: unknown): string {
  if (typeof value === 'string') return quoteName(value);
  if (isJsonObject(value)) return 'an object';
  if (!Array.isArray(value)) return String(value);
  return value.length <= 64 && value.every((item) => typeof item === 'number') ? `[${value}]` : 'a list';
}

export interface TensorDescription {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface TensorToWrite extends TensorDescription {
  /** Dense little-endian bytes, or what makes them when their turn comes: only one tensor's are held at a time. */
  readonly data: Uint8Array | (() => Promise<Uint8Array>);
}

/**
 * Writes the file that the Rust library would write for the same tensors, whatever their order here: widest dtype first,
 * then by name (with more than one metadata key: those by name too). Goes to `PATH.partial`, which takes the place of
 * `path` only when it is complete and on disk. Throws FormatError for tensors that cannot be written as described, IoError.
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const { header, ordered } = layOutSafetensors(path, tensors, metadata);
  const partial = `${path}.partial`;
  try {
    await writePartial(partial, header, ordered);
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true }).catch(() => {}); // the first error is the one to tell
    throw error instanceof Error && 'syscall' in error ? ioError('write', path, error) : error;
  }
}

async function writePartial(
  partial: string,
  header: Uint8Array,
  ordered: readonly Sized<TensorToWrite>[],
): Promise<void> {
  await using handle = await open(partial, 'w');
  await writeAll(handle, header);
  for (const { tensor, byteLength } of ordered) {
    const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
    if (data.byteLength !== byteLength) {
      throw formatError(
        partial,
        `tensor ${quoteName(tensor.name)} of dtype ${tensor.dtype} and shape [${tensor.shape}] takes ${byteLength} bytes, but ${data.byteLength} were given.`,
        { tensor: tensor.name },
      );
    }
    await writeAll(handle, data);
  }
  await handle.sync();
}

/** write(2) moves at most 2 GiB − 4 KiB and may move less than asked. */
const WRITE_PIECE = 64 << 20;

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    done += (await handle.write(bytes, done, Math.min(WRITE_PIECE, bytes.byteLength - done))).bytesWritten;
  }
}

export interface Sized<Tensor> {
  readonly tensor: Tensor;
  readonly byteLength: number;
}

/** The file's beginning, up to the first tensor, and the order in which the tensors follow. Throws FormatError. */
export function layOutSafetensors<Tensor extends TensorDescription>(
  path: string,
  tensors: readonly Tensor[],
  metadata: Readonly<Record<string, string>> | undefined,
): { readonly header: Uint8Array; readonly ordered: readonly Sized<Tensor>[] } {
  const rank = Object.keys(DTYPES);
  const byName = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b)); // by UTF-8, as Rust does
  const ordered = tensors
    .map((tensor): Sized<Tensor> => ({ tensor, byteLength: checkTensorToWrite(path, tensor) }))
    .toSorted(
      ({ tensor: a }, { tensor: b }) => rank.indexOf(b.dtype) - rank.indexOf(a.dtype) || byName(a.name, b.name),
    );
  // Text, not an object: an object would move names like "0" to the front and lose "__proto__".
  const fields: string[] = [];
  if (metadata) {
    const pairs = Object.entries(metadata).toSorted(([a], [b]) => byName(a, b));
    fields.push(`"${METADATA}":{${pairs.map((pair) => pair.map((s) => JSON.stringify(s)).join(':')).join(',')}}`);
  }
  let end = 0;
  const names = new Set([METADATA]);
  for (const { tensor, byteLength } of ordered) {
    const { name, dtype, shape } = tensor;
    if (names.has(name)) {
      throw formatError(path, `two tensors, or one and the metadata, are to be named ${quoteName(name)}.`, {
        tensor: name,
      });
    }
    names.add(name);
    fields.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [end, (end += byteLength)] })}`,
    );
  }
  const text = Buffer.from(`{${fields.join(',')}}`);
  const length = Math.ceil(text.byteLength / 8) * 8; // so that the data begins aligned
  const header = Buffer.alloc(PREFIX + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  header.set(text, PREFIX);
  return { header, ordered };
}

function checkTensorToWrite(path: string, { name, dtype, shape }: TensorDescription): number {
  const byteLength = isSizes(shape) ? denseByteLength(dtype, shape) : undefined;
  if (byteLength === undefined) {
    throw formatError(path, `tensor ${quoteName(name)} cannot have the shape [${shape}].`, { tensor: name });
  }
  return byteLength;
}

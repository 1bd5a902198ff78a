/**
 * A file of named tensors, whatever its container: where each tensor lies, not its bytes. Recognised by content, because
 * extensions lie (`.ckpt`, `.bin`, `.pt` and `.safetensors` all hold either format in the wild).
 */

import { type ByteSource, openFile } from './byte-source.ts';
import { DTYPES, type DType } from './dtype.ts';
import { formatError } from './format-error.ts';
import { MAX_HEADER_BYTES, readSafetensors } from './safetensors.ts';
import { elementSpan, gather } from './strided.ts';
import { readTorchZip } from './torch-zip.ts';

export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Of the first element, in the file; not always a multiple of the element size. */
  readonly offset: number;
  /** Of the dense tensor that `readTensor` gives. */
  readonly byteLength: number;
  /** In elements; present only when the tensor is not contiguous in C order. */
  readonly strides?: readonly number[];
}

export interface TensorFile extends AsyncDisposable {
  readonly kind: 'safetensors' | 'torch-zip';
  readonly source: ByteSource;
  /** safetensors `__metadata__`; empty for torch. Has no prototype: a key such as `__proto__` is a key. */
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of the file. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  /** torch only: classes of the objects that lay beside the tensors and were left alone, as `module.name`, sorted. */
  readonly ignoredGlobals?: readonly string[];
}

/** What is read to tell formats apart: more than any magic number or the start of an error page needs. */
const HEAD_BYTES = 512;

/** What people hand over by mistake, each with the sentence that helps. `text` is the head, trimmed, in lower case. */
const MISTAKEN: readonly {
  readonly is: (head: Uint8Array, text: string) => boolean;
  readonly because: string;
}[] = [
  {
    is: (_, text) => text.startsWith('version https://git-lfs'),
    because:
      'a Git LFS pointer, not the weights themselves; run `git lfs pull` in its folder, or download the file again',
  },
  {
    is: (_, text) => text.startsWith('<!doctype html') || text.startsWith('<html') || text.startsWith('<?xml'),
    because: 'a web page, probably an error or login page saved by a download; download the file again',
  },
  {
    is: (_, text) => text.startsWith('gguf'),
    because: 'a GGUF file, whose quantized weights cannot be merged; use the safetensors version of this model',
  },
  {
    is: (head) => head[0] === 0x80 && head[1]! >= 1 && head[1]! <= 5,
    because:
      'a pickle in the legacy layout that PyTorch wrote before 1.6, which is not read here; load it in PyTorch and save it as safetensors',
  },
  {
    // ModelProto: ir_version (field 1, varint), then producer_name (2), graph (7) or opset_import (8)
    is: (head) => head[0] === 0x08 && head[1]! <= 32 && [0x12, 0x3a, 0x42].includes(head[2]!),
    because:
      'an ONNX model, which is what lcm-merge writes and not what it merges; name the weights it was exported from',
  },
  {
    is: (_, text) => text.startsWith('{'),
    because: 'JSON text, such as a config or the index of a sharded model; name the file that holds the tensors',
  },
];

/**
 * Opens a safetensors file or a PyTorch zip checkpoint and reads its header. Throws InputMissingError, IoError, or a
 * FormatError that says what the file is instead or how it is damaged. Dispose of the result to close the file.
 */
export async function openTensorFile(path: string): Promise<TensorFile> {
  const source = await openFile(path);
  try {
    return await readTensorFile(source);
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

/** The same for any source, which stays the caller's until this succeeds. */
export async function readTensorFile(source: ByteSource): Promise<TensorFile> {
  const file = source.name;
  if (source.size === 0) throw formatError(file, 'an empty file; download or copy it again.');
  const head = await source.read(0, Math.min(HEAD_BYTES, source.size));
  if (head[0] === 0x50 && head[1] === 0x4b) return readTorchZip(source); // "PK"
  // A safetensors file begins with the length of its header, so any magic number must be ruled out by what follows it.
  const headerLength = head.length < 8 ? undefined : new DataView(head.buffer, head.byteOffset).getBigUint64(0, true);
  if (headerLength !== undefined && headerLength <= MAX_HEADER_BYTES && head[8] === 0x7b)
    return readSafetensors(source);
  const text = Buffer.from(head)
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trimStart()
    .toLowerCase();
  const mistaken = MISTAKEN.find(({ is }) => is(head, text));
  if (mistaken) throw formatError(file, `${mistaken.because}.`);
  // Up to 4 GiB it reads as a length, so the safetensors reader knows best what is wrong with it.
  if (headerLength === undefined || headerLength < 2n ** 32n) return readSafetensors(source);
  throw formatError(
    file,
    `neither safetensors nor a PyTorch zip checkpoint (it begins with the bytes ${Buffer.from(head.subarray(0, 8)).toString('hex')}); convert it to safetensors.`,
    { offset: 0 },
  );
}

/**
 * The elements of one tensor: little-endian, dense, in C order. Only the bytes that the tensor spans are read. They lie in what
 * `allocate` gives, unless they had to be gathered.
 */
export async function readTensor(
  file: TensorFile,
  entry: TensorEntry,
  allocate?: (bytes: number) => Uint8Array,
): Promise<Uint8Array> {
  if (!entry.strides) return file.source.read(entry.offset, entry.byteLength, allocate?.(entry.byteLength));
  const { bytes } = DTYPES[entry.dtype];
  const span = await file.source.read(entry.offset, elementSpan(entry.shape, entry.strides) * bytes);
  return gather(span, bytes, entry.shape, entry.strides);
}

/** The rows from `from` to `to`, `to` excluded, of a tensor of one or more dimensions, as a tensor of its own. */
export function rowsOf(entry: TensorEntry, from: number, to: number): TensorEntry {
  const [rows, ...rest] = entry.shape as [number, ...number[]];
  const stride = entry.strides?.[0] ?? rest.reduce((n, dim) => n * dim, 1);
  return {
    ...entry,
    shape: [to - from, ...rest],
    offset: entry.offset + from * stride * DTYPES[entry.dtype].bytes,
    byteLength: (entry.byteLength / rows) * (to - from),
  };
}

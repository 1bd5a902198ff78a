/**
 * PyTorch checkpoints as torch.save has written them since 1.6: a zip of stored entries `ROOT/data.pkl` (the pickle) and
 * `ROOT/data/KEY` (the storages). Source of truth: PyTorch torch/serialization.py, caffe2/serialize/inline_container.cc.
 */

import type { ByteSource } from './byte-source.ts';
import { DTYPES, denseByteLength } from './dtype.ts';
import { formatError, quoteName } from './format-error.ts';
import { MAX_PICKLE_BYTES, unpickle } from './pickle.ts';
import { isContiguous } from './strided.ts';
import type { TensorEntry, TensorFile } from './tensor-file.ts';
import { readStateDict, type TorchTensor } from './torch-state-dict.ts';
import { locateEntry, readZipDirectory, type ZipDirectory } from './zip.ts';

const PICKLE = '/data.pkl';

/** Reads the directory, the pickle and the headers of the storages in use; no tensor data. Throws FormatError. */
export async function readTorchZip(source: ByteSource): Promise<TensorFile> {
  const directory = await readZipDirectory(source);
  const root = findRoot(source.name, directory);
  await checkByteOrder(source, directory, root);
  const { bytes, offset } = await readWhole(source, directory, `${root}${PICKLE}`, MAX_PICKLE_BYTES);
  const { tensors, ignoredGlobals } = readStateDict(unpickle(bytes, source.name, offset), source.name);
  const storages = new Map<string, number>(); // where the data of each begins
  const entries = new Map<string, TensorEntry>();
  for (const tensor of tensors.values()) {
    const start = storages.get(tensor.storageKey) ?? (await locateStorage(source, directory, root, tensor));
    storages.set(tensor.storageKey, start);
    entries.set(tensor.name, toEntry(tensor, start));
  }
  return {
    kind: 'torch-zip',
    source,
    metadata: Object.create(null),
    tensors: entries,
    ignoredGlobals,
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function findRoot(file: string, directory: ZipDirectory): string {
  const roots = [...directory.keys()]
    .filter((name) => name.endsWith(PICKLE) && name.indexOf('/') === name.length - PICKLE.length)
    .map((name) => name.slice(0, -PICKLE.length));
  const [root] = roots;
  if (root === undefined) {
    throw formatError(
      file,
      'a zip archive, but no PyTorch checkpoint: it has no data.pkl. If the weights are inside, unpack it first.',
    );
  }
  if (roots.length > 1) {
    throw formatError(
      file,
      `it holds ${roots.length} PyTorch checkpoints (${roots.slice(0, 3).map(quoteName).join(', ')} …); one was expected.`,
    );
  }
  if (directory.has(`${root}/constants.pkl`)) {
    throw formatError(
      file,
      'a TorchScript program, not a checkpoint; save `model.state_dict()` as safetensors instead.',
    );
  }
  return root;
}

async function checkByteOrder(source: ByteSource, directory: ZipDirectory, root: string): Promise<void> {
  const name = `${root}/byteorder`;
  if (!directory.has(name)) return; // PyTorch before 2.1 did not say, and knew only little-endian
  const order = Buffer.from((await readWhole(source, directory, name, 16)).bytes).toString('latin1');
  if (order !== 'little') {
    throw formatError(
      source.name,
      `its byte order is ${quoteName(order)}; only little-endian checkpoints are read. Save it as safetensors instead.`,
    );
  }
}

async function readWhole(source: ByteSource, directory: ZipDirectory, name: string, limit: number) {
  const entry = directory.get(name)!;
  if (entry.size > limit) {
    throw formatError(
      source.name,
      `zip entry ${quoteName(name)} has ${entry.size} bytes, more than the ${limit} allowed.`,
    );
  }
  const offset = await locateEntry(source, entry);
  return { bytes: await source.read(offset, entry.size), offset };
}

async function locateStorage(source: ByteSource, directory: ZipDirectory, root: string, tensor: TorchTensor) {
  const entry = directory.get(`${root}/data/${tensor.storageKey}`);
  const fail = (problem: string) =>
    formatError(
      source.name,
      `the storage ${quoteName(tensor.storageKey)} of tensor ${quoteName(tensor.name)} ${problem}; the file is damaged.`,
      { tensor: tensor.name },
    );
  if (!entry) throw fail('is not in the archive');
  if (entry.size !== tensor.storageBytes)
    throw fail(`has ${entry.size} bytes where ${tensor.storageBytes} were expected`);
  return locateEntry(source, entry);
}

function toEntry({ name, dtype, shape, strides, storageOffset }: TorchTensor, start: number): TensorEntry {
  return {
    name,
    dtype,
    shape,
    offset: start + storageOffset * DTYPES[dtype].bytes,
    byteLength: denseByteLength(dtype, shape)!, // readStateDict has checked it
    ...(isContiguous(shape, strides) ? {} : { strides }),
  };
}

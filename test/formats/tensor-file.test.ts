import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { toFloat64 } from '../../src/formats/dtype.ts';
import { openTensorFile, readTensor, readTensorFile, rowsOf, type TensorFile } from '../../src/formats/tensor-file.ts';
import {
  checkpoint,
  concat,
  countingSource,
  errorOf,
  golden,
  goldenFormats,
  op,
  pickle,
  safetensors,
  seeded,
  source,
  tensor,
  text,
  u8,
} from './build.ts';

const { family } = goldenFormats();
const byteOrder = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** Of this process; Linux tells, elsewhere the list is empty. */
async function openPaths(): Promise<string[]> {
  const handles = await readdir('/proc/self/fd').catch(() => []);
  return Promise.all(handles.map((handle) => readlink(`/proc/self/fd/${handle}`).catch(() => '')));
}

describe('openTensorFile', () => {
  it.each(Object.entries(family))('opens models/tiny/%s and finds what PyTorch finds', async (name, expected) => {
    await using file = await openTensorFile(`models/tiny/${name}`);
    expect(file.kind).toBe(name.endsWith('.ckpt') ? 'torch-zip' : 'safetensors');
    expect(file.tensors.size).toBe(expected.count);
    const hash = createHash('sha256');
    for (const key of [...file.tensors.keys()].sort(byteOrder))
      hash.update(await readTensor(file, file.tensors.get(key)!));
    expect(hash.digest('hex')).toBe(expected.sha256);
    for (const [key, { dtype, shape, sum, first }] of Object.entries(expected.probes)) {
      const entry = file.tensors.get(key)!;
      expect([entry.dtype, entry.shape]).toEqual([dtype, shape]);
      const values = toFloat64(await readTensor(file, entry), entry.dtype);
      expect([...values.subarray(0, 4)]).toEqual(first);
      expect(values.reduce((a, b) => a + b, 0)).toBeCloseTo(sum, 9);
    }
  });

  it.each(['formats.ckpt', 'formats.safetensors'])('finds the rows of every tensor of %s', async (name) => {
    await using file = await openTensorFile(`test/golden/${name}`);
    let strided = 0;
    for (const entry of file.tensors.values()) {
      const [rows = 0] = entry.shape;
      if (rows < 2 || entry.byteLength === 0) continue;
      if (entry.strides) strided += 1;
      const cuts = [0, 1, Math.ceil(rows / 2) + 1, rows].filter((cut, i, all) => cut <= rows && all.indexOf(cut) === i);
      const parts: Uint8Array[] = [];
      for (const [i, to] of cuts.entries())
        if (i > 0) parts.push(await readTensor(file, rowsOf(entry, cuts[i - 1] as number, to)));
      expect(Buffer.concat(parts).equals(await readTensor(file, entry)), entry.name).toBe(true);
    }
    expect(strided > 0).toBe(name.endsWith('.ckpt'));
  });

  it('closes the file, also one that it refuses', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tensor-file-'));
    const path = join(folder, 'x');
    await writeFile(path, safetensors('{}'));
    let closed: TensorFile;
    {
      await using file = await openTensorFile(path);
      closed = file;
    }
    expect((await errorOf(closed.source.read(0, 8))).name).toBe('IoError');
    await writeFile(path, 'no');
    expect((await errorOf(openTensorFile(path))).name).toBe('FormatError');
    expect(await openPaths()).not.toContain(path);
    await rm(folder, { recursive: true });
    expect((await errorOf(openTensorFile(path))).name).toBe('InputMissingError');
  });

  it('needs one read more than the reader it picks', async () => {
    const counting = countingSource(
      source(safetensors({ a: { dtype: 'U8', shape: [5000], data_offsets: [0, 5000] } }, 5000)),
    );
    await readTensorFile(counting);
    expect(counting.reads.map(([, length]) => length)).toEqual([512, 8, counting.size - 5000 - 8]);
  });

  it.each<[string, Uint8Array, string]>([
    ['an empty file', new Uint8Array(), 'an empty file'],
    [
      'a Git LFS pointer',
      text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n'),
      'run `git lfs pull`',
    ],
    ['a web page', text('\ufeff\n <!DOCTYPE html><html>'), 'a web page'],
    ['a web page without a type', text('<html lang="en"><head>'), 'a web page'],
    ['an error of a storage service', text('<?xml version="1.0"?><Error>'), 'a web page'],
    [
      'a legacy checkpoint',
      concat(u8(0x80), u8(2), u8(0x8a), u8(10), new Uint8Array(600).fill(0x6c)),
      'the legacy layout that PyTorch wrote before 1.6',
    ],
    ['GGUF', concat(text('GGUF'), u8(3), new Uint8Array(99)), 'a GGUF file'],
    ['ONNX', concat(u8(8), u8(10), u8(0x12), u8(7), text('pytorch:'), new Uint8Array(50).fill(1)), 'an ONNX model'],
    ['JSON', text('{"metadata":{"total_size":1},"weight_map":{}}'), 'JSON text'],
    [
      'a picture',
      concat(u8(0x89), text('PNG\r\n'), u8(26), text('\n'), new Uint8Array(20)),
      'begins with the bytes 89504e470d0a1a0a',
    ],
    ['another zip', text('PK\x05\x06'.padEnd(22, '\0')), 'a zip archive, but no PyTorch checkpoint'],
    ['four bytes', text('abcd'), 'the file has 4 bytes'],
    [
      'a header length that is out of bounds',
      concat(u8(0), u8(0), u8(0), u8(0x80), new Uint8Array(4), text('{}')),
      'claims 2147483648 bytes',
    ],
    ['a torch zip cut short', golden('formats.ckpt').subarray(0, -1), 'hold no end record; it is truncated'],
    ['a safetensors cut short', golden('formats.safetensors').subarray(0, -1), 'it is truncated'],
  ])('says what %s is', async (_, bytes, message) => {
    const error = await errorOf(readTensorFile(source(bytes)));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^weights\.bin: [^\n]*\.$/);
  });

  it('is not misled by a header whose length looks like a pickle', async () => {
    const header = '{"__metadata__":{"a":"'.padEnd(0x280 - 3, 'x'); // bytes 80 02: PROTO 2
    const bytes = safetensors(`${header}"}}`);
    expect([...bytes.subarray(0, 2)]).toEqual([0x80, 0x02]);
    expect((await readTensorFile(source(bytes))).kind).toBe('safetensors');
  });
});

describe('damaged files', () => {
  const strided = tensor({ shape: [2, 2], strides: [0, 1] });
  const seeds: [string, Uint8Array][] = [
    ['safetensors', golden('formats.safetensors')],
    ['torch zip', golden('formats.ckpt')],
    ['torch zip, protocol 4', golden('formats-lightning.ckpt')],
    ['small torch zip', checkpoint(pickle(op.dict([op.str('t'), strided])))],
    ['small safetensors', safetensors({ a: { dtype: 'F16', shape: [2, 2], data_offsets: [0, 8] } }, 8)],
  ];

  it.each(seeds)('%s: 3,000 random edits end in tensors or in a FormatError', async (_, seed) => {
    const random = seeded(seed.length);
    const below = (n: number) => Math.floor(random() * n);
    const outcomes = { read: 0, refused: 0 };
    for (let round = 0; round < 3000; round++) {
      const bytes = new Uint8Array(seed);
      // Bytes that mean something to a parser are worth more tries than random ones.
      for (let edit = below(3); edit >= 0; edit--)
        bytes[below(bytes.length)] = [below(256), 0, 255, 0x28, 0x7b, 0x22][below(6)]!;
      const cut = below(4) === 0 ? bytes.subarray(0, below(bytes.length)) : bytes;
      try {
        const file = await readTensorFile(source(cut));
        for (const entry of file.tensors.values()) {
          expect(await readTensor(file, entry)).toHaveLength(entry.byteLength);
        }
        outcomes.read++;
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
        expect(error.message).toMatch(/^weights\.bin: [^\n]*\.$/);
        outcomes.refused++;
      }
    }
    expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(100);
  });
});

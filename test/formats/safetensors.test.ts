import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { openFile } from '../../src/formats/byte-source.ts';
import {
  MAX_HEADER_BYTES,
  readSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/formats/safetensors.ts';
import { readTensor } from '../../src/formats/tensor-file.ts';
import { concat, countingSource, errorOf, golden, goldenFormats, safetensors, source, text, u64 } from './build.ts';

const f32 = (begin: number, end: number, shape: unknown = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});
const read = (bytes: Uint8Array) => readSafetensors(source(bytes));
/** A header of one tensor "t" described by this JSON text. */
const one = (entry: string, data = 8) => safetensors(`{"t":${entry}}`, data);

describe('readSafetensors', () => {
  it('reads a header in two reads and no data', async () => {
    const counting = countingSource(source(safetensors({ a: f32(0, 8), b: f32(8, 4000) }, 4000)));
    const file = await readSafetensors(counting);
    expect(counting.reads).toEqual([
      [0, 8],
      [8, counting.size - 4000 - 8],
    ]);
    expect([...file.tensors.keys()]).toEqual(['a', 'b']);
  });

  it('gives every tensor of a file by the Rust library', async () => {
    const file = await read(golden('formats.safetensors'));
    const { named } = goldenFormats();
    expect(new Set(file.tensors.keys())).toEqual(new Set(Object.keys(named)));
    expect({ ...file.metadata }).toEqual({ format: 'pt \u2028\x1b' });
    for (const entry of file.tensors.values()) {
      const expected = named[entry.name]!;
      expect([entry.dtype, entry.shape]).toEqual([expected.dtype, expected.shape]);
      expect(Buffer.from(await readTensor(file, entry)).toString('hex')).toBe(expected.hex);
    }
  });

  // Each stands beside a rejected neighbour below.
  it.each<[string, Uint8Array, number]>([
    ['no tensor at all', safetensors('{}'), 0],
    ['a header padded with spaces', safetensors('{}      '), 0],
    ['a header of odd length, so unaligned tensors', safetensors(`{"t":${JSON.stringify(f32(0, 8))}} `, 8), 1],
    ['tensors listed in another order than they lie', safetensors({ b: f32(4, 8), a: f32(0, 4) }, 8), 2],
    ['a scalar', safetensors({ a: f32(0, 4, []) }, 4), 1],
    ['empty tensors, also at the end', safetensors({ a: f32(0, 4), e: f32(4, 4, [0, 7]), f: f32(0, 0, [0]) }, 4), 3],
    [
      'names that are traps for objects',
      safetensors(
        '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}',
        2,
      ),
      2,
    ],
    ['metadata with such names', safetensors('{"__metadata__":{"__proto__":"x"}}'), 0],
  ])('accepts %s', async (_, bytes, count) => {
    const file = await read(bytes);
    expect(file.tensors.size).toBe(count);
    for (const entry of file.tensors.values()) expect(await readTensor(file, entry)).toHaveLength(entry.byteLength);
  });

  it('keeps metadata apart from prototypes', async () => {
    const { metadata } = await read(safetensors('{"__metadata__":{"__proto__":"x","a":"b"}}'));
    expect(Object.getPrototypeOf(metadata)).toBeNull();
    expect(Object.entries(metadata)).toEqual([
      ['__proto__', 'x'],
      ['a', 'b'],
    ]);
  });

  it.each<[string, Uint8Array, string]>([
    ['7 bytes', new Uint8Array(7), 'the file has 7 bytes'],
    ['a header over the limit', u64(MAX_HEADER_BYTES + 1), 'claims 100000001 bytes, more than the 100000000 allowed'],
    ['a header of 2^64 − 1', concat(u64(2n ** 64n - 1n), text('{}')), 'claims 18446744073709551615 bytes'],
    ['a header beyond the file', concat(u64(3), text('{}')), 'claims 3 bytes, but only 2 follow'],
    ['bytes that are not UTF-8', concat(u64(5), text('{"'), new Uint8Array([0xff]), text('":')), 'not UTF-8'],
    ['a header of length 0', u64(0), 'not JSON'],
    ['half an object', safetensors('{"t":'), 'not JSON'],
    ['a byte order mark', safetensors('\ufeff{}'), 'not JSON'],
    ['a list', safetensors('[]'), 'does not begin with "{"'],
    ['space before the object', safetensors(' {}'), 'does not begin with "{"'],
    ['null', safetensors('null'), 'does not begin with "{"'],
    [
      'two tensors of one name',
      safetensors(
        '{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
        1,
      ),
      'the key "t" twice',
    ],
    [
      'two shapes in one entry',
      one('{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]}'),
      'the key "shape" twice',
    ],
    ['two metadata', safetensors('{"__metadata__":{},"__metadata__":{}}'), 'the key "__metadata__" twice'],
    ['a number in the metadata', safetensors({ __metadata__: { a: 1 } }), 'only strings, but "a" is 1'],
    ['metadata that is a list', safetensors({ __metadata__: [] }), 'must be an object of strings; it is []'],
    ['a name without end', safetensors({ ['x'.repeat(513)]: f32(0, 4) }, 4), 'has a name of 513 characters'],
    ['an entry that is a list', one('[[[[]]]]'), 'tensor "t" must be described by an object; it is a list'],
    ['a list a million deep', one(`${'['.repeat(1e6)}${']'.repeat(1e6)}`), 'it is a list'],
    ['an entry without dtype', one('{"shape":[2],"data_offsets":[0,8]}'), 'tensor "t" has no dtype'],
    ['an entry without shape', one('{"dtype":"F32","data_offsets":[0,8]}'), 'tensor "t" has no shape'],
    ['an entry without offsets', one('{"dtype":"F32","shape":[2]}'), 'tensor "t" has no data_offsets'],
    ['a fourth key', one('{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}'), 'tensor "t" has the key "x"'],
    [
      'an unknown dtype',
      one('{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}'),
      'tensor "t" has dtype "F8_E4M3"; BOOL, U8',
    ],
    ['a dtype from a prototype', one('{"dtype":"toString","shape":[8],"data_offsets":[0,8]}'), 'has dtype "toString"'],
    ['a dtype that is a number', one('{"dtype":7,"shape":[8],"data_offsets":[0,8]}'), 'has dtype 7'],
    [
      'a negative size',
      one('{"dtype":"F32","shape":[-2,-1],"data_offsets":[0,8]}'),
      'has shape [-2,-1]; a list of non-negative integers',
    ],
    ['a fractional size', one('{"dtype":"F32","shape":[0.5],"data_offsets":[0,8]}'), 'has shape [0.5]'],
    [
      'a size beyond 2^53',
      one('{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,8]}'),
      'a list of non-negative integers',
    ],
    ['a shape that is text', one('{"dtype":"F32","shape":"2","data_offsets":[0,8]}'), 'has shape "2"'],
    [
      'a product that overflows',
      one('{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}'),
      'beyond 2^53',
    ],
    ['one offset', one('{"dtype":"F32","shape":[2],"data_offsets":[0]}'), 'has data_offsets [0]; two non-negative'],
    [
      'a negative offset',
      one('{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}'),
      'has data_offsets [-8,0]; two non-negative',
    ],
    ['an end before its begin', one('{"dtype":"F32","shape":[2],"data_offsets":[8,0]}'), 'end before they begin'],
    [
      'a span that is too long',
      one('{"dtype":"F32","shape":[1],"data_offsets":[0,8]}'),
      'of dtype F32 and shape [1] takes 4 bytes, but its data_offsets [0,8] span 8',
    ],
    [
      'a span that is too short',
      one('{"dtype":"F32","shape":[2],"data_offsets":[0,4]}'),
      'takes 8 bytes, but its data_offsets [0,4] span 4',
    ],
    [
      'data beyond the file',
      one('{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', 7),
      'ends at byte 8 of the data, but the file has only 7',
    ],
    [
      'an overlap',
      safetensors({ a: f32(0, 8), b: f32(4, 12) }, 12),
      'tensor "b" begins 4 bytes before the end of tensor "a"',
    ],
    [
      'two names for the same bytes',
      safetensors({ a: f32(0, 8), b: f32(0, 8) }, 8),
      'tensor "b" begins 8 bytes before the end of tensor "a"',
    ],
    [
      'a hole at the beginning',
      safetensors({ a: f32(4, 8) }, 8),
      'tensor "a" begins 4 bytes after the end of the header',
    ],
    [
      'a hole between',
      safetensors({ a: f32(0, 4), b: f32(8, 12) }, 12),
      'tensor "b" begins 4 bytes after the end of tensor "a"',
    ],
    ['bytes at the end', safetensors({ a: f32(0, 4) }, 9), '5 bytes follow the end of tensor "a"'],
    ['data without a tensor', safetensors({}, 1), '1 bytes follow the end of the header'],
  ])('refuses %s', async (_, bytes, message) => {
    const error = await errorOf(read(bytes));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^weights\.bin: .*\.$/);
    expect(error.place.file).toBe('weights.bin');
  });

  it('puts the tensor and the byte into the place of the error', async () => {
    const bytes = safetensors({ a: f32(0, 4), b: f32(8, 12) }, 12);
    expect((await errorOf(read(bytes))).place).toEqual({ file: 'weights.bin', tensor: 'b', offset: bytes.length - 4 });
  });

  it('keeps long names and terminal escapes out of messages', async () => {
    const { message } = await errorOf(read(safetensors({ ['\x1b[2J\u009b'.padEnd(10_000, 'x')]: 1 })));
    expect(message).toContain('\\u001b[2J\\u009bxxx');
    expect(message.length).toBeLessThan(400);
  });
});

describe('writeSafetensors', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'safetensors-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const bytes = (length: number) => new Uint8Array(length);
  const tensor = (name: string, data: TensorToWrite['data'] = bytes(8)): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [2],
    data,
  });

  it('writes byte for byte what the Rust library writes, whatever the order', async () => {
    const expected = golden('formats.safetensors');
    const file = await read(expected);
    const tensors = [...file.tensors.values()]
      .toSorted((a, b) => (a.name < b.name ? 1 : -1))
      .map((entry): TensorToWrite => ({ ...entry, data: () => readTensor(file, entry) }));
    const path = join(folder, 'same.safetensors');
    await writeSafetensors(path, tensors, file.metadata);
    expect(Buffer.compare(await readFile(path), expected)).toBe(0);
  });

  it('sorts metadata, and leaves it out when there is none', async () => {
    const path = join(folder, 'metadata.safetensors');
    await writeSafetensors(path, [], { b: '2', a: '1', 1: '0' });
    expect((await readFile(path)).subarray(8).toString()).toMatch(/^\{"__metadata__":\{"1":"0","a":"1","b":"2"\}\} *$/);
    await writeSafetensors(path, []);
    expect([...(await readFile(path))]).toEqual([...u64(8), ...text('{}      ')]);
  });

  it('asks for one tensor at a time, in the order of the file', async () => {
    const asked: string[] = [];
    const lazy = (name: string) =>
      tensor(name, async () => {
        asked.push(`${name}?`);
        await new Promise((done) => setImmediate(done));
        asked.push(`${name}!`);
        return bytes(8);
      });
    const path = join(folder, 'lazy.safetensors');
    await writeSafetensors(path, [lazy('c'), lazy('a'), lazy('b')]);
    expect(asked).toEqual(['a?', 'a!', 'b?', 'b!', 'c?', 'c!']);
    await using source = await openFile(path);
    expect((await readSafetensors(source)).tensors.size).toBe(3);
  });

  it('leaves the old file and no partial one when a tensor cannot be made', async () => {
    const path = join(folder, 'kept.safetensors');
    await writeFile(path, 'old');
    const broken = tensor('b', () => Promise.reject(new FormatError('no')));
    const before = await readdir(folder);
    expect((await errorOf(writeSafetensors(path, [tensor('a'), broken]))).message).toBe('no');
    const short = errorOf(writeSafetensors(path, [tensor('a', bytes(7))]));
    expect((await short).message).toContain('tensor "a" of dtype F32 and shape [2] takes 8 bytes, but 7 were given');
    expect(await readFile(path, 'utf8')).toBe('old');
    expect(await readdir(folder)).toEqual(before);
  });

  it.each<[string, TensorToWrite[], string]>([
    ['two of one name', [tensor('a'), tensor('a')], 'are to be named "a"'],
    ['the name of the metadata', [tensor('__metadata__')], 'are to be named "__metadata__"'],
    ['a negative size', [{ ...tensor('a'), shape: [-1] }], 'cannot have the shape [-1]'],
    ['a size that overflows', [{ ...tensor('a'), shape: [2 ** 40, 2 ** 40] }], 'cannot have the shape'],
  ])('refuses %s', async (_, tensors, message) => {
    const error = await errorOf(writeSafetensors(join(folder, 'never'), tensors));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
  });

  it('says which file could not be written and why', async () => {
    const path = join(folder, 'missing', 'x.safetensors');
    const error = await errorOf(writeSafetensors(path, [tensor('a')]));
    expect(error.name).toBe('IoError');
    expect(error.message).toBe(`${path}: cannot write it: its folder does not exist.`);
  });
});

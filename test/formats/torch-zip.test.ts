import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { readTensor } from '../../src/formats/tensor-file.ts';
import { readTorchZip } from '../../src/formats/torch-zip.ts';
import {
  checkpoint,
  concat,
  countingSource,
  errorOf,
  golden,
  goldenFormats,
  op,
  pickle,
  source,
  tensor,
  text,
  u8,
  u32,
  type ZipPart,
  zip,
} from './build.ts';

const read = (bytes: Uint8Array) => readTorchZip(source(bytes));
const pair = (name: string, value: Uint8Array) => [op.str(name), value] as const;
/** A checkpoint with one tensor, "t". */
const one = (value: Uint8Array) => checkpoint(pickle(op.dict(pair('t', value))));
const sound = pickle(op.dict(pair('t', tensor())));

async function expectGolden(
  file: Awaited<ReturnType<typeof read>>,
  expected: ReturnType<typeof goldenFormats>['kinds'],
) {
  expect([...file.tensors.keys()]).toEqual(Object.keys(expected));
  for (const entry of file.tensors.values()) {
    const { dtype, shape, hex } = expected[entry.name]!;
    expect([entry.name, entry.dtype, entry.shape]).toEqual([entry.name, dtype, shape]);
    expect(entry.byteLength).toBe(hex.length / 2);
    expect(Buffer.from(await readTensor(file, entry)).toString('hex')).toBe(hex);
  }
}

describe('readTorchZip', () => {
  it('gives every element type and layout as PyTorch does', async () => {
    const file = await read(golden('formats.ckpt'));
    await expectGolden(file, goldenFormats().kinds);
    expect(file.ignoredGlobals).toEqual([]);
    const strided = [...file.tensors.values()].filter(({ strides }) => strides).map(({ name }) => name);
    expect(strided).toEqual([
      ...[
        'transposed',
        'columns',
        'corner',
        'permuted',
        'transposed_f64',
        'transposed_i8',
        'transposed_bf16',
        'expanded',
      ],
    ]);
    expect(file.tensors.get('base')?.offset).toBe(file.tensors.get('base_again')?.offset);
  });

  it('reads past the objects that training frameworks leave, and names them', async () => {
    const file = await read(golden('formats-lightning.ckpt'));
    await expectGolden(file, goldenFormats().lightning);
    expect(file.ignoredGlobals).toEqual([
      'builtins.int',
      'numpy._core.multiarray.scalar',
      'numpy.dtype',
      'omegaconf.dictconfig.DictConfig',
      'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint',
    ]);
  });

  it('reads the end, two small entries and one header per storage; no tensor data', async () => {
    const big: ZipPart = { name: 'archive/data/1', data: new Uint8Array(4_000_000) };
    const second = tensor({ key: '1', count: 1_000_000, shape: [1_000_000] });
    const again = tensor({ key: '1', count: 1_000_000, offset: 5, shape: [3] });
    const body = pickle(op.dict(pair('a', second), pair('b', tensor()), pair('c', again)));
    const counting = countingSource(source(checkpoint(body, [big])));
    const file = await readTorchZip(counting);
    expect(file.tensors.size).toBe(3);
    const header = 30 + 'archive/data/0'.length;
    const lengths = [
      65_633,
      30 + 'archive/byteorder'.length,
      6,
      30 + 'archive/data.pkl'.length,
      body.length,
      header,
      header,
    ];
    expect(counting.reads.map(([, length]) => length)).toEqual(lengths);
  });

  it('gives strides only where they matter', async () => {
    const shapes: [number[], number[], boolean][] = [
      [[2], [1], false],
      [[1, 2], [7, 1], false],
      [[2, 1], [1, 7], false],
      [[0, 2], [9, 9], false],
      [[1, 1], [0, 0], false],
      [[1, 2], [0, 0], true],
      [[2, 1], [0, 1], true],
    ];
    const values = shapes.map(([shape, strides], i) => pair(String(i), tensor({ shape, strides })));
    const { tensors } = await read(checkpoint(pickle(op.dict(...values))));
    expect([...tensors.values()].map(({ strides }) => strides !== undefined)).toEqual(shapes.map(([, , kept]) => kept));
  });

  it('reads only the bytes that a strided tensor spans', async () => {
    const counting = countingSource(source(golden('formats.ckpt')));
    const file = await readTorchZip(counting);
    const corner = file.tensors.get('corner')!; // base[2:, 4:] of [4, 6]: elements 16, 17, 22, 23
    counting.reads.length = 0;
    await readTensor(file, corner);
    expect(counting.reads).toEqual([[file.tensors.get('base')!.offset + 16 * 4, 8 * 4]]);
  });

  const inert = op.call('pytorch_lightning.callbacks', 'ModelCheckpoint', tensor());
  it.each<[string, Uint8Array, string[]]>([
    ['a flat dict', sound, ['t']],
    [
      'state_dict, and nothing beside it',
      pickle(op.dict(pair('x', tensor()), pair('state_dict', op.dict(pair('t', tensor()))))),
      ['t'],
    ],
    [
      'state_dict in state_dict',
      pickle(op.dict(pair('state_dict', op.dict(pair('state_dict', op.dict(pair('t', tensor()))))))),
      ['t'],
    ],
    [
      'nested dicts and lists',
      pickle(op.dict(pair('a', op.dict([op.int(3), op.tuple(tensor(), tensor())])), pair('t', tensor()))),
      ['a.3.0', 'a.3.1', 't'],
    ],
    ['prefixes, which stay', pickle(op.dict(pair('module.t', tensor()))), ['module.t']],
    [
      'values that are no tensors',
      pickle(op.dict(pair('epoch', op.int(3)), pair('note', op.str('x')), pair('t', tensor()))),
      ['t'],
    ],
    [
      'an OrderedDict with attributes',
      pickle(
        op.call('collections', 'OrderedDict'),
        op.MARK,
        op.str('t'),
        tensor(),
        op.SETITEMS,
        op.dict(pair('_metadata', op.NONE)),
        op.BUILD,
      ),
      ['t'],
    ],
    [
      'keys that are no text beside the tensors',
      pickle(op.dict([op.EMPTY_TUPLE, op.NONE], pair('t', tensor()))),
      ['t'],
    ],
    ['objects, with what is in them', pickle(op.dict(pair('callbacks', inert), pair('t', tensor()))), ['t']],
    [
      'a parameter',
      pickle(op.dict(pair('t', op.call('torch._utils', '_rebuild_parameter', tensor(), op.NEWFALSE)))),
      ['t'],
    ],
    [
      'a name that is a trap for objects',
      pickle(op.dict(pair('__proto__', tensor()), pair('constructor', tensor()))),
      ['__proto__', 'constructor'],
    ],
    ['marks that are off', pickle(op.dict(pair('t', tensor({ marks: op.EMPTY_DICT })))), ['t']],
  ])('accepts %s', async (_, body, names) => {
    expect([...(await read(checkpoint(body))).tensors.keys()]).toEqual(names);
  });

  const dangling = tensor({ key: '7' });
  const selfDict = concat(op.EMPTY_DICT, op.put(0), op.str('state_dict'), op.get(0), op.SETITEM);
  const selfList = concat(op.EMPTY_DICT, op.str('a'), op.EMPTY_LIST, op.put(0), op.get(0), op.APPEND, op.SETITEM);
  // (x, x) of (x, x) of …: a thousand million values in 200 bytes
  const doubling = concat(op.NONE, ...Array.from({ length: 30 }, () => concat(op.put(0), op.get(0), u8(0x86))));
  it.each<[string, Uint8Array, string]>([
    [
      'code anywhere',
      pickle(op.dict(pair('x', op.call('os', 'system', op.str('id'))), pair('t', tensor()))),
      'names "os.system", which would run code',
    ],
    [
      'a whole pickled model',
      pickle(op.call('my.models', 'Net')),
      'it holds an object of "my.models.Net" where a dict of tensors was expected',
    ],
    ['a bare tensor', pickle(tensor()), 'it holds an object of "torch._utils._rebuild_tensor_v2" where a dict'],
    ['a list', pickle(op.EMPTY_LIST), 'it holds a list where a dict'],
    ['a number', pickle(op.long(2n ** 60n)), 'it holds a number where a dict'],
    ['a storage', pickle(op.int(1), op.BINPERSID), 'it holds a bare storage where a dict'],
    ['a state_dict that is none', pickle(op.dict(pair('state_dict', op.NONE))), 'it holds None where a dict'],
    ['no tensors', pickle(op.EMPTY_DICT), 'holds no tensors; save'],
    [
      'only objects',
      pickle(op.dict(pair('ema', inert))),
      'holds no tensors, only objects of "pytorch_lightning.callbacks.ModelCheckpoint"',
    ],
    [
      'a sparse tensor',
      pickle(op.dict(pair('t', op.call('torch._utils', '_rebuild_sparse_tensor')))),
      'tensor "t" is made by "torch._utils._rebuild_sparse_tensor", a kind of tensor that is not read',
    ],
    [
      'a parameter of something else',
      pickle(op.dict(pair('t', op.call('torch._utils', '_rebuild_parameter', op.NONE)))),
      'tensor "t" is made by "torch._utils._rebuild_parameter"',
    ],
    ['two tensors of one name', pickle(op.dict(pair('t', tensor()), pair('t', tensor()))), 'tensor "t" is there twice'],
    [
      'two paths to one name',
      pickle(op.dict(pair('a.b', tensor()), pair('a', op.dict(pair('b', tensor()))))),
      'tensor "a.b" is there twice',
    ],
    ['a name without end', pickle(op.dict(pair('x'.repeat(1000), tensor()))), 'has a name of 1000 characters'],
    ['a state_dict that is itself', pickle(selfDict), 'nested more than 32 deep'],
    ['a list that contains itself', pickle(selfList), 'its dicts are nested more than 32 deep'],
    ['a tower of doublings', pickle(op.EMPTY_DICT, op.str('a'), doubling, op.SETITEM), 'more than 500000 values'],
  ])('refuses %s', async (_, body, message) => {
    const error = await errorOf(read(checkpoint(body)));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
  });

  it.each<[string, Uint8Array, string]>([
    ['complex numbers', tensor({ storage: 'ComplexFloatStorage' }), 'has elements of "torch.ComplexFloatStorage"'],
    ['a storage type from a prototype', tensor({ storage: 'toString' }), 'has elements of "torch.toString"'],
    ['a storage that is absent', dangling, 'the storage "7" of tensor "t" is not in the archive'],
    [
      'a storage that is no storage',
      op.call('torch._utils', '_rebuild_tensor_v2', op.NONE, op.int(0), op.tuple(), op.tuple()),
      'refers to no proper storage',
    ],
    ['a storage of another length', tensor({ count: 3, shape: [3] }), 'has 8 bytes where 12 were expected'],
    ['a storage of −1 elements', tensor({ count: -1 }), 'refers to no proper storage'],
    ['a storage beyond 2^53 bytes', tensor({ count: 2 ** 52 }), 'a storage of 4503599627370496 elements, beyond 2^53'],
    ['elements beyond the storage', tensor({ shape: [3] }), 'reaches from element 0 to 3 of a storage that has 2'],
    ['an offset beyond the storage', tensor({ offset: 1 }), 'reaches from element 1 to 3 of a storage that has 2'],
    [
      'strides beyond the storage',
      tensor({ strides: [2] }),
      'of shape [2] and strides [2] reaches from element 0 to 3',
    ],
    ['sizes that overflow', tensor({ shape: [2 ** 52, 2 ** 52], strides: [2 ** 52, 1] }), 'reaches from element 0'],
    ['a negative stride', tensor({ strides: [-1] }), 'has no proper size, stride and offset'],
    ['a negative offset', tensor({ offset: -1 }), 'has no proper size, stride and offset'],
    ['fewer strides than sizes', tensor({ shape: [1, 2] }), 'has no proper size, stride and offset'],
    ['65 dimensions', tensor({ shape: Array(65).fill(1), strides: Array(65).fill(1) }), 'has 65 dimensions'],
    [
      'one element repeated for ever',
      tensor({ shape: [2 ** 40], strides: [0] }),
      'repeats 1 elements so often that it would take 4398046511104 bytes',
    ],
    [
      'and so often that nobody can count',
      tensor({ shape: [2 ** 50, 2 ** 50], strides: [0, 0] }),
      'repeats 1 elements',
    ],
    ['a lazily negated view', tensor({ marks: op.dict(pair('neg', u8(0x88))) }), 'lazily conjugated or negated'],
    [
      'a tensor of a younger kind',
      tensor({ rebuild: '_rebuild_tensor_v9' }),
      'is made by "torch._utils._rebuild_tensor_v9"',
    ],
  ])('refuses a tensor with %s', async (_, value, message) => {
    const error = await errorOf(read(one(value)));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
    expect(error.place.tensor).toBe('t');
  });
});

describe('the archive', () => {
  const evil: ZipPart[] = ['../../escape', '/etc/passwd', 'archive/../../x', 'C:\\x'].map((name) => ({
    name,
    data: new Uint8Array(3),
  }));
  it.each<[string, Uint8Array]>([
    ['zip64 end records', checkpoint(sound, [], { zip64: true })],
    ['zip64 fields', checkpoint(sound, [{ name: 'archive/data/0', data: new Uint8Array(8), wide: true }])],
    ['a comment, even one with an end record in it', checkpoint(sound, [], { comment: 'PK\x05\x06'.padEnd(40, '\0') })],
    ['names that would escape, if they were ever paths', checkpoint(sound, evil)],
    ['an unused entry that is compressed', checkpoint(sound, [{ name: 'archive/x', data: text('?'), method: 8 }])],
    [
      'no byte order',
      zip([
        { name: 'm/data.pkl', data: sound },
        { name: 'm/data/0', data: new Uint8Array(8) },
      ]),
    ],
  ])('may have %s', async (_, bytes) => {
    expect([...(await read(bytes)).tensors.keys()]).toEqual(['t']);
  });

  const storage = (part: Partial<ZipPart>) =>
    checkpoint(sound, [{ name: 'archive/data/0', data: new Uint8Array(8), ...part }]);
  const plain = checkpoint(sound);
  const zeroed = (at: number) => plain.with(plain.length + at, 0);
  it.each<[string, Uint8Array, string]>([
    ['no data.pkl', zip([{ name: 'a.txt', data: text('hello') }]), 'a zip archive, but no PyTorch checkpoint'],
    ['no entries', zip([]), 'a zip archive, but no PyTorch checkpoint'],
    ['data.pkl deeper down', zip([{ name: 'a/b/data.pkl', data: sound }]), 'a zip archive, but no PyTorch checkpoint'],
    ['two data.pkl', checkpoint(sound, [{ name: 'other/data.pkl', data: sound }]), 'it holds 2 PyTorch checkpoints'],
    ['a program', checkpoint(sound, [{ name: 'archive/constants.pkl', data: sound }]), 'a TorchScript program'],
    [
      'big-endian storages',
      checkpoint(sound, [{ name: 'archive/byteorder', data: text('big') }]),
      'its byte order is "big"',
    ],
    [
      'a byte order of 17 bytes',
      checkpoint(sound, [{ name: 'archive/byteorder', data: new Uint8Array(17) }]),
      'more than the 16 allowed',
    ],
    ['a compressed storage', storage({ method: 8 }), 'zip entry "archive/data/0" is compressed (method 8)'],
    ['an encrypted storage', storage({ flags: 1 }), 'zip entry "archive/data/0" is encrypted'],
    ['a stored entry of two sizes', storage({ directory: { compressedSize: 4 } }), 'has two sizes, 4 and 8 bytes'],
    ['a storage into the directory', storage({ directory: { size: 5000 } }), 'has 5000 bytes where 8 were expected'],
    ['a storage at another place', storage({ directory: { offset: 0 } }), 'runs into what begins at byte 0'],
    ['a storage behind the end', storage({ directory: { offset: 100_000 } }), 'runs into what begins at byte'],
    ['a storage pushed over the end by its header', storage({ localExtra: 9 }), 'runs into what begins at byte'],
    ['a storage of another name', storage({ localName: 'archive/data/1' }), 'is described differently'],
    [
      'two entries of one name',
      zip([
        { name: 'm/data.pkl', data: sound },
        { name: 'm/data.pkl', data: sound },
      ]),
      'two entries named "m/data.pkl"',
    ],
    ['more entries than it says', checkpoint(sound, [], { count: 2 }), 'has 3 entries, but 2 were announced'],
    ['a byte in front', concat(u8(0), plain), 'something was put before or into it'],
    ['a byte behind', concat(plain, u8(0)), 'hold no end record; it is truncated'],
    ['its end cut off', plain.subarray(0, -30), 'hold no end record; it is truncated'],
    ['a directory of another length', zeroed(-10), 'the zip directory is said to be bytes'],
    ['several disks', plain.with(plain.length - 18, 1), 'split over several files'],
  ])('must not have %s', async (_, bytes, message) => {
    const error = await errorOf(read(bytes));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(message);
  });

  it('must not have a zip64 record that lies', async () => {
    const bytes = checkpoint(sound, [], { zip64: true });
    const locator = bytes.length - 22 - 20;
    const error = await errorOf(read(concat(bytes.subarray(0, locator + 8), u32(1), bytes.subarray(locator + 12))));
    expect(error.message).toContain('the zip64 end record is not at byte 1');
  });

  it('must not have a pickle beyond the limit', async () => {
    const error = await errorOf(read(checkpoint(new Uint8Array((32 << 20) + 1))));
    expect(error.message).toContain('zip entry "archive/data.pkl" has 33554433 bytes, more than the 33554432 allowed');
  });
});

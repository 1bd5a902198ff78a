import { describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { type Pickled, type PickleSequence, unpickle } from '../../src/formats/pickle.ts';
import { concat, op, pickle, text, u8, u16, u32, u64 } from './build.ts';

const run = (bytes: Uint8Array, offset = 0) => unpickle(bytes, 'weights.ckpt', offset);
const root = (...body: Uint8Array[]) => run(pickle(...body)).root;
const tuple = (...items: Pickled[]): PickleSequence => ({ kind: 'tuple', items });
const object = (name: string, args: Pickled[] = [], parts: object = {}) => ({
  kind: 'object',
  callee: { kind: 'global', name },
  args: tuple(...args),
  items: [],
  entries: [],
  state: [],
  ...parts,
});

describe('unpickle', () => {
  it.each<[string, Uint8Array, unknown]>([
    ['NONE', op.NONE, null],
    ['NEWTRUE', u8(0x88), true],
    ['NEWFALSE', op.NEWFALSE, false],
    ['BININT1', concat(text('K'), u8(255)), 255],
    ['BININT2', concat(text('M'), u16(65535)), 65535],
    ['BININT, signed', concat(text('J'), u32(0xfffffffe)), -2],
    ['LONG1 of no bytes', concat(u8(0x8a), u8(0)), 0],
    ['LONG1, signed', concat(u8(0x8a), u8(1), u8(0x80)), -128],
    ['LONG1 of 5 bytes', concat(u8(0x8a), u8(5), u8(0), u32(1)), 256],
    ['LONG1 beyond 2^53', concat(u8(0x8a), u8(9), u64(1), u8(1)), 2n ** 64n + 1n],
    ['BINFLOAT, big-endian', concat(text('G'), new Uint8Array([0x3f, 0xf8, 0, 0, 0, 0, 0, 0])), 1.5],
    ['BINUNICODE', op.str('é😀'), 'é😀'],
    ['SHORT_BINUNICODE', concat(u8(0x8c), u8(2), text('ab')), 'ab'],
    ['BINSTRING', concat(text('T'), u32(2), text('ab')), 'ab'],
    ['SHORT_BINSTRING', concat(text('U'), u8(2), text('ab')), 'ab'],
    ['BINBYTES', concat(text('B'), u32(2), u16(0xff00)), new Uint8Array([0, 255])],
    ['SHORT_BINBYTES', concat(text('C'), u8(2), u16(0xff00)), new Uint8Array([0, 255])],
    ['EMPTY_TUPLE', op.EMPTY_TUPLE, tuple()],
    ['TUPLE1', concat(op.int(1), u8(0x85)), tuple(1)],
    ['TUPLE2', concat(op.int(1), op.int(2), u8(0x86)), tuple(1, 2)],
    ['TUPLE3', concat(op.int(1), op.int(2), op.int(3), u8(0x87)), tuple(1, 2, 3)],
    ['TUPLE, nested', op.tuple(op.int(1), op.tuple(op.int(2))), tuple(1, tuple(2))],
    ['APPEND', concat(op.EMPTY_LIST, op.int(1), op.APPEND), { kind: 'list', items: [1] }],
    ['APPENDS', concat(op.EMPTY_LIST, op.MARK, op.int(1), op.int(2), op.APPENDS), { kind: 'list', items: [1, 2] }],
    ['ADDITEMS', concat(u8(0x8f), op.MARK, op.int(1), u8(0x90)), { kind: 'set', items: [1] }],
    ['FROZENSET', concat(op.MARK, op.int(1), u8(0x91)), { kind: 'set', items: [1] }],
    ['SETITEM', concat(op.EMPTY_DICT, op.str('a'), op.int(1), op.SETITEM), { kind: 'dict', entries: [['a', 1]] }],
    ['SETITEMS', op.dict([op.str('__proto__'), op.int(1)]), { kind: 'dict', entries: [['__proto__', 1]] }],
    ['BINPUT and BINGET', op.tuple(op.str('a'), op.put(7), op.get(7)), tuple('a', 'a')],
    ['LONG_BINPUT and LONG_BINGET', op.tuple(op.int(1), text('r'), u32(9), text('j'), u32(9)), tuple(1, 1)],
    ['MEMOIZE', op.tuple(op.int(5), op.MEMOIZE, op.get(0)), tuple(5, 5)],
    ['GLOBAL', op.global('a.b', 'C'), { kind: 'global', name: 'a.b.C' }],
    ['STACK_GLOBAL', concat(op.str('a'), op.str('C.d'), op.STACK_GLOBAL), { kind: 'global', name: 'a.C.d' }],
    ['REDUCE', op.call('a', 'f', op.int(1)), object('a.f', [1])],
    ['NEWOBJ', concat(op.global('a', 'C'), op.EMPTY_TUPLE, op.NEWOBJ), object('a.C')],
    ['BUILD', concat(op.call('a', 'C'), op.int(3), op.BUILD), object('a.C', [], { state: [3] })],
    ['items of an object', concat(op.call('a', 'C'), op.int(3), op.APPEND), object('a.C', [], { items: [3] })],
    [
      'entries of an object',
      concat(op.call('a', 'C'), op.int(3), op.int(4), op.SETITEM),
      object('a.C', [], { entries: [[3, 4]] }),
    ],
    ['BINPERSID', concat(op.int(3), op.BINPERSID), { kind: 'persistent', id: 3 }],
    ['FRAME', concat(u8(0x95), u64(1), op.NONE), null],
  ])('reads %s', (_, body, expected) => {
    expect(root(body)).toEqual(expected);
  });

  it('names every global once', () => {
    const { globals } = run(pickle(op.tuple(op.global('a', 'f'), op.global('b', 'g'), op.global('a', 'f'))));
    expect([...globals]).toEqual(['a.f', 'b.g']);
  });

  it.each<[string, Uint8Array, string]>([
    ['an empty pickle', new Uint8Array(), 'ends in the middle'],
    ['no STOP', pickle(op.NONE).subarray(0, -1), 'ends in the middle'],
    ['text beyond the end', pickle(text('X'), u32(100), text('a')), 'ends in the middle: 100 bytes were expected'],
    ['a name without a newline', pickle(text('cposix')), 'ends in the middle'],
    ['nothing on the stack', pickle(), 'takes more values than there are'],
    ['two values', pickle(op.NONE, op.NONE), 'left over'],
    ['an open mark', pickle(op.MARK), 'takes more values than there are'],
    ['an open mark below the value', pickle(op.MARK, op.NONE), 'left over'],
    ['bytes after STOP', concat(pickle(op.NONE), u8(0)), 'left over'],
    ['a closed group without a mark', pickle(op.NONE, op.TUPLE), 'closes a group that was never opened'],
    ['values taken from below a mark', pickle(op.EMPTY_LIST, op.int(1), op.MARK, op.APPEND), 'takes more values'],
    ['an unknown memo', pickle(op.get(3)), 'recalls memo 3, which was never stored'],
    ['a memo of nothing', pickle(op.put(0), op.NONE), 'takes more values'],
    ['an item of a tuple', pickle(op.EMPTY_TUPLE, op.NONE, op.APPEND), 'not a list'],
    ['an item of text', pickle(op.str('a'), op.NONE, op.APPEND), 'not a list'],
    ['an entry of a list', pickle(op.EMPTY_LIST, op.NONE, op.NONE, op.SETITEM), 'not a dict'],
    ['an entry without a value', pickle(op.EMPTY_DICT, op.MARK, op.NONE, op.SETITEMS), 'without a value'],
    ['the state of a dict', pickle(op.EMPTY_DICT, op.NONE, op.BUILD), 'not an object'],
    ['a class named by a number', pickle(op.int(1), op.str('a'), op.STACK_GLOBAL), 'not text'],
    ['protocol 6', concat(op.PROTO, u8(6), op.NONE, op.STOP), 'is of protocol 6'],
    ['opcodes of protocol 0', pickle(text("S'a'\n")), 'has the opcode 0x53'],
    ['the extension registry', pickle(u8(0x82), u8(1)), 'has the opcode 0x82'],
    ['INST, which calls as it goes', pickle(op.MARK, text('ios\nsystem\n')), 'has the opcode 0x69'],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => run(bytes)).toThrow(FormatError);
    expect(() => run(bytes)).toThrow(message);
  });

  it('tells where: in the pickle and in the file', () => {
    const bytes = pickle(op.NONE, u8(0xff));
    expect(() => run(bytes, 1000)).toThrow(expect.objectContaining({ place: { file: 'weights.ckpt', offset: 1003 } }));
    expect(() => run(bytes, 1000)).toThrow(/^weights\.ckpt: .*\(byte 3 of the pickle\)\.$/);
  });

  it('bounds the tree that a pickle can make', () => {
    const bytes = new Uint8Array(2_000_001).fill(0x7d); // EMPTY_DICT
    expect(() => run(bytes)).toThrow('has more than 2000000 opcodes');
  });
});

describe('code execution', () => {
  const evil: [string, string][] = [
    ['os', 'system'],
    ['os.path', 'join'],
    ['posix', 'system'],
    ['nt', 'system'],
    ['subprocess', 'Popen'],
    ['builtins', 'eval'],
    ['builtins', 'exec'],
    ['builtins', 'getattr'],
    ['builtins', '__import__'],
    ['__builtin__', 'eval'],
    ['__builtin__', 'getattr'],
    ['sys', 'modules'],
    ['runpy', '_run_code'],
    ['pty', 'spawn'],
    ['importlib', 'import_module'],
    ['importlib.util', 'spec_from_file_location'],
    ['operator', 'attrgetter'],
    ['torch', 'load'],
    ['torch.hub', 'load'],
    ['torch.serialization', 'load'],
  ];
  it.each(evil)('%s.%s is refused by name, called or not', (module, name) => {
    const payload = op.str('touch /tmp/owned');
    for (const bytes of [
      pickle(op.call(module, name, payload)),
      pickle(op.global(module, name)),
      pickle(op.str(module), op.str(name), op.STACK_GLOBAL, op.tuple(payload), op.REDUCE),
      pickle(op.dict([op.str('weight'), op.call('collections', 'OrderedDict', op.global(module, name))])),
    ]) {
      expect(() => run(bytes)).toThrow(FormatError);
      expect(() => run(bytes)).toThrow(
        `names "${module}.${name}", which would run code on loading. lcm-merge executes nothing`,
      );
    }
  });

  it.each([
    ['builtins', 'eval.__call__'],
    ['torch', 'hub.load'],
    ['torch', 'serialization.os.system'],
    ['torch', 'load.__call__'],
  ])('is seen behind the dotted name %s %s', (module, name) => {
    expect(() => run(pickle(op.str(module), op.str(name), op.STACK_GLOBAL))).toThrow(/would run code/);
  });

  it.each([
    ['builtins', 'set'],
    ['__builtin__', 'object'],
    ['osmium', 'system'],
    ['types', 'SimpleNamespace'],
    ['torch', 'float16'],
    ['torch.nn.modules.linear', 'Linear'],
    ['functools', 'partial'],
    ['pathlib', 'PosixPath'],
    ['_codecs', 'encode'],
    ['constructor', 'toString'],
    ['__proto__', '__proto__'],
  ])('is not seen in %s.%s', (module, name) => {
    expect(root(op.call(module, name))).toEqual(object(`${module}.${name}`));
  });
});

/**
 * A pickle machine that executes nothing: it builds the tree of what the pickle says. A class or function is a node with
 * its name, a call is a node with its arguments; neither is looked up or called, so safety does not rest on a list.
 * Source of truth: CPython Lib/pickletools.py. Only opcodes that torch.save writes (protocols 2 to 4) are known.
 */

import type { FormatError } from '../errors.ts';
import { formatError, quoteName } from './format-error.ts';
import { runsCode } from './pickle-danger.ts';

export type Pickled = null | boolean | number | bigint | string | Uint8Array | PickleNode;

export type PickleNode = PickleGlobal | PickleSequence | PickleDict | PickleObject | PicklePersistent;

/** A class or function, by name only. */
export interface PickleGlobal {
  readonly kind: 'global';
  /** `module.name` */
  readonly name: string;
}

export interface PickleSequence {
  readonly kind: 'tuple' | 'list' | 'set';
  readonly items: Pickled[];
}

export interface PickleDict {
  readonly kind: 'dict';
  readonly entries: [Pickled, Pickled][];
}

/** `callee(*args)`, as it would have been called, with what would have been put into the result. */
export interface PickleObject {
  readonly kind: 'object';
  readonly callee: Pickled;
  readonly args: Pickled;
  readonly items: Pickled[];
  readonly entries: [Pickled, Pickled][];
  readonly state: Pickled[];
}

/** A reference to something outside the pickle; torch's storages. */
export interface PicklePersistent {
  readonly kind: 'persistent';
  readonly id: Pickled;
}

export interface Pickle {
  readonly root: Pickled;
  /** Every class and function that is named, as `module.name`. */
  readonly globals: ReadonlySet<string>;
}

/** Held in memory whole. SD1.5 with optimizer state needs 1 MB; torch puts all tensor data outside. */
export const MAX_PICKLE_BYTES = 32 << 20;

/** An opcode of one byte can make an object of 100: this bounds the tree to some hundred MB. SD1.5 with optimizer: 150,000. */
const MAX_OPCODES = 2_000_000;

/** Reads one pickle. `file` is for messages, `offset` is where the pickle begins in it. Throws FormatError. */
export function unpickle(bytes: Uint8Array, file: string, offset = 0): Pickle {
  const machine: Machine = {
    file,
    base: offset,
    bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    position: 0,
    opcode: 0,
    stack: [],
    marks: [],
    memo: new Map(),
    globals: new Map(),
  };
  for (let count = 0; ; count++) {
    if (count === MAX_OPCODES) throw fail(machine, `has more than ${MAX_OPCODES} opcodes; no checkpoint needs as many`);
    machine.opcode = machine.position;
    const code = take(machine, 1)[0]!;
    if (code === STOP) break;
    const opcode = OPCODES.get(code);
    if (!opcode) {
      const shown = `0x${code.toString(16).padStart(2, '0')}`;
      throw fail(
        machine,
        `has the opcode ${shown}, which torch.save does not write; load it in PyTorch and save it as safetensors`,
      );
    }
    opcode(machine);
  }
  const root = pop(machine);
  if (machine.stack.length > 0 || machine.marks.length > 0 || machine.position !== bytes.byteLength) {
    throw fail(machine, 'ends with values or bytes left over');
  }
  return { root, globals: new Set(machine.globals.keys()) };
}

interface Machine {
  readonly file: string;
  readonly base: number;
  readonly bytes: Buffer;
  position: number;
  /** Where the current opcode stands. */
  opcode: number;
  readonly stack: Pickled[];
  /** Heights of the stack at each open MARK. */
  readonly marks: number[];
  readonly memo: Map<number, Pickled>;
  /** One node per name, by `module.name`. */
  readonly globals: Map<string, PickleGlobal>;
}

const STOP = 0x2e;

/** What each opcode does; named as in pickletools. */
const OPCODES: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [0x80, proto],
  [0x95, (m) => void take(m, 8)], // FRAME: a hint for readers of streams
  [0x28, (m) => void m.marks.push(m.stack.length)], // MARK
  [0x4e, (m) => push(m, null)], // NONE
  [0x88, (m) => push(m, true)], // NEWTRUE
  [0x89, (m) => push(m, false)], // NEWFALSE
  [0x4b, (m) => push(m, takeInt(m, 1))], // BININT1
  [0x4d, (m) => push(m, takeInt(m, 2))], // BININT2
  [0x4a, (m) => push(m, take(m, 4).readInt32LE())], // BININT
  [0x8a, (m) => push(m, toInteger(take(m, takeInt(m, 1))))], // LONG1
  [0x47, (m) => push(m, take(m, 8).readDoubleBE())], // BINFLOAT
  [0x58, (m) => push(m, takeText(m, takeInt(m, 4)))], // BINUNICODE
  [0x8c, (m) => push(m, takeText(m, takeInt(m, 1)))], // SHORT_BINUNICODE
  [0x54, (m) => push(m, takeText(m, takeInt(m, 4)))], // BINSTRING, the str of Python 2
  [0x55, (m) => push(m, takeText(m, takeInt(m, 1)))], // SHORT_BINSTRING
  [0x42, (m) => push(m, new Uint8Array(take(m, takeInt(m, 4))))], // BINBYTES
  [0x43, (m) => push(m, new Uint8Array(take(m, takeInt(m, 1))))], // SHORT_BINBYTES
  [0x5d, (m) => push(m, { kind: 'list', items: [] })], // EMPTY_LIST
  [0x7d, (m) => push(m, { kind: 'dict', entries: [] })], // EMPTY_DICT
  [0x8f, (m) => push(m, { kind: 'set', items: [] })], // EMPTY_SET
  [0x29, (m) => push(m, { kind: 'tuple', items: [] })], // EMPTY_TUPLE
  [0x85, (m) => push(m, { kind: 'tuple', items: popSome(m, 1) })], // TUPLE1
  [0x86, (m) => push(m, { kind: 'tuple', items: popSome(m, 2) })], // TUPLE2
  [0x87, (m) => push(m, { kind: 'tuple', items: popSome(m, 3) })], // TUPLE3
  [0x74, (m) => push(m, { kind: 'tuple', items: popToMark(m) })], // TUPLE
  [0x91, (m) => push(m, { kind: 'set', items: popToMark(m) })], // FROZENSET
  [0x61, (m) => addItems(m, popSome(m, 1))], // APPEND
  [0x65, (m) => addItems(m, popToMark(m))], // APPENDS
  [0x90, (m) => addItems(m, popToMark(m))], // ADDITEMS
  [0x73, (m) => addEntries(m, popSome(m, 2))], // SETITEM
  [0x75, (m) => addEntries(m, popToMark(m))], // SETITEMS
  [0x71, (m) => void m.memo.set(takeInt(m, 1), top(m))], // BINPUT
  [0x72, (m) => void m.memo.set(takeInt(m, 4), top(m))], // LONG_BINPUT
  [0x94, (m) => void m.memo.set(m.memo.size, top(m))], // MEMOIZE
  [0x68, (m) => recall(m, takeInt(m, 1))], // BINGET
  [0x6a, (m) => recall(m, takeInt(m, 4))], // LONG_BINGET
  [0x63, (m) => pushGlobal(m, takeLine(m), takeLine(m))], // GLOBAL
  [0x93, stackGlobal],
  [0x52, call], // REDUCE
  [0x81, call], // NEWOBJ: cls.__new__(cls, *args) is a call like any other when nothing is called
  [0x62, build],
  [0x51, (m) => push(m, { kind: 'persistent', id: pop(m) })], // BINPERSID
]);

function proto(m: Machine): void {
  const version = takeInt(m, 1);
  if (version > 5) throw fail(m, `is of protocol ${version}; the highest that exists is 5`);
}

function call(m: Machine): void {
  const args = pop(m);
  push(m, { kind: 'object', callee: pop(m), args, items: [], entries: [], state: [] });
}

function build(m: Machine): void {
  const state = pop(m);
  const target = top(m);
  if (!isNode(target) || target.kind !== 'object') throw fail(m, 'gives state to something that is not an object');
  target.state.push(state);
}

function stackGlobal(m: Machine): void {
  const [module, name] = popSome(m, 2);
  if (typeof module !== 'string' || typeof name !== 'string')
    throw fail(m, 'names a class by something that is not text');
  pushGlobal(m, module, name);
}

function pushGlobal(m: Machine, module: string, name: string): void {
  const full = `${module}.${name}`;
  if (runsCode(module, name)) {
    throw fail(
      m,
      `names ${quoteName(full)}, which would run code on loading. lcm-merge executes nothing, and refuses the file: do not load it anywhere`,
    );
  }
  const node = m.globals.get(full) ?? { kind: 'global', name: full };
  m.globals.set(full, node);
  push(m, node);
}

function addItems(m: Machine, items: readonly Pickled[]): void {
  const target = top(m);
  if (!isNode(target) || !('items' in target) || target.kind === 'tuple')
    throw fail(m, 'appends to something that is not a list');
  for (const item of items) target.items.push(item);
}

function addEntries(m: Machine, flat: readonly Pickled[]): void {
  const target = top(m);
  if (!isNode(target) || !('entries' in target)) throw fail(m, 'sets items of something that is not a dict');
  if (flat.length % 2 !== 0) throw fail(m, 'sets a dict item without a value');
  for (let i = 0; i < flat.length; i += 2) target.entries.push([flat[i]!, flat[i + 1]!]);
}

function recall(m: Machine, index: number): void {
  const value = m.memo.get(index);
  if (value === undefined) throw fail(m, `recalls memo ${index}, which was never stored`);
  push(m, value);
}

function push(m: Machine, value: Pickled): void {
  m.stack.push(value);
}

/** The stack above the last MARK belongs to whoever closes it. */
function needs(m: Machine, count: number): void {
  if (m.stack.length - (m.marks.at(-1) ?? 0) < count) throw fail(m, 'takes more values than there are');
}

function top(m: Machine): Pickled {
  needs(m, 1);
  return m.stack.at(-1)!;
}

function pop(m: Machine): Pickled {
  return popSome(m, 1)[0]!;
}

function popSome(m: Machine, count: number): Pickled[] {
  needs(m, count);
  return m.stack.splice(m.stack.length - count);
}

function popToMark(m: Machine): Pickled[] {
  const mark = m.marks.pop();
  if (mark === undefined) throw fail(m, 'closes a group that was never opened');
  return m.stack.splice(mark);
}

function take(m: Machine, length: number): Buffer {
  const end = m.position + length;
  if (end > m.bytes.length)
    throw fail(m, `ends in the middle: ${length} bytes were expected at its byte ${m.position} of ${m.bytes.length}`);
  const taken = m.bytes.subarray(m.position, end);
  m.position = end;
  return taken;
}

/** Unsigned, of 1 to 4 bytes. */
function takeInt(m: Machine, width: number): number {
  return take(m, width).readUIntLE(0, width);
}

function takeText(m: Machine, length: number): string {
  return take(m, length).toString('utf8');
}

function takeLine(m: Machine): string {
  const end = m.bytes.indexOf(0x0a, m.position);
  const line = takeText(m, (end < 0 ? m.bytes.length : end) - m.position);
  take(m, 1); // the newline
  return line;
}

/** Two's complement, little-endian, of at most 255 bytes. */
function toInteger(bytes: Buffer): number | bigint {
  if (bytes.length === 0) return 0;
  const unsigned = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
  const value = BigInt.asIntN(bytes.length * 8, unsigned);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

export function isNode(value: Pickled): value is PickleNode {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

function fail(m: Machine, problem: string): FormatError {
  const offset = m.base + m.opcode;
  return formatError(m.file, `the pickle in it ${problem} (byte ${m.opcode} of the pickle).`, { offset });
}

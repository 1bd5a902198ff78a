/**
 * The tensors in a pickle tree: matches the shapes that torch.save gives to tensors, parameters and dicts of them. Source
 * of truth: PyTorch torch/_utils.py (`_rebuild_*`), torch/serialization.py (persistent ids), torch/_tensor.py (`__reduce_ex__`).
 */

import { DTYPES, type DType, denseByteLength } from './dtype.ts';
import { formatError, quoteName } from './format-error.ts';
import { MAX_NAME } from './limits.ts';
import { isNode, type Pickle, type Pickled, type PickleNode, type PickleObject } from './pickle.ts';
import { elementSpan } from './strided.ts';

/** A view of a storage; sizes, strides and offset count elements. */
export interface TorchTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly storageOffset: number;
  /** Names the archive entry `data/KEY`. */
  readonly storageKey: string;
  readonly storageBytes: number;
}

export interface StateDict {
  /** In the order of the pickle. */
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** Classes and functions that torch's own tensors do not need, sorted: objects of theirs are not looked into. */
  readonly ignoredGlobals: readonly string[];
}

const STORAGES: Readonly<Record<string, DType>> = {
  'torch.DoubleStorage': 'F64',
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

/** Types younger than typed storages: `_rebuild_tensor_v3` names them, and the storage counts bytes. */
const UNTYPED_STORAGE = 'torch.storage.UntypedStorage';
const UNTYPED: Readonly<Record<string, DType>> = {
  'torch.uint16': 'U16',
  'torch.uint32': 'U32',
  'torch.uint64': 'U64',
};

const TENSOR_V2 = 'torch._utils._rebuild_tensor_v2';
const TENSOR_V3 = 'torch._utils._rebuild_tensor_v3';
/** Wrappers whose first argument is the tensor. */
const PARAMETERS = ['torch._utils._rebuild_parameter', 'torch._utils._rebuild_parameter_with_state'];
const DICTS = ['collections.OrderedDict', 'collections.defaultdict'];
/** Every other function of these names makes a tensor that is not plain: sparse, quantized, of a subclass … */
const OTHER_TENSORS = /^torch\.(_utils|_tensor)\._rebuild_/;

const UNDERSTOOD = new Set([
  ...Object.keys(STORAGES),
  ...Object.keys(UNTYPED),
  ...[UNTYPED_STORAGE, TENSOR_V2, TENSOR_V3, ...PARAMETERS, ...DICTS],
]);

/** Dicts within dicts, or `state_dict` within `state_dict`. Real checkpoints need 3; a pickle can contain itself. */
const MAX_NESTING = 32;
/** Values looked at. A pickle of 1 KB can say "twice the previous" 30 times; SD1.5 has 1,131 values. */
const MAX_VALUES = 500_000;
/** What PyTorch's own operators allow; the copying of strided tensors recurses over dimensions. */
const MAX_DIMENSIONS = 64;
/** What an expanded tensor (stride 0) may come to: a few bytes of file can claim any amount of memory. */
const MAX_EXPANDED_BYTES = 256 << 20;

/**
 * The tensors of a checkpoint. `{"state_dict": …}` is unwrapped, as often as it occurs; dicts and lists within are
 * flattened with dots; values that are not tensors are skipped. Throws FormatError.
 */
export function readStateDict(pickle: Pickle, file: string): StateDict {
  const tensors = new Map<string, TorchTensor>();
  let values = 0;
  const visit = (value: Pickled, name: string, depth: number): void => {
    if (++values > MAX_VALUES) {
      throw formatError(file, `it holds more than ${MAX_VALUES} values; no checkpoint needs as many.`);
    }
    if (!isNode(value)) return;
    const children = childrenOf(value);
    if (children) {
      if (depth === MAX_NESTING) {
        throw formatError(
          file,
          `its dicts are nested more than ${MAX_NESTING} deep, at ${quoteName(name)}; it may contain itself.`,
        );
      }
      const prefix = depth === 0 ? '' : `${name}.`;
      for (const [key, child] of children) visit(child, prefix + keyText(key), depth + 1);
      return;
    }
    const tensor = matchTensor(file, name, value);
    if (!tensor) return;
    if (name.length > MAX_NAME) {
      throw fail(file, name, `has a name of ${name.length} characters; no checkpoint needs more than ${MAX_NAME}`);
    }
    if (tensors.has(name)) throw fail(file, name, 'is there twice');
    tensors.set(name, tensor);
  };
  const root = unwrap(file, pickle.root);
  if (!entriesOf(root)) {
    throw formatError(
      file,
      `it holds ${describe(root)} where a dict of tensors was expected; save \`model.state_dict()\` instead.`,
    );
  }
  visit(root, '', 0);
  const ignoredGlobals = [...pickle.globals].filter((name) => !UNDERSTOOD.has(name)).sort();
  if (tensors.size === 0) {
    const beside =
      ignoredGlobals.length > 0 ? `, only objects of ${ignoredGlobals.slice(0, 8).map(quoteName).join(', ')}` : '';
    throw formatError(
      file,
      `a PyTorch checkpoint that holds no tensors${beside}; save \`model.state_dict()\` instead.`,
    );
  }
  return { tensors, ignoredGlobals };
}

function unwrap(file: string, root: Pickled): Pickled {
  let value = root;
  for (let i = 0; i < MAX_NESTING; i++) {
    const inner = entriesOf(value)?.find(([key]) => key === 'state_dict');
    if (!inner) return value;
    value = inner[1];
  }
  throw formatError(file, `"state_dict" is nested more than ${MAX_NESTING} deep; it may contain itself.`);
}

function childrenOf(node: PickleNode): readonly (readonly [Pickled, Pickled])[] | undefined {
  if (node.kind === 'list' || node.kind === 'tuple') return node.items.map((item, i) => [i, item] as const);
  return entriesOf(node);
}

function entriesOf(value: Pickled): PickleObject['entries'] | undefined {
  if (!isNode(value)) return undefined;
  if (value.kind === 'dict') return value.entries;
  return DICTS.includes(calleeOf(value) ?? '') ? (value as PickleObject).entries : undefined;
}

function calleeOf(value: Pickled): string | undefined {
  if (!isNode(value) || value.kind !== 'object') return undefined;
  return isNode(value.callee) && value.callee.kind === 'global' ? value.callee.name : undefined;
}

/** Other keys than text and numbers occur beside tensors only; they need no name to be found by. */
function keyText(key: Pickled): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : describe(key);
}

/** undefined for what is no tensor at all. */
function matchTensor(file: string, name: string, value: PickleNode): TorchTensor | undefined {
  const outer = calleeOf(value);
  const inner = outer !== undefined && PARAMETERS.includes(outer) ? (argsOf(value)[0] ?? null) : value;
  const callee = calleeOf(inner);
  if (callee !== TENSOR_V2 && callee !== TENSOR_V3) {
    if (outer === undefined || (inner === value && !OTHER_TENSORS.test(outer))) return undefined;
    const problem = `is made by ${quoteName(callee ?? outer)}, a kind of tensor that is not read here`;
    throw fail(file, name, `${problem}; save it as a plain dense tensor`);
  }
  const v3 = callee === TENSOR_V3;
  const args = argsOf(inner);
  const [storage, storageOffset, size, stride] = args;
  // After them: requires_grad, backward_hooks, v3's dtype, and marks such as {"conj": True}, {"neg": True}.
  const marks = args[v3 ? 7 : 6];
  if (marks !== undefined && (entriesOf(marks)?.length ?? 1) > 0) {
    throw fail(file, name, 'is a lazily conjugated or negated view; save it after `.resolve_neg()`');
  }
  const shape = sizesOf(size);
  const strides = sizesOf(stride);
  if (!shape || strides?.length !== shape.length || !isSize(storageOffset)) {
    throw fail(file, name, 'has no proper size, stride and offset; the file is damaged');
  }
  if (shape.length > MAX_DIMENSIONS)
    throw fail(file, name, `has ${shape.length} dimensions; PyTorch allows ${MAX_DIMENSIONS}`);
  return checkExtent(file, {
    name,
    shape,
    strides,
    storageOffset,
    ...matchStorage(file, name, storage, v3 ? args[6] : undefined),
  });
}

/** `('storage', torch.FloatStorage, key, location, element count)` */
function matchStorage(
  file: string,
  name: string,
  storage: Pickled | undefined,
  untypedDType: Pickled | undefined,
): Pick<TorchTensor, 'dtype' | 'storageKey' | 'storageBytes'> {
  const id =
    storage !== undefined && isNode(storage) && storage.kind === 'persistent' ? tupleItems(storage.id) : undefined;
  const [tag, type, storageKey, , count] = id ?? [];
  const typeName = globalName(type);
  if (tag !== 'storage' || !typeName || typeof storageKey !== 'string' || !isSize(count)) {
    throw fail(file, name, 'refers to no proper storage; the file is damaged');
  }
  const untyped = typeName === UNTYPED_STORAGE;
  const elementName = (untyped ? globalName(untypedDType) : typeName) ?? 'unknown';
  const table = untyped ? UNTYPED : STORAGES;
  const dtype = Object.hasOwn(table, elementName) ? table[elementName] : undefined;
  if (!dtype)
    throw fail(
      file,
      name,
      `has elements of ${quoteName(elementName)}, which are not read here; convert it to float first`,
    );
  const storageBytes = untyped ? count : denseByteLength(dtype, [count]);
  if (storageBytes === undefined) throw fail(file, name, `lies in a storage of ${count} elements, beyond 2^53 bytes`);
  return { dtype, storageKey, storageBytes };
}

function checkExtent(file: string, tensor: TorchTensor): TorchTensor {
  const { name, dtype, shape, strides, storageOffset, storageBytes } = tensor;
  const span = elementSpan(shape, strides);
  const elements = Math.floor(storageBytes / DTYPES[dtype].bytes);
  if (span > 0 && storageOffset + span > elements) {
    throw fail(
      file,
      name,
      `of shape [${shape}] and strides [${strides}] reaches from element ${storageOffset} to ${storageOffset + span} of a storage that has ${elements}`,
    );
  }
  const byteLength = denseByteLength(dtype, shape) ?? Number.POSITIVE_INFINITY;
  if (byteLength > Math.max(span * DTYPES[dtype].bytes, MAX_EXPANDED_BYTES)) {
    throw fail(
      file,
      name,
      `of shape [${shape}] repeats ${span} elements so often that it would take ${byteLength} bytes`,
    );
  }
  return tensor;
}

function argsOf(value: Pickled): readonly Pickled[] {
  return (isNode(value) && value.kind === 'object' ? tupleItems(value.args) : undefined) ?? [];
}

function tupleItems(value: Pickled): readonly Pickled[] | undefined {
  return isNode(value) && value.kind === 'tuple' ? value.items : undefined;
}

function globalName(value: Pickled | undefined): string | undefined {
  return value !== undefined && isNode(value) && value.kind === 'global' ? value.name : undefined;
}

function sizesOf(value: Pickled | undefined): readonly number[] | undefined {
  const items = value === undefined ? undefined : tupleItems(value);
  return items?.every(isSize) ? items : undefined;
}

function isSize(value: Pickled | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function describe(value: Pickled): string {
  if (!isNode(value)) {
    if (value === null) return 'None';
    if (typeof value === 'string') return 'text';
    return value instanceof Uint8Array ? 'bytes' : typeof value === 'boolean' ? 'a boolean' : 'a number';
  }
  if (value.kind === 'persistent') return 'a bare storage';
  if (value.kind !== 'object') return `a ${value.kind}`;
  const callee = calleeOf(value);
  return callee ? `an object of ${quoteName(callee)}` : 'an object';
}

function fail(file: string, tensor: string, problem: string) {
  return formatError(file, `tensor ${quoteName(tensor)} ${problem}.`, { tensor });
}

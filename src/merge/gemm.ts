/**
 * The merge's arithmetic, run by onnxruntime's CPU kernels: y = transpose(cast(g·(W + Σ terms))), in float32 (or
 * float64, see workingType) in the order of the terms and rounded once, to nearest even. What a term does is its adapter's business (adapters/*.ts); one small graph serves
 * every tensor of the same make-up. Numbers go in as they lie in the files: plain JavaScript would convert and multiply two
 * orders of magnitude slower.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { type DType, toFloat32 } from '../formats/dtype.ts';
import { addInput, addOutput, createGraph, type Dim, rootScope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { AdditiveTerm, Fragment, Term } from './adapters/adapter.ts';
import { ARITHMETIC } from './adapters/index.ts';
import { product } from './adapters/shapes.ts';
import { sliceRows } from './rows.ts';
import { createScratch } from './scratch.ts';
import { transpose } from './transpose.ts';

/** A tensor as it was read. */
export interface Numbers {
  readonly bytes: Uint8Array;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A term with its operands read; `inner` are those of the term that a DoRA decomposes. */
export interface LoadedTerm {
  readonly term: Term;
  readonly operands: Readonly<Record<string, Numbers>>;
  readonly inner?: LoadedTerm;
}

export interface Merge {
  readonly weight: Numbers;
  /** Of the parameter, as in PyTorch. */
  readonly shape: readonly number[];
  readonly gain: number;
  readonly terms: readonly LoadedTerm[];
  /** Ask for `[columns, rows]`. */
  readonly transposed: boolean;
}

export interface Merger extends AsyncDisposable {
  /** The merged tensor in the merger's dtype, little-endian; valid until the next one is merged. It may be the weight's own memory. */
  merge(merge: Merge): Promise<Uint8Array>;
}

type FloatType = 'float16' | 'float32';

/** A model and where its inputs come from. */
interface MergeModel {
  readonly bytes: Uint8Array;
  readonly inputs: readonly Input[];
}

interface Input {
  readonly name: string;
  /** Symbolic lengths are those of the tensor at hand. */
  readonly shape: readonly Dim[];
  readonly pick: (merge: Merge) => Numbers | number;
}

/** How the result lies in memory. */
const STORED = { float16: 'F16', float32: 'F32' } as const;
const SIZE = { float16: 2, float32: 4 } as const;

/**
 * Elements of the weight that are merged at a time, in whole rows: what the graph holds in float32 then stays in the cache, and
 * onnxruntime's allocator gets the same memory back each time. Larger blocks take three times as long.
 */
const BLOCK_ELEMENTS = 1 << 19;

/** Rows of a block, at least: a factor `[rank, columns]` is converted to float32 once per block. */
const BLOCK_ROWS = 64;

/**
 * One thread of onnxruntime: on blocks of this size its pool would wait for itself most of the time, spinning on the core that
 * hashes and writes meanwhile. It also makes the sums the same on any number of cores.
 */
const SESSION_OPTIONS = {
  logSeverityLevel: 3,
  enableCpuMemArena: false,
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
} as const;

export async function createMerger(type: FloatType): Promise<Merger> {
  const ort = await import('../onnx/onnxruntime.ts');
  const known = new Map<string, Promise<{ inputs: readonly Input[]; session: InferenceSession }>>();
  const scratch = createScratch();
  const make = async (merge: Merge) => {
    const { bytes, inputs } = mergeModel(merge, type);
    return { inputs, session: await ort.InferenceSession.create(bytes, SESSION_OPTIONS) };
  };
  const tensor = (bytes: Uint8Array, of: FloatType, dims: number[]): Tensor => {
    const { buffer, byteOffset, byteLength } = bytes;
    if (of === 'float32') return new ort.Tensor('float32', new Float32Array(buffer, byteOffset, byteLength / 4), dims);
    const bits = new Uint16Array(buffer, byteOffset, byteLength / 2);
    // onnxruntime-common 1.30 turns the bits into a Float16Array where there is one, which the binding takes for empty
    return Object.defineProperty(new ort.Tensor('float16', bits, dims), 'data', { value: bits });
  };
  const run = async (merge: Merge, into: Uint8Array): Promise<void> => {
    const key = makeUp(merge);
    const making = known.get(key) ?? make(merge);
    known.set(key, making);
    const { inputs, session } = await making;
    const [rows, columns] = matrixShape(merge.shape);
    const feeds: Record<string, Tensor> = {};
    for (const { name, shape, pick } of inputs) {
      const picked = pick(merge);
      const dims = shape.map((dim) => (dim === ROWS ? rows : dim === COLUMNS ? columns : (dim as number)));
      feeds[name] =
        typeof picked === 'number'
          ? new ort.Tensor('float32', Float32Array.of(picked), dims)
          : tensor(picked.bytes, floatType(picked.dtype), dims);
    }
    const outputs = await session.run(feeds, { merged: tensor(into, type, [rows, columns]) });
    for (const output of Object.values(outputs)) releaseCopy(output, into);
  };
  return {
    async merge(wanted) {
      const { weight, terms, gain, shape, transposed } = wanted;
      const [rows, columns] = matrixShape(shape);
      scratch.reset();
      const size = SIZE[type];
      const isStored = terms.length === 0 && gain === 1 && weight.dtype === STORED[type];
      if (isStored && !transposed) return weight.bytes;
      const result = scratch.take(rows * columns * size);
      if (isStored) {
        transpose(weight.bytes, result, { rows, columns, size });
        return result;
      }
      const blocks = [...blocksOf(converted(wanted))];
      const row = columns * size;
      // one memory for all blocks: the transposition finds them in the cache
      const block = transposed ? scratch.take(Math.max(...blocks.map(({ from, to }) => to - from)) * row) : undefined;
      for (const { merge, from, to } of blocks) {
        const into = block ? block.subarray(0, (to - from) * row) : result.subarray(from * row, to * row);
        await run(merge, into);
        if (block) transpose(into, result, { rows: to - from, columns, size, stride: rows, at: from });
      }
      return result;
    },
    async [Symbol.asyncDispose]() {
      for (const made of known.values()) await (await made).session.release();
    },
  };
}

/**
 * Frees the copy that the binding (1.30) makes of an output even where it was given the memory to write to. Left to the garbage
 * collector, whose own memory hardly grows, these copies make it run a hundred times per model.
 */
function releaseCopy({ data }: Tensor, given: Uint8Array): void {
  if ('buffer' in data && data.buffer instanceof ArrayBuffer && data.buffer !== given.buffer) data.buffer.transfer(0);
}

/** Blocks of rows, or the whole where the rows depend on each other. */
function* blocksOf(whole: Merge): Generator<{ merge: Merge; from: number; to: number }> {
  const [rows, columns] = matrixShape(whole.shape);
  const step = Math.max(BLOCK_ROWS, 2 * Math.floor(BLOCK_ELEMENTS / columns / 2)); // even, as the transposition likes it
  for (let from = 0; from < rows; from += step) {
    const to = Math.min(from + step, rows);
    const merge = sliceRows(whole, from, to);
    if (!merge) return yield { merge: whole, from: 0, to: rows };
    yield { merge, from, to };
  }
}

/** F16 and F32 go in as they are, at an address that their elements divide; the rest, which few files have, is converted first. */
function converted(merge: Merge): Merge {
  const convert = (numbers: Numbers): Numbers => {
    const { bytes, dtype, shape } = numbers;
    if (dtype === 'F16') return bytes.byteOffset % 2 === 0 ? numbers : { ...numbers, bytes: bytes.slice() };
    const floats = toFloat32(bytes, dtype);
    return { bytes: new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength), dtype: 'F32', shape };
  };
  const convertTerm = (loaded: LoadedTerm): LoadedTerm => ({
    ...loaded,
    operands: Object.fromEntries(Object.entries(loaded.operands).map(([name, numbers]) => [name, convert(numbers)])),
    ...(loaded.inner && { inner: convertTerm(loaded.inner) }),
  });
  return { ...merge, weight: convert(merge.weight), terms: merge.terms.map(convertTerm) };
}

/** Names of the lengths in a graph that serves weights of every shape. */
const [ROWS, COLUMNS] = ['rows', 'columns'];

function matrixShape(shape: readonly number[]): [rows: number, columns: number] {
  return [shape[0] ?? 1, product(shape.slice(1))];
}

function servesAnyShape({ terms }: Merge): boolean {
  return terms.every(({ term }) => {
    const arithmetic = ARITHMETIC[term.kind];
    return 'delta' in arithmetic && arithmetic.anyShape?.(term) === true;
  });
}

/** What decides a graph, as text: the steps that are there, their inputs' types and, unless they serve any, shapes. */
function makeUp(merge: Merge): string {
  const anyShape = servesAnyShape(merge);
  const ofTerm = ({ term, operands, inner }: LoadedTerm): unknown => {
    const {
      of: _of,
      operands: _operands,
      scale: _scale,
      alpha: _alpha,
      delta: _delta,
      ...structure
    } = { alpha: 0, delta: 0, ...term };
    const inputs = Object.entries(operands).map(([name, { dtype, shape }]) => [
      name,
      floatType(dtype),
      anyShape ? 0 : shape,
    ]);
    return [structure, inputs, inner && ofTerm(inner)];
  };
  const { weight, gain, terms, shape } = merge;
  return JSON.stringify([floatType(weight.dtype), gain !== 1, anyShape ? 0 : shape, terms.map(ofTerm)]);
}

const floatType = (dtype: DType): FloatType => (dtype === 'F16' ? 'float16' : 'float32');

/**
 * float32 is enough for what is added to a weight. Where a term multiplies the weight itself, what cancels in one step may be
 * all that the next one has, and the sums are made in float64.
 */
function workingType({ terms }: Merge): 'float32' | 'float64' {
  return terms.some(({ term }) => 'apply' in ARITHMETIC[term.kind]) ? 'float64' : 'float32';
}

function mergeModel(merge: Merge, type: FloatType): MergeModel {
  const graph = createGraph('merge');
  const s = rootScope(graph, 'float32');
  const inputs: Input[] = [];
  const working = workingType(merge);
  const input = (name: string, element: FloatType, shape: readonly Dim[], pick: Input['pick']): Value => {
    inputs.push({ name, shape, pick });
    return op.Cast(s, addInput(graph, name, element, shape), { to: working });
  };
  const [rows, columns] = servesAnyShape(merge) ? [ROWS as string, COLUMNS as string] : matrixShape(merge.shape);
  let weight = input('weight', floatType(merge.weight.dtype), [rows, columns], (m) => m.weight);
  const fragment = (path: string, loaded: LoadedTerm, pick: (m: Merge) => LoadedTerm): Fragment => ({
    s,
    rows,
    columns,
    shape: merge.shape,
    type: working,
    shapeOf: (name) => loaded.operands[name]?.shape,
    operand(name, shape) {
      const { dtype } = loaded.operands[name] as Numbers;
      return input(`${path}.${name}`, floatType(dtype), shape, (m) => pick(m).operands[name] as Numbers);
    },
  });
  for (const [i, loaded] of merge.terms.entries()) {
    const pick = (m: Merge) => m.terms[i] as LoadedTerm;
    const { term } = loaded;
    const path = `term${i}`;
    const f = fragment(path, loaded, pick);
    const scale = input(`${path}.scale`, 'float32', [1], (m) => pick(m).term.scale);
    const arithmetic = ARITHMETIC[term.kind];
    if ('apply' in arithmetic) {
      const deltaOf = (inner: AdditiveTerm) => {
        const within = ARITHMETIC[inner.kind];
        if (!('delta' in within) || !loaded.inner) throw new RangeError(`${inner.kind} is not additive.`);
        const pickInner = (m: Merge) => pick(m).inner as LoadedTerm;
        const innerScale = input(`${path}.inner.scale`, 'float32', [1], (m) => pickInner(m).term.scale);
        return within.delta(fragment(`${path}.inner`, loaded.inner, pickInner), inner, innerScale);
      };
      weight = arithmetic.apply(f, term, scale, weight, deltaOf);
    } else {
      weight = arithmetic.add?.(f, term, scale, weight) ?? op.Add(s, weight, arithmetic.delta(f, term, scale));
    }
  }
  if (merge.gain !== 1)
    weight = op.Mul(
      s,
      weight,
      input('gain', 'float32', [1], (m) => m.gain),
    );
  addOutput(s, op.Cast(s, weight, { to: type }), 'merged');
  return { bytes: serializeModel(graph, { producerVersion: VERSION }), inputs };
}

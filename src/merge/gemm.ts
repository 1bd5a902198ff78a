/**
 * The merge's arithmetic, run by onnxruntime's CPU kernels: y = cast(transpose(g·(W + Σ terms))), in float32 in the order of the
 * terms and rounded once, to nearest even. What a term does is its adapter's business (adapters/*.ts); one small graph serves
 * every tensor of the same make-up. Numbers go in as they lie in the files: plain JavaScript would convert and multiply two
 * orders of magnitude slower.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { type DType, toFloat32 } from '../formats/dtype.ts';
import { addInput, addOutput, createGraph, type Dim, rootScope, type Scope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { AdditiveTerm, Fragment, Term } from './adapters/adapter.ts';
import { ARITHMETIC } from './adapters/index.ts';
import { product } from './adapters/shapes.ts';

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
  /** The merged tensor in the merger's dtype, little-endian. */
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

export async function createMerger(type: FloatType): Promise<Merger> {
  const ort = await import('onnxruntime-node');
  const known = new Map<string, Promise<{ inputs: readonly Input[]; session: InferenceSession }>>();
  const make = async (merge: Merge) => {
    const { bytes, inputs } = mergeModel(merge, type);
    const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3, enableCpuMemArena: false });
    return { inputs, session };
  };
  /** F16 and F32 go in as they are; the rest, which few files have, is converted first. */
  const tensor = ({ bytes, dtype }: Numbers, dims: number[]): Tensor => {
    if (dtype !== 'F16') return new ort.Tensor('float32', toFloat32(bytes, dtype), dims);
    const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    const bits = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
    // onnxruntime-common 1.30 turns the bits into a Float16Array where there is one, which the binding takes for empty
    return Object.defineProperty(new ort.Tensor('float16', bits, dims), 'data', { value: bits });
  };
  return {
    async merge(merge) {
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
          typeof picked === 'number' ? new ort.Tensor('float32', Float32Array.of(picked), dims) : tensor(picked, dims);
      }
      const { merged } = await session.run(feeds);
      const data = merged?.data as Uint16Array | Float32Array;
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
    async [Symbol.asyncDispose]() {
      for (const made of known.values()) await (await made).session.release();
    },
  };
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
  const { weight, gain, terms, transposed, shape } = merge;
  return JSON.stringify([floatType(weight.dtype), gain !== 1, transposed, anyShape ? 0 : shape, terms.map(ofTerm)]);
}

const floatType = (dtype: DType): FloatType => (dtype === 'F16' ? 'float16' : 'float32');

function mergeModel(merge: Merge, type: FloatType): MergeModel {
  const graph = createGraph('merge');
  const s = rootScope(graph, 'float32');
  const inputs: Input[] = [];
  const input = (name: string, element: FloatType, shape: readonly Dim[], pick: Input['pick']): Value => {
    inputs.push({ name, shape, pick });
    return float32(s, addInput(graph, name, element, shape));
  };
  const [rows, columns] = servesAnyShape(merge) ? [ROWS as string, COLUMNS as string] : matrixShape(merge.shape);
  let weight = input('weight', floatType(merge.weight.dtype), [rows, columns], (m) => m.weight);
  const fragment = (path: string, loaded: LoadedTerm, pick: (m: Merge) => LoadedTerm): Fragment => ({
    s,
    rows,
    columns,
    shape: merge.shape,
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
  // rounded first: the transposition then moves half the bytes
  const rounded = op.Cast(s, weight, { to: type });
  addOutput(s, merge.transposed ? op.Transpose(s, rounded, [1, 0]) : rounded, 'merged');
  return { bytes: serializeModel(graph, { producerVersion: VERSION }), inputs };
}

const float32 = (s: Scope, value: Value) => op.Cast(s, value, { to: 'float32' });

/**
 * The merge's arithmetic, run by onnxruntime's CPU kernels: y = cast(transpose(g·W + Σ (sᵢ·Uᵢ)·Dᵢ)), summed in float32 in
 * the order of the terms and rounded once, to nearest even. A small graph with symbolic shapes serves every tensor of the same
 * make-up. Numbers go in as they lie in the files: plain JavaScript would convert and multiply two orders of magnitude slower.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { type DType, toFloat32 } from '../formats/dtype.ts';
import { addInput, addOutput, createGraph, rootScope, type Scope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';

/** A matrix as it was read. */
export interface Numbers {
  readonly bytes: Uint8Array;
  readonly dtype: DType;
}

export interface Product {
  /** `[rows, rank]`. */
  readonly up: Numbers;
  /** `[rank, columns]`. */
  readonly down: Numbers;
  readonly rank: number;
  readonly scale: number;
}

export interface Matrix {
  /** `[rows, columns]`. */
  readonly weight: Numbers;
  readonly rows: number;
  readonly columns: number;
  readonly gain: number;
  readonly products: readonly Product[];
  /** Ask for `[columns, rows]`. */
  readonly transposed: boolean;
}

export interface Merger extends AsyncDisposable {
  /** The merged matrix in the merger's dtype, little-endian. */
  merge(matrix: Matrix): Promise<Uint8Array>;
}

type FloatType = 'float16' | 'float32';

/** What decides a graph: its inputs' types and which of its steps are there. */
interface MakeUp {
  readonly weight: FloatType;
  readonly gained: boolean;
  readonly products: readonly (readonly [up: FloatType, down: FloatType])[];
  readonly transposed: boolean;
}

export async function createMerger(type: FloatType): Promise<Merger> {
  const ort = await import('onnxruntime-node');
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = (makeUp: MakeUp) => {
    const key = JSON.stringify(makeUp);
    const known =
      sessions.get(key) ??
      ort.InferenceSession.create(mergeModel(makeUp, type), { logSeverityLevel: 3, enableCpuMemArena: false });
    sessions.set(key, known);
    return known;
  };
  const float32 = (value: number) => new ort.Tensor('float32', Float32Array.of(value), [1]);
  /** F16 and F32 go in as they are; the rest, which few files have, is converted first. */
  const tensor = ({ bytes, dtype }: Numbers, dims: number[]): Tensor => {
    if (dtype !== 'F16') return new ort.Tensor('float32', toFloat32(bytes, dtype), dims);
    const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    const bits = new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2);
    // onnxruntime-common 1.30 turns the bits into a Float16Array where there is one, which the binding takes for empty
    return Object.defineProperty(new ort.Tensor('float16', bits, dims), 'data', { value: bits });
  };
  return {
    async merge({ weight, rows, columns, gain, products, transposed }) {
      const feeds: Record<string, Tensor> = { weight: tensor(weight, [rows, columns]) };
      if (gain !== 1) feeds['gain'] = float32(gain);
      for (const [i, { up, down, rank, scale }] of products.entries()) {
        feeds[`up${i}`] = tensor(up, [rows, rank]);
        feeds[`down${i}`] = tensor(down, [rank, columns]);
        feeds[`scale${i}`] = float32(scale);
      }
      const typeOf = (name: string) => (feeds[name] as Tensor).type as FloatType;
      const makeUp = {
        weight: typeOf('weight'),
        gained: gain !== 1,
        products: products.map((_, i) => [typeOf(`up${i}`), typeOf(`down${i}`)] as const),
        transposed,
      };
      const { merged } = await (await session(makeUp)).run(feeds);
      const data = merged?.data as Uint16Array | Float32Array;
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
    async [Symbol.asyncDispose]() {
      for (const opened of sessions.values()) await (await opened).release();
    },
  };
}

function mergeModel({ weight, gained, products, transposed }: MakeUp, type: FloatType): Uint8Array {
  const graph = createGraph('merge');
  const s = rootScope(graph, 'float32');
  let sum = addInput(graph, 'weight', weight, ['rows', 'columns']);
  if (gained) sum = op.Mul(s, float32(s, sum), addInput(graph, 'gain', 'float32', [1]));
  for (const [i, [up, down]] of products.entries()) {
    const scaled = op.Mul(
      s,
      float32(s, addInput(graph, `up${i}`, up, ['rows', `rank${i}`])),
      addInput(graph, `scale${i}`, 'float32', [1]),
    );
    sum = op.Gemm(s, scaled, float32(s, addInput(graph, `down${i}`, down, [`rank${i}`, 'columns'])), float32(s, sum));
  }
  // rounded first: the transposition then moves half the bytes
  const rounded = op.Cast(s, sum, { to: type });
  addOutput(s, transposed ? op.Transpose(s, rounded, [1, 0]) : rounded, 'merged');
  return serializeModel(graph, { producerVersion: VERSION });
}

const float32 = (s: Scope, value: Value) => op.Cast(s, value, { to: 'float32' });

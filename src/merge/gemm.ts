/**
 * The merge's arithmetic, run by onnxruntime's CPU kernels: y = cast(transpose(g·W + Σ sᵢ·Uᵢ·Dᵢ)), summed in float32 in
 * the order of the terms and rounded once, to nearest even. One small graph with symbolic shapes serves every tensor with the
 * same number of terms; plain JavaScript would be two orders of magnitude slower.
 */
import type { InferenceSession } from 'onnxruntime-node';
import { addInput, addOutput, createGraph, rootScope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';

export interface Product {
  /** float32 `[rows, rank]`. */
  readonly up: Float32Array;
  /** float32 `[rank, columns]`. */
  readonly down: Float32Array;
  readonly rank: number;
  readonly scale: number;
}

export interface Matrix {
  /** float32 `[rows, columns]`. */
  readonly weight: Float32Array;
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

export async function createMerger(type: 'float16' | 'float32'): Promise<Merger> {
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = (terms: number, transposed: boolean) => {
    const key = `${terms}${transposed ? 'T' : ''}`;
    const known = sessions.get(key) ?? InferenceSession.create(mergeModel(terms, transposed, type), { logSeverityLevel: 3 });
    sessions.set(key, known);
    return known;
  };
  const float = (data: Float32Array, dims: number[]) => new Tensor('float32', data, dims);
  return {
    async merge({ weight, rows, columns, gain, products, transposed }) {
      const feeds: Record<string, InstanceType<typeof Tensor>> = {
        weight: float(weight, [rows, columns]),
        gain: float(Float32Array.of(gain), [1]),
      };
      for (const [i, { up, down, rank, scale }] of products.entries()) {
        feeds[`up${i}`] = float(up, [rows, rank]);
        feeds[`down${i}`] = float(down, [rank, columns]);
        feeds[`scale${i}`] = float(Float32Array.of(scale), [1]);
      }
      const { merged } = await (await session(products.length, transposed)).run(feeds);
      const data = merged?.data as Uint16Array | Float32Array;
      return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    },
    async [Symbol.asyncDispose]() {
      for (const opened of sessions.values()) await (await opened).release();
    },
  };
}

function mergeModel(terms: number, transposed: boolean, type: 'float16' | 'float32'): Uint8Array {
  const graph = createGraph('merge');
  const s = rootScope(graph, 'float32');
  const input = (name: string, shape: readonly (string | number)[]) => addInput(graph, name, 'float32', shape);
  let sum: Value = op.Mul(s, input('weight', ['rows', 'columns']), input('gain', [1]));
  for (let i = 0; i < terms; i += 1) {
    const product = op.MatMul(s, input(`up${i}`, ['rows', `rank${i}`]), input(`down${i}`, [`rank${i}`, 'columns']));
    sum = op.Add(s, sum, op.Mul(s, product, input(`scale${i}`, [1])));
  }
  const laid = transposed ? op.Transpose(s, sum, [1, 0]) : sum;
  addOutput(s, op.Cast(s, laid, { to: type }), 'merged');
  return serializeModel(graph, { producerVersion: VERSION });
}

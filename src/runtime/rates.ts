/**
 * How fast a device multiplies matrices and moves memory, measured in onnxruntime itself: the two limits that docs/cost-model.md
 * holds a run against. Each is what a chain of equal operators attains, at the size at which it is fastest.
 */
import type { FloatType } from '../export/targets/target.ts';
import {
  addInput,
  addOutput,
  createGraph,
  floatConstant,
  type Graph,
  rootScope,
  type Scope,
  type Value,
} from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { Device } from './device.ts';
import type { HostTensor, InferenceHost } from './host.ts';

export interface DeviceRates {
  /** FLOP/s of matrix products by the type of their operands, a multiplication and an addition counting 2. */
  readonly matrix: Readonly<Partial<Record<FloatType, number>>>;
  /** Bytes/s, those read and those written added up. */
  readonly copy: number;
}

/** Operators in a row: making the operands and taking the answer home are small against them. */
const [PRODUCTS, SUMS] = [6, 8] as const;

/** Milliseconds for one rate, loading not counted; three rates and a process take less than a second. */
const PATIENCE = 160;

/** A run of so many milliseconds is timed well enough; larger operands would say nothing new. */
const LONG_ENOUGH = 20;

/** Rows of square matrices: what fits a cache to what fills the largest card. */
const MATRIX_SIZES = [256, 512, 1024, 2048, 4096, 8192];

/** Rows of square matrices of float32: 34 MB, beyond the caches of most processors, to 537 MB, beyond those of cards. */
const COPY_SIZES = [2896, 5792, 11584];

/** @throws RuntimeFailure where the device cannot do it. */
export async function measureRates(
  host: InferenceHost,
  device: Device,
  types: readonly FloatType[],
): Promise<DeviceRates> {
  const matrix: Partial<Record<FloatType, number>> = {};
  for (const type of types) matrix[type] = await matrixRate(host, device, type);
  // a write of the operand, the sums, a read of the last one; in float32, which every device has element-wise operators for
  const copy = await bestRate(host, device, sums(), COPY_SIZES, (n) => (SUMS + 1) * 2 * 4 * n ** 2);
  return { matrix, copy };
}

/** FLOP/s of matrix products. @throws RuntimeFailure where the device cannot do it. */
export function matrixRate(host: InferenceHost, device: Device, type: FloatType): Promise<number> {
  return bestRate(host, device, products(type), MATRIX_SIZES, (n) => PRODUCTS * 2 * n ** 3);
}

/** Work per second at the size at which it is highest. */
async function bestRate(
  host: InferenceHost,
  device: Device,
  graph: Graph,
  sizes: readonly number[],
  work: (size: number) => number,
): Promise<number> {
  await using session = await host.load(serializeModel(graph, { producerVersion: VERSION }), device);
  const ended = performance.now() + PATIENCE;
  let best = 0;
  for (const size of sizes) {
    const numbers = vectors(size);
    let fastest = Infinity;
    // the first run touches memory and makes kernels
    for (let run = 0; run < 2 || (run < 4 && performance.now() < ended); run += 1) {
      fastest = Math.min(fastest, (await session.run(numbers)).milliseconds);
    }
    best = Math.max(best, work(size) / (fastest / 1000));
    if (fastest > LONG_ENOUGH || performance.now() > ended) break;
  }
  return best;
}

/** Vectors a and b with a·b = 1, so that the matrix a·bᵀ is its own square: products of it neither grow nor vanish. */
function vectors(size: number): Record<string, HostTensor> {
  const a = Float32Array.from({ length: size }, (_, i) => 1 + Math.sin(i) / 2);
  const square = a.reduce((sum, x) => sum + x * x, 0);
  return {
    a: { type: 'float32', dims: [size, 1], data: a },
    b: { type: 'float32', dims: [1, size], data: a.map((x) => x / square) },
  };
}

/** A graph over the matrix a·bᵀ, made on the device because its transfer would take longer than what is measured; one number comes out. */
function overOuterProduct(name: string, work: (s: Scope, matrix: Value) => Value): Graph {
  const graph = createGraph(name);
  const s = rootScope(graph, 'float32');
  const [a, b] = [addInput(graph, 'a', 'float32', ['n', 1]), addInput(graph, 'b', 'float32', [1, 'n'])];
  const result = op.Cast(s, work(s, op.Mul(s, a, b)), { to: 'float32' });
  addOutput(s, op.ReduceSumSquare(s, result, { axes: [0, 1] }), 'norm');
  return graph;
}

/** X·X·X·… */
function products(type: FloatType): Graph {
  return overOuterProduct('matrix_rate', (s, matrix) => {
    const x = op.Cast(s, matrix, { to: type });
    let y = x;
    for (let i = 0; i < PRODUCTS; i += 1) y = op.MatMul(s, y, x);
    return y;
  });
}

/** x + 1 + 1 + …: each sum reads all numbers and writes all numbers. */
function sums(): Graph {
  return overOuterProduct('copy_rate', (s, matrix) => {
    const one = floatConstant(s.graph, 'float32', [1]);
    let x = matrix;
    for (let i = 0; i < SUMS; i += 1) x = op.Add(s, x, one);
    return x;
  });
}

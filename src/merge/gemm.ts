/**
 * The merge's arithmetic, run by onnxruntime's CPU kernels: y = transpose(cast(g·W + Σ (sᵢ·Uᵢ)·Dᵢ)), summed in float32 in
 * the order of the terms and rounded once, to nearest even. A small graph with symbolic shapes serves every tensor of the same
 * make-up. Numbers go in as they lie in the files: plain JavaScript would convert and multiply two orders of magnitude slower.
 */
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { type DType, toFloat32 } from '../formats/dtype.ts';
import { addInput, addOutput, createGraph, rootScope, type Scope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import { createScratch } from './scratch.ts';
import { transpose } from './transpose.ts';

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
  /** The merged matrix in the merger's dtype, little-endian; valid until the next one is merged. It may be the weight's own memory. */
  merge(matrix: Matrix): Promise<Uint8Array>;
}

type FloatType = 'float16' | 'float32';

const STORED = { float16: 'F16', float32: 'F32' } as const;

/** What decides a graph: its inputs' types and which of its steps are there. */
interface MakeUp {
  readonly weight: FloatType;
  readonly gained: boolean;
  readonly products: readonly (readonly [up: FloatType, down: FloatType])[];
}

/**
 * Elements of the weight that are merged at a time, in whole rows: what the graph holds in float32 then stays in the cache, and
 * onnxruntime's allocator gets the same memory back each time. Larger blocks take three times as long.
 */
const BLOCK_ELEMENTS = 1 << 19;

/** Rows of a block, at least: the factor `[rank, columns]` is converted to float32 once per block. */
const BLOCK_ROWS = 128;

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
  const ort = await import('onnxruntime-node');
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = (key: string, model: () => Uint8Array) => {
    const known = sessions.get(key) ?? ort.InferenceSession.create(model(), SESSION_OPTIONS);
    sessions.set(key, known);
    return known;
  };
  const float32 = (value: number) => new ort.Tensor('float32', Float32Array.of(value), [1]);
  const float16 = (bytes: Uint8Array, dims: number[]): Tensor => {
    const bits = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    // onnxruntime-common 1.30 turns the bits into a Float16Array where there is one, which the binding takes for empty
    return Object.defineProperty(new ort.Tensor('float16', bits, dims), 'data', { value: bits });
  };
  const tensor = (bytes: Uint8Array, of: FloatType, dims: number[]) =>
    of === 'float16'
      ? float16(bytes, dims)
      : new ort.Tensor('float32', new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4), dims);
  /** A matrix that can be cut into blocks of rows. */
  const rowsOf = (numbers: Numbers, columns: number) => {
    const { bytes, type: of } = convert(numbers);
    const row = columns * SIZE[of];
    return {
      type: of,
      rows: (from: number, to: number) => tensor(bytes.subarray(from * row, to * row), of, [to - from, columns]),
    };
  };
  const scratch = createScratch();
  const size = SIZE[type];

  async function mergeRows({ weight, rows, columns, gain, products }: Matrix, into: Uint8Array): Promise<void> {
    const from = rowsOf(weight, columns);
    const terms = products.map(({ up, down, rank, scale }) => ({
      up: rowsOf(up, rank),
      down: rowsOf(down, columns),
      rank,
      scale: float32(scale),
    }));
    const makeUp: MakeUp = {
      weight: from.type,
      gained: gain !== 1,
      products: terms.map(({ up, down }) => [up.type, down.type] as const),
    };
    const merging = await session(JSON.stringify(makeUp), () => mergeModel(makeUp, type));
    const whole: Record<string, Tensor> = gain === 1 ? {} : { gain: float32(gain) };
    for (const [i, { down, rank, scale }] of terms.entries()) {
      whole[`down${i}`] = down.rows(0, rank);
      whole[`scale${i}`] = scale;
    }
    const step = Math.max(BLOCK_ROWS, Math.floor(BLOCK_ELEMENTS / columns));
    for (let start = 0; start < rows; start += step) {
      const end = Math.min(start + step, rows);
      const feeds: Record<string, Tensor> = { ...whole, weight: from.rows(start, end) };
      for (const [i, { up }] of terms.entries()) feeds[`up${i}`] = up.rows(start, end);
      const block = into.subarray(start * columns * size, end * columns * size);
      const { merged } = await merging.run(feeds, { merged: tensor(block, type, [end - start, columns]) });
      // the binding returns a copy besides; left to the garbage collector, it would run a hundred times per model
      const { buffer } = merged?.data as Float32Array<ArrayBuffer>;
      buffer.transfer(0);
    }
  }

  return {
    async merge(matrix) {
      const { weight, rows, columns, gain, products, transposed } = matrix;
      scratch.reset();
      let merged = weight.bytes;
      if (products.length > 0 || gain !== 1 || weight.dtype !== STORED[type]) {
        merged = scratch.take(rows * columns * size);
        await mergeRows(matrix, merged);
      }
      if (!transposed) return merged;
      const turned = scratch.take(merged.byteLength);
      transpose(merged, turned, rows, columns, size);
      return turned;
    },
    async [Symbol.asyncDispose]() {
      for (const opened of sessions.values()) await (await opened).release();
    },
  };
}

const SIZE = { float16: 2, float32: 4 } as const;

/** F16 and F32 go in as they are, at an address that their elements divide; the rest, which few files have, is converted first. */
function convert({ bytes, dtype }: Numbers): { bytes: Uint8Array; type: FloatType } {
  if (dtype === 'F16') return { bytes: bytes.byteOffset % 2 === 0 ? bytes : bytes.slice(), type: 'float16' };
  const floats = toFloat32(bytes, dtype);
  return { bytes: new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength), type: 'float32' };
}

function mergeModel({ weight, gained, products }: MakeUp, type: FloatType): Uint8Array {
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
  addOutput(s, op.Cast(s, sum, { to: type }), 'merged');
  return serializeModel(graph, { producerVersion: VERSION });
}

const float32 = (s: Scope, value: Value) => op.Cast(s, value, { to: 'float32' });

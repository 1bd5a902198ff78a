/**
 * Element types and their conversion to and from floating point. Names are safetensors' own (safetensors/src/tensor.rs).
 * Bytes are little-endian, as in every format read here and on every platform onnxruntime-node is built for.
 */

import { FormatError } from '../errors.ts';

interface DTypeInfo {
  /** Per element. */
  readonly bytes: 1 | 2 | 4 | 8;
  readonly float: boolean;
}

/** In the order in which the Rust library ranks them: alignment first. The writer's canonical order depends on it. */
export const DTYPES = {
  BOOL: { bytes: 1, float: false },
  U8: { bytes: 1, float: false },
  I8: { bytes: 1, float: false },
  I16: { bytes: 2, float: false },
  U16: { bytes: 2, float: false },
  F16: { bytes: 2, float: true },
  BF16: { bytes: 2, float: true },
  I32: { bytes: 4, float: false },
  U32: { bytes: 4, float: false },
  F32: { bytes: 4, float: true },
  F64: { bytes: 8, float: true },
  I64: { bytes: 8, float: false },
  U64: { bytes: 8, float: false },
} as const satisfies Record<string, DTypeInfo>;

export type DType = keyof typeof DTYPES;

export function isDType(name: string): name is DType {
  return Object.hasOwn(DTYPES, name);
}

/** Bytes of a dense tensor; undefined when that is no safe integer (2^53 and beyond). `[]` is a scalar. */
export function denseByteLength(dtype: DType, shape: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  let bytes: number = DTYPES[dtype].bytes;
  for (const dimension of shape) {
    bytes *= dimension;
    if (!Number.isSafeInteger(bytes)) return undefined;
  }
  return bytes;
}

/** How to look at elements; BF16 has no typed array and is widened by hand. */
const VIEWS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Float16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const;

/**
 * Elements as float32: exact for F32, F16, BF16 and small integers, rounded to nearest even for the rest (64-bit
 * integers by way of float64); BOOL gives 0 and 1. F32 bytes that lie aligned are not copied: the result shares their memory.
 */
export function toFloat32(bytes: Uint8Array, dtype: DType): Float32Array {
  const elements = viewOf(bytes, dtype);
  if (dtype === 'F32' && elements instanceof Float32Array) return elements;
  if (dtype === 'BF16' && elements instanceof Uint16Array) return widen(elements);
  return fill(new Float32Array(elements.length), elements, dtype);
}

/** Elements as float64: exact for all but integers beyond ±2^53. F64 bytes that lie aligned are not copied. */
export function toFloat64(bytes: Uint8Array, dtype: DType): Float64Array {
  const elements = viewOf(bytes, dtype);
  if (dtype === 'F64' && elements instanceof Float64Array) return elements;
  if (dtype === 'BF16' && elements instanceof Uint16Array) return new Float64Array(widen(elements));
  return fill(new Float64Array(elements.length), elements, dtype);
}

/** Values rounded to nearest even; beyond the range they become infinite. F32 shares the memory of `values`. */
export function fromFloat32(values: Float32Array, dtype: 'F16' | 'F32' | 'BF16'): Uint8Array {
  const elements = dtype === 'F32' ? values : dtype === 'F16' ? new Float16Array(values) : narrow(values);
  return new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
}

function viewOf(bytes: Uint8Array, dtype: DType): InstanceType<(typeof VIEWS)[DType]> {
  const { bytes: width } = DTYPES[dtype];
  if (bytes.byteLength % width !== 0) {
    throw new FormatError(`${bytes.byteLength} bytes are not a whole number of ${dtype} elements of ${width} bytes.`);
  }
  const View = VIEWS[dtype];
  const { buffer, byteOffset, byteLength } = bytes;
  // A typed array must start at a multiple of its element size; tensors behind a header of odd length do not.
  if (buffer instanceof ArrayBuffer && byteOffset % width === 0)
    return new View(buffer, byteOffset, byteLength / width);
  return new View(new Uint8Array(bytes).buffer);
}

function fill<T extends Float32Array | Float64Array>(out: T, elements: ReturnType<typeof viewOf>, dtype: DType): T {
  if (elements instanceof BigInt64Array || elements instanceof BigUint64Array) {
    for (let i = 0; i < out.length; i++) out[i] = Number(elements[i]);
  } else if (dtype === 'BOOL') {
    for (let i = 0; i < out.length; i++) out[i] = elements[i] === 0 ? 0 : 1;
  } else {
    out.set(elements);
  }
  return out;
}

/** A bfloat16 is the upper half of the float32 of the same value. */
function widen(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

function narrow(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    const nan = (b & 0x7fffffff) > 0x7f800000;
    // Adding just under a half, plus one if the kept part is odd, carries exactly when rounding to even goes up.
    halves[i] = nan ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return halves;
}

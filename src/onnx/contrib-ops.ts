/**
 * Operators of onnxruntime's own domain, com.microsoft, which one kernel computes where ONNX needs several nodes. Not every
 * device has each of them. Source of truth: onnxruntime docs/ContribOperators.md; reference: onnx.md §1.
 */
import { type ConvPlacement, placement } from './conv-placement.ts';
import { type Dim, emit, emitMany, type Scope, type Value } from './graph.ts';
import { broadcast } from './ops/elementwise.ts';

const DOMAIN = 'com.microsoft';

/** softmax(q·kᵀ / √d)·v for `[B, S, C]`, `[B, T, C]`, `[B, T, C]`, C = heads · d. Devices: CPU, CUDA, WebGPU. */
export function MultiHeadAttention(
  s: Scope,
  query: Value,
  key: Value,
  value: Value,
  { num_heads, unidirectional = 0, scale }: { num_heads: number; unidirectional?: 0 | 1; scale?: number },
): Value {
  const attributes = { num_heads, unidirectional, ...(scale !== undefined && { scale: { float: scale } }) };
  return emit(s, 'MultiHeadAttention', [query, key, value], attributes, query.type, query.shape, undefined, DOMAIN);
}

/** Conv of `[N, H, W, C]` with a weight `[O, kH, kW, C]`. Devices: CUDA. */
export function NhwcConv(
  s: Scope,
  x: Value,
  w: Value,
  b: Value | undefined,
  { stride = 1, pad = 0 }: ConvPlacement = {},
): Value {
  const [n, h, width, c] = x.shape as [Dim, Dim, Dim, Dim];
  const [o, kh, kw, i] = w.shape as [number, number, number, number];
  if (c !== i) throw new RangeError(`NhwcConv in ${s.path}: input has ${c} channels, weight [${w.shape}] wants ${i}.`);
  const { attributes, length } = placement([kh, kw], { stride, pad });
  const shape = [n, length(h), length(width), o];
  return emit(s, 'NhwcConv', b ? [x, w, b] : [x, w], attributes, x.type, shape, undefined, DOMAIN);
}

/** 0 nothing, 1 SiLU after the normalisation. */
type Activation = 0 | 1;

/** Normalises `[N, H, W, C]` in groups of channels; gamma and beta are float32 `[C]`. Devices: CUDA. */
export function GroupNorm(
  s: Scope,
  x: Value,
  gamma: Value,
  beta: Value,
  { groups, epsilon, activation }: { groups: number; epsilon: number; activation: Activation },
): Value {
  const attributes = { groups, epsilon: { float: epsilon }, activation, channels_last: 1 };
  return emit(s, 'GroupNorm', [x, gamma, beta], attributes, x.type, x.shape, undefined, DOMAIN);
}

/**
 * GroupNorm of x + skip (+ bias): skip is `[N, H, W, C]`, `[N, 1, 1, C]` or `[N, C]`, bias `[C]`. With `sum` the second value is
 * what was normalised. Devices: CUDA.
 */
export function SkipGroupNorm(
  s: Scope,
  x: Value,
  gamma: Value,
  beta: Value,
  skip: Value,
  bias: Value | undefined,
  options: { groups: number; epsilon: number; activation: Activation; sum: boolean },
): readonly [normalised: Value, sum?: Value] {
  const { groups, epsilon, activation, sum } = options;
  const attributes = { groups, epsilon: { float: epsilon }, activation, channels_last: 1 };
  const inputs = bias ? [x, gamma, beta, skip, bias] : [x, gamma, beta, skip];
  const shapes = sum ? [x.shape, x.shape] : [x.shape];
  return emitMany(s, 'SkipGroupNorm', inputs, attributes, x.type, shapes, undefined, DOMAIN) as [Value, Value?];
}

/** LayerNormalization of x + skip (+ bias) on `[B, S, C]`; the second value is what was normalised. Devices: CPU, CUDA, WebGPU. */
export function SkipLayerNormalization(
  s: Scope,
  x: Value,
  skip: Value,
  gamma: Value,
  beta: Value,
  bias: Value | undefined,
  { epsilon }: { epsilon: number },
): readonly [normalised: Value, sum: Value] {
  const inputs = bias ? [x, skip, gamma, beta, bias] : [x, skip, gamma, beta];
  // the second and third outputs, mean and inverse deviation, are for training
  const [normalised, , , sum] = emitMany(
    s,
    'SkipLayerNormalization',
    inputs,
    { epsilon: { float: epsilon } },
    x.type,
    [x.shape, undefined, undefined, x.shape],
    undefined,
    DOMAIN,
  );
  return [normalised as Value, sum as Value];
}

/** (x + bias) cut in halves on the last axis: left · gelu(right). Its kernel knows few widths. Devices: CUDA, WebGPU (float32). */
export function BiasSplitGelu(s: Scope, x: Value, bias: Value): Value {
  const shape = x.shape.with(-1, (x.shape.at(-1) as number) / 2);
  return emit(s, 'BiasSplitGelu', [x, bias], {}, x.type, shape, undefined, DOMAIN);
}

/** x + bias + skip on `[B, S, C]`. Its kernel knows 320, 640 and 1280 channels. Devices: CUDA, WebGPU. */
export function BiasAdd(s: Scope, x: Value, bias: Value, skip: Value): Value {
  return emit(s, 'BiasAdd', [x, bias, skip], {}, x.type, x.shape, undefined, DOMAIN);
}

interface FusedMatMulOptions {
  readonly transB?: 0 | 1;
  /** The operand is `[m, …, k]` (b: `[k, …, n]`, with transB `[n, …, k]`): its first axis belongs behind those of the batch. */
  readonly transBatchA?: 0 | 1;
  readonly transBatchB?: 0 | 1;
  /** Factor of the product. */
  readonly alpha?: number;
}

/** alpha · a·b of the last two axes, or of axes elsewhere, without a transposition; leading dimensions broadcast. Devices: CPU, CUDA. */
export function FusedMatMul(s: Scope, a: Value, b: Value, options: FusedMatMulOptions = {}): Value {
  const { transB = 0, transBatchA = 0, transBatchB = 0, alpha = 1 } = options;
  const behind = ([first, ...rest]: readonly Dim[]) => [...rest.slice(0, -1), first, rest.at(-1)] as Dim[];
  const left = transBatchA ? behind(a.shape) : a.shape;
  const right = transBatchB ? behind(b.shape) : b.shape;
  const [k, n] = (transB ? right.slice(-2).reverse() : right.slice(-2)) as [Dim, Dim];
  if (left.at(-1) !== k) throw new RangeError(`FusedMatMul in ${s.path}: [${a.shape}] × [${b.shape}] do not fit.`);
  const batch = broadcast('FusedMatMul', left.slice(0, -2), right.slice(0, -2));
  const attributes = { transB, transBatchA, transBatchB, alpha: { float: alpha } };
  const shape = [...batch, left.at(-2) as Dim, n];
  return emit(s, 'FusedMatMul', [a, b], attributes, a.type, shape, undefined, DOMAIN);
}

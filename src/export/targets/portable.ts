/**
 * The target that runs everywhere: ONNX's own operators of opset 20, images NCHW, float32 islands where fp16 lacks the range
 * or the digits. The other targets are this one with kernels replaced. Reference: onnx.md §2 and §6.
 */
import { type Dim, elementCount, floatConstant, type Scope, times, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import { type AttentionOptions, addUp, type GroupNormOptions, type Stream, settle, type Target } from './target.ts';

export const portable: Target = {
  name: 'portable',
  images: 'NCHW',
  compute: (stored) => stored,
  timestep: 'int64',
  timeRows: 'one',
  conv2d: (s, x, weight, bias, options) => op.Conv(s, x, weight, bias as Value, options),
  groupNorm: (s, x, gamma, beta, options) => instanceGroupNorm(s, settle(s, x), gamma, beta, options),
  layerNorm: (s, x: Stream, gamma, beta, options) => op.LayerNormalization(s, settle(s, x), gamma, beta, options),
  motionTokens: 'sequences',
  attention: scaledDotProduct,
  geglu: (s, x, weight, bias) => {
    const [value, gate] = op.Split(s, op.Add(s, op.MatMul(s, x, weight), bias), { axis: -1, parts: 2 }) as [
      Value,
      Value,
    ];
    return op.Mul(s, value, op.Gelu(s, gate));
  },
  sum: addUp,
};

// ---------------------------------------------------------------------------------------------------- group normalisation

/**
 * Group normalisation of `[N, C, …]` as InstanceNormalization over groups: GroupNormalization has a kernel on no device
 * and unfolds to some 25 nodes, this is five, with float32 statistics where the device has them.
 */
function instanceGroupNorm(
  s: Scope,
  x: Value,
  gamma: Value,
  beta: Value,
  { groups, epsilon, silu }: GroupNormOptions,
): Value {
  const channels = x.shape[1] as number;
  const grouped = op.Reshape(s, op.Cast(s, x, { to: 'float32' }), [x.shape[0] as Dim, groups, restOf(x.shape, groups)]);
  const unit = (value: number, name: string) =>
    floatConstant(s.graph, 'float32', Array<number>(groups).fill(value), [groups], name);
  const normalised = op.InstanceNormalization(s, grouped, unit(1, 'ones'), unit(0, 'zeros'), { epsilon });
  const perChannel = (vector: Value) =>
    op.Cast(s, op.Reshape(s, vector, [channels, ...x.shape.slice(2).map(() => 1)]), { to: 'float32' });
  const affine = op.Add(s, op.Mul(s, op.Reshape(s, normalised, x.shape), perChannel(gamma)), perChannel(beta));
  return op.Cast(s, silu ? op.Mul(s, affine, op.Sigmoid(s, affine)) : affine, { to: s.type });
}

/** Elements per group after axis 0, symbolic if one of them is. */
function restOf(shape: readonly Dim[], groups: number): Dim {
  const [channels, ...rest] = shape.slice(1) as [number, ...Dim[]];
  return rest.reduce<Dim>((count, dim) => times(count, dim), channels / groups);
}

// ---------------------------------------------------------------------------------------------------- attention

/**
 * Scores that stand in memory at a time: 256 MiB in float32, and as much again for their softmax. At 512² one self-attention
 * has 32 times as many.
 */
const MAX_SCORES = 2 ** 26;

/** Added to scores that are hidden: far below all others, and no −∞, which could turn into NaN. */
const MASKED = -1e9;

/**
 * Attention from MatMul and Softmax. Scores are float32, as in fused kernels: they are the first values to leave the range of
 * fp16, and exp of what fp16 leaves of them loses what attention is about. Where all scores together would not fit into memory,
 * it is computed in parts.
 */
function scaledDotProduct(s: Scope, q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  const width = (q.shape[2] as number) / options.heads;
  const split = (x: Value) => op.Reshape(s, x, [x.shape[0] as Dim, x.shape[1] as Dim, options.heads, width]);
  const scaled = op.Mul(s, q, floatConstant(s.graph, s.type, [1 / Math.sqrt(width)]));
  const queries = op.Transpose(s, split(scaled), [0, 2, 1, 3]); // [N, heads, S, d]
  const keys = op.Transpose(s, split(k), [0, 2, 3, 1]); // [N, heads, d, T]
  const values = op.Transpose(s, split(v), [0, 2, 1, 3]);
  const mask = options.causal ? causalMask(s, q.shape[1] as number) : undefined;
  const mixed = inParts(s, partsOf(q, k, options), [queries, keys, values], (parts) => attend(s, parts, mask));
  return op.Reshape(s, op.Transpose(s, mixed, [0, 2, 1, 3]), q.shape);
}

function attend(s: Scope, [queries, keys, values]: Operands, mask?: Value): Value {
  const [q, k] = [queries, keys].map((x) => op.Cast(s, x, { to: 'float32' })) as [Value, Value];
  const scores = op.MatMul(s, q, k);
  const weights = op.Softmax(s, mask ? op.Add(s, scores, mask) : scores);
  return op.MatMul(s, op.Cast(s, weights, { to: values.type }), values);
}

function causalMask(s: Scope, length: number): Value {
  const mask = Float32Array.from({ length: length * length }, (_, i) =>
    i % length > Math.floor(i / length) ? MASKED : 0,
  );
  return floatConstant(s.graph, 'float32', mask, [length, length], 'causal_mask');
}

type Operands = readonly [queries: Value, keys: Value, values: Value];

/** Along which axes of `[N, heads, S, …]`, and in how many parts: queries, keys and values together, or queries alone. */
interface Parts {
  readonly axis: 0 | 1 | 2;
  readonly count: number;
}

/** First images, then rows of queries. Where lengths are symbolic, one head at a time is all that can be promised. */
function partsOf(q: Value, k: Value, { heads, pixels }: AttentionOptions): Parts[] {
  const [images, rows] = q.shape as [Dim, Dim, number];
  const scores = elementCount([heads, rows, k.shape[1] as Dim]);
  if (scores === undefined) return pixels && heads > 1 ? [{ axis: 1, count: heads }] : [];
  const imageParts = typeof images === 'number' ? divisorFor(images, images * scores) : 1;
  const rowParts =
    typeof rows === 'number' ? divisorFor(rows, (scores * (typeof images === 'number' ? images : 1)) / imageParts) : 1;
  return [
    { axis: 0 as const, count: imageParts },
    { axis: 2 as const, count: rowParts },
  ].filter(({ count }) => count > 1);
}

/** The smallest divisor of `length` that cuts `scores` to what may stand in memory, or `length`. */
function divisorFor(length: number, scores: number): number {
  for (let parts = 1; parts < length; parts += 1) {
    if (length % parts === 0 && scores / parts <= MAX_SCORES) return parts;
  }
  return length;
}

function inParts(
  s: Scope,
  [first, ...rest]: readonly Parts[],
  operands: Operands,
  compute: (operands: Operands) => Value,
): Value {
  if (!first) return compute(operands);
  const { axis, count } = first;
  const cut = (x: Value) => equalParts(s, x, axis, count);
  const [queries, keys, values] = operands;
  const wholes = axis === 2 ? [] : [cut(keys), cut(values)]; // a row of queries looks at all keys
  const results = cut(queries).map((query, i) =>
    inParts(s, rest, [query, wholes[0]?.[i] ?? keys, wholes[1]?.[i] ?? values], compute),
  );
  return op.Concat(s, results, { axis });
}

/** Outputs of one Split: WebGPU promises a shader eight buffers, of which one is the input. */
const MAX_OUTPUTS = 7;

/** Equal parts, by several Splits where one would have too many outputs. A prime number of parts must be one. */
function equalParts(s: Scope, x: Value, axis: number, count: number): readonly Value[] {
  const few = Array.from({ length: MAX_OUTPUTS }, (_, i) => MAX_OUTPUTS - i).find((n) => count % n === 0) as number;
  if (count <= MAX_OUTPUTS || few === 1) return op.Split(s, x, { axis, parts: count });
  return op.Split(s, x, { axis, parts: few }).flatMap((part) => equalParts(s, part, axis, count / few));
}

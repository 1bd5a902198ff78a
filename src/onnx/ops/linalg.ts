/** MatMul, Conv, the normalisations and reductions, each named exactly as in ONNX. */
import { type ConvPlacement, placement } from '../conv-placement.ts';
import { type Dim, emit, int64Constant, type Scope, type Value } from '../graph.ts';
import { broadcast } from './elementwise.ts';

/** `[…, m, k] × […, k, n] → […, m, n]`; leading dimensions broadcast. */
export function MatMul(s: Scope, a: Value, b: Value): Value {
  const [k, n] = b.shape.slice(-2) as [Dim, Dim];
  if (a.shape.at(-1) !== k) throw new RangeError(`MatMul in ${s.path}: [${a.shape}] × [${b.shape}] do not fit.`);
  const batch = broadcast('MatMul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  return emit(s, 'MatMul', [a, b], {}, a.type, [...batch, ...a.shape.slice(-2, -1), n]);
}

/** Sum over the letters that the result does not have; a letter is an axis, as in `oi,ti->to`. */
export function Einsum(s: Scope, equation: string, inputs: readonly Value[]): Value {
  const [terms, result] = equation.split('->') as [string, string];
  const lengths = new Map<string, Dim>();
  for (const [i, letters] of terms.split(',').entries()) {
    for (const [axis, letter] of [...letters].entries()) {
      const length = inputs[i]?.shape[axis] as Dim;
      if ((lengths.get(letter) ?? length) !== length) {
        throw new RangeError(`Einsum in ${s.path}: ${letter} of ${equation} is ${lengths.get(letter)} and ${length}.`);
      }
      lengths.set(letter, length);
    }
  }
  const shape = [...result].map((letter) => lengths.get(letter) as Dim);
  return emit(s, 'Einsum', inputs, { equation }, (inputs[0] as Value).type, shape);
}

/** `a·b + c` for matrices, c being added to in place of a separate pass over the result. */
export function Gemm(s: Scope, a: Value, b: Value, c: Value): Value {
  const [m, k] = a.shape as [Dim, Dim];
  const [inner, n] = b.shape as [Dim, Dim];
  if (
    a.shape.length !== 2 ||
    b.shape.length !== 2 ||
    k !== inner ||
    broadcast('Gemm', c.shape, [m, n]).join() !== `${m},${n}`
  ) {
    throw new RangeError(`Gemm in ${s.path}: [${a.shape}] × [${b.shape}] + [${c.shape}] do not fit.`);
  }
  return emit(s, 'Gemm', [a, b, c], {}, a.type, [m, n]);
}

/**
 * 2-D convolution of `[N, C, H, W]` with an OIHW weight. Kernels here are 1×1 without padding or 3×3 with `pad` 1, stride 1 or 2,
 * which is all that SD1.5 has; `pad` is that before an axis and that behind it where they differ (0 and 1, at stride 2).
 */
export function Conv(s: Scope, x: Value, w: Value, b: Value | undefined, options: ConvPlacement = {}): Value {
  const [n, c, h, width] = x.shape as [Dim, Dim, Dim, Dim];
  const [o, i, kh, kw] = w.shape as [number, number, number, number];
  if (c !== i) throw new RangeError(`Conv in ${s.path}: input has ${c} channels, weight [${w.shape}] wants ${i}.`);
  const { attributes, length } = placement([kh, kw], options);
  return emit(s, 'Conv', b ? [x, w, b] : [x, w], attributes, x.type, [n, o, length(h), length(width)]);
}

/** Normalises each channel of `[N, C, …]` on its own; scale and bias are `[C]`. */
export function InstanceNormalization(s: Scope, x: Value, scale: Value, b: Value, { epsilon = 1e-5 } = {}): Value {
  return emit(s, 'InstanceNormalization', [x, scale, b], { epsilon: { float: epsilon } }, x.type, x.shape);
}

/** Normalises the last axis; the statistics are float32 whatever the type (stash_type 1). */
export function LayerNormalization(s: Scope, x: Value, scale: Value, b: Value, { epsilon = 1e-5 } = {}): Value {
  return emit(s, 'LayerNormalization', [x, scale, b], { axis: -1, epsilon: { float: epsilon } }, x.type, x.shape);
}

export function Softmax(s: Scope, x: Value, { axis = -1 } = {}): Value {
  return emit(s, 'Softmax', [x], { axis }, x.type, x.shape);
}

/** Sum of squares along `axes`, which keep a length of 1. */
export function ReduceSumSquare(s: Scope, x: Value, { axes }: { axes: readonly number[] }): Value {
  const shape = x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  return emit(s, 'ReduceSumSquare', [x, int64Constant(s.graph, axes)], { keepdims: 1 }, x.type, shape);
}

/** Inverse of each of `[…, n, n]`. onnxruntime's own (com.microsoft): ONNX has none. */
export function Inverse(s: Scope, x: Value): Value {
  return emit(s, 'Inverse', [x], {}, x.type, x.shape, undefined, 'com.microsoft');
}

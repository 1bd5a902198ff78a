/**
 * The layers that all three models are made of, named and shaped as in PyTorch and diffusers. A scope's path is the
 * module's path, so each parameter gets its diffusers name.
 */
import { type Dim, floatConstant, parameter, type Scope, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';

/** `x·Wᵀ + b` on the last axis; the weight is stored `[in, out]`. */
export function linear(s: Scope, x: Value, out: number, { bias = true } = {}): Value {
  const into = x.shape.at(-1) as number;
  const product = op.MatMul(s, x, parameter(s, 'weight', [into, out], 'transposed'));
  return bias ? op.Add(s, product, parameter(s, 'bias', [out])) : product;
}

export function conv2d(s: Scope, x: Value, out: number, kernel: 1 | 3, { stride = 1 } = {}): Value {
  const weight = parameter(s, 'weight', [out, x.shape[1] as number, kernel, kernel]);
  return op.Conv(s, x, weight, parameter(s, 'bias', [out]), { stride, pad: kernel === 3 ? 1 : 0 });
}

export function silu(s: Scope, x: Value): Value {
  return op.Mul(s, x, op.Sigmoid(s, x));
}

export function layerNorm(s: Scope, x: Value, epsilon = 1e-5): Value {
  const width = x.shape.at(-1) as number;
  return op.LayerNormalization(s, x, parameter(s, 'weight', [width]), parameter(s, 'bias', [width]), { epsilon });
}

/**
 * Group normalisation of `[N, C, …]` as InstanceNormalization over groups: GroupNormalization has a kernel on no device
 * and unfolds to some 25 nodes, this is five, with float32 statistics where the device has them (reference: onnx.md §2).
 */
export function groupNorm(
  s: Scope,
  x: Value,
  groups: number,
  epsilon: number,
  activation?: (s: Scope, x: Value) => Value,
): Value {
  const channels = x.shape[1] as number;
  const grouped = op.Reshape(s, op.Cast(s, x, { to: 'float32' }), [x.shape[0] as Dim, groups, restOf(x.shape, groups)]);
  const unit = (value: number, name: string) =>
    floatConstant(s.graph, 'float32', Array<number>(groups).fill(value), [groups], name);
  const normalised = op.InstanceNormalization(s, grouped, unit(1, 'ones'), unit(0, 'zeros'), { epsilon });
  const perChannel = (leaf: string) =>
    op.Cast(s, op.Reshape(s, parameter(s, leaf, [channels]), [channels, ...x.shape.slice(2).map(() => 1)]), {
      to: 'float32',
    });
  const affine = op.Add(s, op.Mul(s, op.Reshape(s, normalised, x.shape), perChannel('weight')), perChannel('bias'));
  return op.Cast(s, activation ? activation(s, affine) : affine, { to: s.type });
}

/** Elements per group after axis 0, symbolic if one of them is. */
function restOf(shape: readonly Dim[], groups: number): Dim {
  const [channels, ...rest] = shape.slice(1) as [number, ...Dim[]];
  return rest.reduce<Dim>(
    (count, dim) => (typeof count === 'number' && typeof dim === 'number' ? count * dim : `${count}*${dim}`),
    channels / groups,
  );
}

/**
 * Multi-head attention of `query` `[B, S, C]` over `context` `[B, T, D]` with diffusers' names (to_q, to_k, to_v, to_out.0).
 * The query is scaled before the product: fp16 logits of a trained model can pass 65504 otherwise.
 */
export function attention(s: Scope, query: Value, context: Value, heads: number, { bias = false } = {}): Value {
  const channels = query.shape[2] as number;
  const q = linear(s.in('to_q'), query, channels, { bias });
  const k = linear(s.in('to_k'), context, channels, { bias });
  const v = linear(s.in('to_v'), context, channels, { bias });
  return linear(s.in('to_out', 0), scaledDotProduct(s, q, k, v, heads), channels);
}

/** softmax(q·kᵀ / √d + mask)·v for `[B, S, C]` inputs, C = heads · d; `mask` broadcasts to `[B, heads, S, T]`. */
export function scaledDotProduct(s: Scope, q: Value, k: Value, v: Value, heads: number, mask?: Value): Value {
  const channels = q.shape[2] as number;
  const width = channels / heads;
  const split = (x: Value) => op.Reshape(s, x, [x.shape[0] as Dim, x.shape[1] as Dim, heads, width]);
  const scaled = op.Mul(s, q, floatConstant(s.graph, s.type, [1 / Math.sqrt(width)]));
  const logits = op.MatMul(s, op.Transpose(s, split(scaled), [0, 2, 1, 3]), op.Transpose(s, split(k), [0, 2, 3, 1]));
  const weights = softmax(s, mask ? op.Add(s, logits, mask) : logits);
  const mixed = op.MatMul(s, weights, op.Transpose(s, split(v), [0, 2, 1, 3]));
  return op.Reshape(s, op.Transpose(s, mixed, [0, 2, 1, 3]), q.shape);
}

/** In float32: exp of fp16 logits loses what attention is about, and the CPU has no fp16 kernel but unfolds the operator. */
function softmax(s: Scope, logits: Value): Value {
  return op.Cast(s, op.Softmax(s, op.Cast(s, logits, { to: 'float32' })), { to: logits.type });
}

/** `[N, C, H, W]` → `[N, H·W, C]`. */
export function toTokens(s: Scope, x: Value): Value {
  const [n, c, h, w] = x.shape as [Dim, Dim, Dim, Dim];
  const area = typeof h === 'number' && typeof w === 'number' ? h * w : `${h}*${w}`;
  return op.Transpose(s, op.Reshape(s, x, [n, c, area]), [0, 2, 1]);
}

/** `[N, H·W, C]` → the shape of an image `[N, C, H, W]`. */
export function toImage(s: Scope, x: Value, shape: readonly Dim[]): Value {
  return op.Reshape(s, op.Transpose(s, x, [0, 2, 1]), shape);
}

/**
 * diffusers' ResnetBlock2D. `temb` is SiLU(time embedding) `[1, D]`, the same for every frame; the VAE has none.
 */
export function resnet(
  s: Scope,
  x: Value,
  out: number,
  { groups, epsilon, temb }: { groups: number; epsilon: number; temb?: Value },
): Value {
  let h = conv2d(s.in('conv1'), groupNorm(s.in('norm1'), x, groups, epsilon, silu), out, 3);
  if (temb) h = op.Add(s, h, op.Reshape(s, linear(s.in('time_emb_proj'), temb, out), [1, out, 1, 1]));
  h = conv2d(s.in('conv2'), groupNorm(s.in('norm2'), h, groups, epsilon, silu), out, 3);
  return op.Add(s, x.shape[1] === out ? x : conv2d(s.in('conv_shortcut'), x, out, 1), h);
}

/** Nearest-neighbour doubling (to `size`, which is odd where the way down was) and a 3×3 convolution. */
export function upsample(s: Scope, x: Value, size: { height: Dim; width: Dim }): Value {
  return conv2d(s.in('upsamplers', 0, 'conv'), op.Resize(s, x, size), x.shape[1] as number, 3);
}

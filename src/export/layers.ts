/**
 * The layers that all models are made of, named and shaped as in PyTorch and diffusers, over the kernels of a target
 * (targets/target.ts). A scope's path is the module's path, so each parameter gets its diffusers name.
 */
import { type Dim, type Scope, times, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import {
  type AttentionOptions,
  type ConvOptions,
  type LayerScope,
  type Residual,
  type Stream,
  settle,
  shapeOf,
  storedParameter,
  weight,
} from './targets/target.ts';

// ---------------------------------------------------------------------------------------------------- images

/** An image's lengths, wherever the target has its channels. */
export interface ImageSize {
  readonly n: Dim;
  readonly c: number;
  readonly h: Dim;
  readonly w: Dim;
}

export function sizeOf(s: LayerScope, x: Stream): ImageSize {
  const shape = shapeOf(x);
  const [n, c, h, w] = (s.target.images === 'NCHW' ? [0, 1, 2, 3] : [0, 3, 1, 2]).map((axis) => shape[axis]);
  return { n, c, h, w } as ImageSize;
}

export function imageShape(s: LayerScope, { n, c, h, w }: ImageSize): readonly Dim[] {
  return s.target.images === 'NCHW' ? [n, c, h, w] : [n, h, w, c];
}

/** The axis of the channels. */
export function channelAxis(s: LayerScope): 1 | 3 {
  return s.target.images === 'NCHW' ? 1 : 3;
}

/** From `[N, C, H, W]`, which is what a graph's boundary has, to the target's layout. */
export function fromChannelsFirst(s: LayerScope, x: Value): Value {
  return s.target.images === 'NCHW' ? x : op.Transpose(s, x, [0, 2, 3, 1]);
}

export function toChannelsFirst(s: LayerScope, x: Value): Value {
  return s.target.images === 'NCHW' ? x : op.Transpose(s, x, [0, 3, 1, 2]);
}

/** An image → `[N, H·W, C]`. */
export function toTokens(s: LayerScope, x: Value): Value {
  const { n, c, h, w } = sizeOf(s, x);
  const area = times(h, w);
  return s.target.images === 'NHWC'
    ? op.Reshape(s, x, [n, area, c])
    : op.Transpose(s, op.Reshape(s, x, [n, c, area]), [0, 2, 1]);
}

/** `[N, H·W, C]` → an image of `size`. */
export function toImage(s: LayerScope, x: Value, size: ImageSize): Value {
  return op.Reshape(s, s.target.images === 'NHWC' ? x : op.Transpose(s, x, [0, 2, 1]), imageShape(s, size));
}

// ---------------------------------------------------------------------------------------------------- products

/** A product whose bias waits for the sum that comes next. */
export interface Branch {
  readonly product: Value;
  readonly bias: Value | undefined;
}

/** `x·Wᵀ` on the last axis; the weight is stored `[in, out]`. */
export function linearBranch(s: LayerScope, x: Value, out: number, { bias = true } = {}): Branch {
  const into = x.shape.at(-1) as number;
  const product = op.MatMul(s, x, weight(s, 'weight', [into, out], 'transposed'));
  return { product, bias: bias ? weight(s, 'bias', [out]) : undefined };
}

/** `x·Wᵀ + b`. */
export function linear(s: LayerScope, x: Value, out: number, options: { bias?: boolean } = {}): Value {
  return biased(s, linearBranch(s, x, out, options));
}

/** Padding that keeps the size at stride 1, unless another is said. */
type Conv2dOptions = Partial<ConvOptions>;

export function conv2d(s: LayerScope, x: Value, out: number, kernel: 1 | 3, options: Conv2dOptions = {}): Value {
  return convolve(s, x, out, kernel, weight(s, 'bias', [out]), options);
}

/** A convolution NCHW adds its bias on the way; with channels last the bias can wait. */
export function conv2dBranch(s: LayerScope, x: Value, out: number, kernel: 1 | 3): Branch {
  if (s.target.images === 'NCHW') return { product: conv2d(s, x, out, kernel), bias: undefined };
  return { product: convolve(s, x, out, kernel, undefined), bias: weight(s, 'bias', [out]) };
}

function convolve(
  s: LayerScope,
  x: Value,
  out: number,
  kernel: 1 | 3,
  bias: Value | undefined,
  { stride = 1, pad = kernel === 3 ? [1, 1] : [0, 0] }: Conv2dOptions = {},
): Value {
  const kernels = weight(s, 'weight', [out, sizeOf(s, x).c, kernel, kernel]);
  return s.target.conv2d(s, x, kernels, bias, { stride, pad });
}

function biased(s: Scope, { product, bias }: Branch): Value {
  return bias ? op.Add(s, product, bias) : product;
}

/** A branch over tokens `[N, S, C]` as one over the pixels of an image. Channels first, a bias can't wait any longer. */
export function branchToImage(s: LayerScope, branch: Branch, toPixels: (tokens: Value) => Value): Branch {
  return s.target.images === 'NHWC'
    ? { product: toPixels(branch.product), bias: branch.bias }
    : { product: toPixels(biased(s, branch)), bias: undefined };
}

/** A branch over the pixels of an image as one over its tokens. */
export function branchToTokens(s: LayerScope, { product, bias }: Branch): Branch {
  return { product: toTokens(s, product), bias };
}

/** A branch and what it goes around, if anything. `kept: false` says that nothing but the next normalisation needs the sum. */
export function residual({ product, bias }: Branch, skip?: Value, { kept = true } = {}): Residual {
  return { branch: product, bias, skip, kept, sum: undefined };
}

/** A product that a LayerNorm comes after: channels last, its bias waits for that. */
export function beforeNorm(s: LayerScope, branch: Branch): Stream {
  return s.target.images === 'NHWC' && branch.bias ? residual(branch) : biased(s, branch);
}

/**
 * Two biases as one, where both are there. They are parameters, so devices add them once, when they load; in float32, because
 * the CPU, which does that for all of them, has no fp16 sum.
 */
function bothBiases(s: Scope, a: Value | undefined, b: Value | undefined): Value | undefined {
  if (!a || !b) return a ?? b;
  return op.Cast(s, op.Add(s, op.Cast(s, a, { to: 'float32' }), op.Cast(s, b, { to: 'float32' })), { to: s.type });
}

// ---------------------------------------------------------------------------------------------------- pointwise

export function silu(s: Scope, x: Value): Value {
  return op.Mul(s, x, op.Sigmoid(s, x));
}

export function layerNorm(s: LayerScope, x: Stream, epsilon = 1e-5): Value {
  const width = [shapeOf(x).at(-1) as number];
  return s.target.layerNorm(s, x, weight(s, 'weight', width), weight(s, 'bias', width), { epsilon });
}

/** Of an image, in groups of channels; `silu` of the result where asked for. */
export function groupNorm(
  s: LayerScope,
  x: Stream,
  options: { readonly groups: number; readonly epsilon: number; readonly silu?: boolean },
): Value {
  const width = [shapeOf(x).at(channelAxis(s)) as number];
  const [gamma, beta] = [storedParameter(s, 'weight', width), storedParameter(s, 'bias', width)];
  return s.target.groupNorm(s, x, gamma, beta, { silu: false, ...options });
}

// ---------------------------------------------------------------------------------------------------- modules

/**
 * Multi-head attention of `query` `[B, S, C]` over `context` `[B, T, D]` with diffusers' names (to_q, to_k, to_v, to_out.0).
 * The result's bias waits.
 */
export function attention(
  s: LayerScope,
  query: Value,
  context: Value,
  { bias = false, ...options }: AttentionOptions & { readonly bias?: boolean },
): Branch {
  const channels = query.shape.at(-1) as number;
  const q = linear(s.in('to_q'), query, channels, { bias });
  const k = linear(s.in('to_k'), context, channels, { bias });
  const v = linear(s.in('to_v'), context, channels, { bias });
  return linearBranch(s.in('to_out', 0), s.target.attention(s, q, k, v, options), channels);
}

/** GEGLU: value · gelu(gate), gate being the second half of the projection; the result's bias waits. */
export function feedForward(s: LayerScope, x: Value): Branch {
  const channels = x.shape.at(-1) as number;
  const p = s.in('net', 0, 'proj');
  const both = channels * 8;
  const [weights, bias] = [weight(p, 'weight', [channels, both], 'transposed'), weight(p, 'bias', [both])];
  return linearBranch(s.in('net', 2), s.target.geglu(p, x, weights, bias), channels);
}

/** SiLU(time embedding) `[1, D]` in the form that resnets take it in: one row for all images, or one for each. */
export function perImage(s: LayerScope, temb: Value, images: Dim): Value {
  return s.target.timeRows === 'one' ? temb : op.Expand(s, temb, [images, temb.shape[1] as Dim]);
}

/**
 * diffusers' ResnetBlock2D. `temb` is SiLU(time embedding) `perImage`; the VAE has none.
 */
export function resnet(
  s: LayerScope,
  x: Stream,
  out: number,
  { groups, epsilon, temb }: { groups: number; epsilon: number; temb?: Value },
): Residual {
  const size = sizeOf(s, x);
  const norm = { groups, epsilon, silu: true };
  const first = conv2dBranch(s.in('conv1'), groupNorm(s.in('norm1'), x, norm), out, 3);
  const timed = temb ? shifted(s, first, temb, out) : biased(s, first);
  const branch = conv2dBranch(s.in('conv2'), groupNorm(s.in('norm2'), timed, norm), out, 3);
  const whole = settle(s, x);
  if (size.c === out) return residual(branch, whole);
  const shortcut = conv2dBranch(s.in('conv_shortcut'), whole, out, 1);
  return residual({ product: branch.product, bias: bothBiases(s, branch.bias, shortcut.bias) }, shortcut.product);
}

/** A branch and the time embedding's share in each of its channels, as images of one pixel. */
function shifted(s: LayerScope, { product, bias }: Branch, temb: Value, channels: number): Residual {
  const t = s.in('time_emb_proj');
  const shift = linearBranch(t, temb, channels);
  const pixel = imageShape(s, { n: temb.shape[0] as Dim, c: channels, h: 1, w: 1 });
  // channels first, a convolution's bias can't wait for this one
  return bias
    ? residual({ product, bias: bothBiases(s, bias, shift.bias) }, op.Reshape(t, shift.product, pixel), { kept: false })
    : residual({ product, bias }, op.Reshape(t, biased(t, shift), pixel), { kept: false });
}

/** Nearest-neighbour doubling (to `size`, which is odd where the way down was) and a 3×3 convolution. */
export function upsample(s: LayerScope, x: Value, size: { height: Dim; width: Dim }): Value {
  const axes = s.target.images === 'NCHW' ? ([2, 3] as const) : ([1, 2] as const);
  return conv2d(s.in('upsamplers', 0, 'conv'), op.Resize(s, x, { ...size, axes }), sizeOf(s, x).c, 3);
}

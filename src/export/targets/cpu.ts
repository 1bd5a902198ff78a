/**
 * The target for CPUs: computes in float32 whatever the weights are stored in, because processors widen fp16 anyway and
 * onnxruntime puts a cast around every operator; weights are widened once, when the graph is loaded. Images have their channels
 * last, so that tokens need no transposition and 3×3 convolutions can be Winograd's.
 */
import { FusedMatMul, MultiHeadAttention } from '../../onnx/contrib-ops.ts';
import { type Dim, elementCount, times, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import { channelsLastGroupNorm } from './channels-last-norm.ts';
import { pointwise } from './pointwise.ts';
import { portable } from './portable.ts';
import { type ConvOptions, type LayerScope, settle, type Target } from './target.ts';
import { type TileSize, winogradConv, winogradShare } from './winograd.ts';

export const cpu: Target = {
  ...portable,
  name: 'cpu',
  images: 'NHWC',
  compute: () => 'float32',
  conv2d: (s, x, weight, bias, options) => {
    const [out, , kernel] = weight.shape as [number, number, number];
    if (kernel === 1) return biased(s, pointwise(s, x, weight), bias);
    const tile = tileSize(x, out, options);
    if (tile) return biased(s, winogradConv(s, x, weight, tile), bias);
    const channelsFirst = op.Transpose(s, x, [0, 3, 1, 2]);
    return op.Transpose(s, op.Conv(s, channelsFirst, weight, bias, options), [0, 2, 3, 1]);
  },
  /** InstanceNormalization wants channels first: only where the image's size is not known is it worth being turned. */
  groupNorm: (s, x, gamma, beta, options) => {
    const whole = settle(s, x);
    const [n, h, w, c] = whole.shape as [Dim, Dim, Dim, number];
    if (elementCount([h, w]) !== undefined) return channelsLastGroupNorm(s, whole, gamma, beta, options);
    const channelsFirst = op.Transpose(s, op.Reshape(s, whole, [n, times(h, w), c]), [0, 2, 1]);
    const normed = portable.groupNorm(s, channelsFirst, gamma, beta, options);
    return op.Reshape(s, op.Transpose(s, normed, [0, 2, 1]), whole.shape);
  },
  motionTokens: 'in-place',
  attention: (s, q, k, v, options) =>
    options.frames
      ? alongFrames(s, q, k, v, options.heads)
      : MultiHeadAttention(s, q, k, v, { num_heads: options.heads, unidirectional: options.causal ? 1 : 0 }),
  /** The halves of the weight are cut when the graph is loaded, those of the product would be at every run. */
  geglu: (s, x, weight, bias) => {
    const [values, gates] = op.Split(s, weight, { axis: -1, parts: 2 }) as [Value, Value];
    const [valueBias, gateBias] = op.Split(s, bias, { axis: -1, parts: 2 }) as [Value, Value];
    const value = biased(s, op.MatMul(s, x, values), valueBias);
    return op.Mul(s, value, op.Gelu(s, biased(s, op.MatMul(s, x, gates), gateBias)));
  },
  sum: (s, { branch, bias, skip }) => {
    if (!skip) return biased(s, branch, bias);
    if (elementCount(skip.shape) === elementCount(branch.shape)) return op.Add(s, biased(s, branch, bias), skip);
    return op.Add(s, branch, biased(s, skip, bias)); // the smaller sum first
  },
};

/**
 * Attention of `[B, F, P, C]` between the frames F of each pixel: many products of a few frames, which read their operands where
 * they lie. The fused kernel is for long sequences; here it takes half as long again, and wants its operands turned.
 */
function alongFrames(s: LayerScope, q: Value, k: Value, v: Value, heads: number): Value {
  const [batch, frames, pixels, channels] = q.shape as [Dim, Dim, Dim, number];
  const width = channels / heads;
  const framesFirst = (x: Value) => {
    const turned = batch === 1 ? x : op.Transpose(s, x, [1, 0, 2, 3]);
    return op.Reshape(s, turned, [frames, times(batch, pixels), heads, width]);
  };
  const [queries, keys, values] = [q, k, v].map(framesFirst) as [Value, Value, Value];
  const alpha = 1 / Math.sqrt(width);
  const scores = FusedMatMul(s, queries, keys, { transBatchA: 1, transBatchB: 1, transB: 1, alpha });
  const mixed = FusedMatMul(s, op.Softmax(s, scores), values, { transBatchB: 1 }); // [B·P, heads, F, d]
  const merged = op.Reshape(s, op.Transpose(s, mixed, [2, 0, 1, 3]), [frames, batch, pixels, channels]);
  return batch === 1 ? op.Reshape(s, merged, q.shape) : op.Transpose(s, merged, [1, 0, 2, 3]);
}

/**
 * A bias of rank 3, because onnxruntime would put one of rank 1 into a Gemm, which for these shapes is up to a third slower
 * than MatMul and an Add in place.
 */
function biased(s: LayerScope, product: Value, bias: Value | undefined): Value {
  return bias ? op.Add(s, product, op.Reshape(s, bias, [1, 1, bias.shape[0] as Dim])) : product;
}

/** Fewer channels, and the transforms take longer than what they save. */
const WINOGRAD_CHANNELS = 128;

/** Fewer pixels, and reading the weights, which get larger, takes longer. */
const WINOGRAD_PIXELS = 128;

/**
 * More products of channels, and Winograd's weights, 4 times (tiles of 4) or 1.8 times (of 2) as large in float32, take more memory
 * than their use is worth: those of SD1.5's deepest levels lie above, which are most of its weights and a sixth of the work.
 */
const WINOGRAD_WEIGHTS = 2 ** 20;

/** Of the direct sum's operations; the passes over transformed images cost the rest. The share grows with the length of an axis. */
const WINOGRAD_SHARE = 0.7;

/** Of Winograd's convolution, or undefined where the direct one is better. */
function tileSize({ shape }: Value, out: number, { stride, pad }: ConvOptions): TileSize | undefined {
  const [n, h, w, c] = shape as [Dim, Dim, Dim, number];
  if (stride !== 1 || pad[0] !== 1 || pad[1] !== 1 || typeof h !== 'number' || typeof w !== 'number') return undefined;
  const pixels = h * w * (typeof n === 'number' ? n : 1);
  if (Math.min(c, out) < WINOGRAD_CHANNELS || c * out > WINOGRAD_WEIGHTS || pixels < WINOGRAD_PIXELS) return undefined;
  const tile = Math.min(h, w) > 4 ? 4 : 2; // an image of one tile is a product of few rows
  return winogradShare(tile, { h, w, c, out }) < WINOGRAD_SHARE ? tile : undefined;
}

/**
 * The target for CPUs: computes in float32 whatever the weights are stored in, because processors widen fp16 anyway and
 * onnxruntime puts a cast around every operator; weights are widened once, when the graph is loaded. Images have their channels
 * last, so that tokens need no transposition and 3×3 convolutions can be Winograd's; attention and the sums before LayerNorm
 * are fused kernels.
 */
import { MultiHeadAttention } from '../../onnx/contrib-ops.ts';
import { type Dim, times, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import { type ConvOptions, type LayerScope, settle, type Target } from './target.ts';
import { winogradConv } from './winograd.ts';

export const cpu: Target = {
  ...portable,
  name: 'cpu',
  images: 'NHWC',
  compute: () => 'float32',
  conv2d: (s, x, weight, bias, options) => {
    const [out, into, kernel] = weight.shape as [number, number, number];
    if (kernel === 1) {
      return biased(s, op.MatMul(s, x, op.Transpose(s, op.Reshape(s, weight, [out, into]), [1, 0])), bias);
    }
    if (paysWinograd(x, out, options)) return biased(s, winogradConv(s, x, weight), bias);
    const channelsFirst = op.Transpose(s, x, [0, 3, 1, 2]);
    return op.Transpose(s, op.Conv(s, channelsFirst, weight, bias, options), [0, 2, 3, 1]);
  },
  /** InstanceNormalization wants channels first; there is no kernel for channels last on the CPU. */
  groupNorm: (s, x, gamma, beta, options) => {
    const whole = settle(s, x);
    const [n, h, w, c] = whole.shape as [Dim, Dim, Dim, number];
    const channelsFirst = op.Transpose(s, op.Reshape(s, whole, [n, times(h, w), c]), [0, 2, 1]);
    const normed = portable.groupNorm(s, channelsFirst, gamma, beta, options);
    return op.Reshape(s, op.Transpose(s, normed, [0, 2, 1]), whole.shape);
  },
  layerNorm: skipLayerNorm,
  attention: (s, q, k, v, { heads, causal }) =>
    MultiHeadAttention(s, q, k, v, { num_heads: heads, unidirectional: causal ? 1 : 0 }),
};

function biased(s: LayerScope, product: Value, bias: Value | undefined): Value {
  return bias ? op.Add(s, product, bias) : product;
}

/** Fewer channels, and the transforms take longer than what they save. */
const WINOGRAD_CHANNELS = 32;

/** Fewer pixels, and reading the weights, which get four times as large, takes longer. */
const WINOGRAD_PIXELS = 512;

/** More products of channels, and the weights' memory is not worth the time. */
const WINOGRAD_WEIGHTS = 2 ** 20;

function paysWinograd({ shape }: Value, out: number, { stride, pad }: ConvOptions): boolean {
  if (stride !== 1 || pad.join() !== '1,1') return false;
  const [n, h, w, c] = shape as [Dim, Dim, Dim, number];
  if (typeof h !== 'number' || typeof w !== 'number') return false;
  const pixels = h * w * (typeof n === 'number' ? n : 1);
  return Math.min(c, out) >= WINOGRAD_CHANNELS && pixels >= WINOGRAD_PIXELS && c * out <= WINOGRAD_WEIGHTS;
}

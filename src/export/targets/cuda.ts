/**
 * The target for CUDA: images NHWC throughout, where convolutions of fp16 run on tensor cores without transposition, and
 * onnxruntime's fused kernels. Weights are stored for all targets alike; what turns them is folded when the graph is loaded.
 * Reference: onnx.md §1.
 */
import * as ms from '../../onnx/contrib-ops.ts';
import type { Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import { type GroupNormOptions, isResidual, type Stream, settle, type Target } from './target.ts';

/** Widths of what goes into BiasSplitGelu that its kernel is compiled for. */
const SPLIT_GELU_WIDTHS: readonly number[] = [2560, 5120, 6144, 10240, 12288];

export const cuda: Target = {
  ...portable,
  name: 'cuda',
  images: 'NHWC',
  conv2d: (s, x, weight, bias, { stride }) => {
    const [out, into, kernel] = weight.shape as [number, number, number, number];
    if (kernel === 1) {
      const matrix = op.Transpose(s, op.Reshape(s, weight, [out, into]), [1, 0]);
      const product = op.MatMul(s, x, matrix);
      return bias ? op.Add(s, product, bias) : product;
    }
    return ms.NhwcConv(s, x, op.Transpose(s, weight, [0, 2, 3, 1]), bias, { stride, pad: 1 });
  },
  groupNorm,
  layerNorm: skipLayerNorm,
  attention: (s, q, k, v, { heads, causal }) =>
    ms.MultiHeadAttention(s, q, k, v, { num_heads: heads, unidirectional: causal ? 1 : 0 }),
  geglu: (s, product, bias) =>
    SPLIT_GELU_WIDTHS.includes(product.shape.at(-1) as number)
      ? ms.BiasSplitGelu(s, product, bias)
      : portable.geglu(s, product, bias),
};

/** The kernel takes pairs of channels; a model whose groups are odd is normalised the long way, with images turned for it. */
function groupNorm(
  s: Parameters<Target['groupNorm']>[0],
  x: Stream,
  gamma: Value,
  beta: Value,
  options: GroupNormOptions,
): Value {
  const channels = gamma.shape[0] as number;
  if ((channels / options.groups) % 2 !== 0) return turned(s, settle(s, x), gamma, beta, options);
  const { groups, epsilon, silu } = options;
  const attributes = { groups, epsilon, activation: silu ? 1 : 0 } as const;
  const [scale, offset] = [gamma, beta].map((vector) => op.Cast(s, vector, { to: 'float32' })) as [Value, Value];
  if (!isResidual(x) || x.sum) return ms.GroupNorm(s, settle(s, x), scale, offset, attributes);
  const [normalised, sum] = ms.SkipGroupNorm(s, x.branch, scale, offset, x.skip, x.bias, {
    ...attributes,
    sum: x.kept,
  });
  x.sum = sum;
  return normalised;
}

function turned(
  s: Parameters<Target['groupNorm']>[0],
  x: Value,
  gamma: Value,
  beta: Value,
  options: GroupNormOptions,
): Value {
  const first = op.Transpose(s, x, [0, 3, 1, 2]);
  return op.Transpose(s, portable.groupNorm(s, first, gamma, beta, options), [0, 2, 3, 1]);
}

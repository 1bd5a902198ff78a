/**
 * The target for CUDA: images NHWC throughout, where convolutions of fp16 run on tensor cores without transposition, and
 * onnxruntime's fused kernels. Weights are stored for all targets alike; what turns them is folded when the graph is loaded.
 * Every limit below is one of a kernel in onnxruntime 1.30 (contrib_ops/cuda); what lies outside is computed the portable way.
 * Reference: onnx.md §1.
 */
import * as ms from '../../onnx/contrib-ops.ts';
import { type Dim, elementCount, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import { pointwise } from './pointwise.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import {
  type AttentionOptions,
  addUp,
  type GroupNormOptions,
  isResidual,
  type LayerScope,
  type Residual,
  type Stream,
  settle,
  type Target,
} from './target.ts';

/** Widths of what goes into BiasSplitGelu that its kernel is compiled for (bias_split_gelu.cc). */
const SPLIT_GELU_WIDTHS: readonly number[] = [2560, 5120, 6144, 10240, 12288];

/** Channels that GroupNorm reads per thread, and the most that a group may have (group_norm_common_base.h). */
const [CHANNELS_PER_THREAD, MAX_GROUP] = [2, 512];

/** Head widths of the fused attention kernels are multiples of this. */
const HEAD_STEP = 8;

/** Most sequences of one attention: the batch is one axis of the launch grid of the fused kernels. */
const MAX_SEQUENCES = 65_535;

/** BiasSplitGelu and BiasAdd count elements in 32 bits and don't look whether that is enough. */
const MAX_ELEMENTS = 2 ** 31 - 1;

export const cuda: Target = {
  ...portable,
  name: 'cuda',
  images: 'NHWC',
  timeRows: 'per-image', // as SkipGroupNorm takes what it adds
  conv2d: (s, x, weight, bias, options) => {
    if (weight.shape[2] === 1) {
      const product = pointwise(s, x, weight);
      return bias ? op.Add(s, product, bias) : product;
    }
    return ms.NhwcConv(s, x, op.Transpose(s, weight, [0, 2, 3, 1]), bias, options);
  },
  groupNorm,
  layerNorm,
  attention,
  geglu: (s, x, weight, bias) => {
    const width = weight.shape.at(-1) as number;
    return SPLIT_GELU_WIDTHS.includes(width) && isCounted(x.shape.with(-1, width))
      ? ms.BiasSplitGelu(s, op.MatMul(s, x, weight), bias)
      : portable.geglu(s, x, weight, bias);
  },
  sum,
};

/** Is its number of elements known, and one that 32 bits hold? */
function isCounted(shape: Value['shape']): boolean {
  const count = elementCount(shape);
  return count !== undefined && count <= MAX_ELEMENTS;
}

/** Branch, bias and skip in one pass where all three are there; the kernel wants `[B, S, C]`. */
function sum(s: LayerScope, x: Residual): Value {
  const { branch, bias, skip } = x;
  if (!bias || !skip || skip.shape.join() !== branch.shape.join() || !isCounted(branch.shape)) return addUp(s, x);
  const channels = branch.shape.at(-1) as number;
  const rows = (elementCount(branch.shape) as number) / channels;
  const [a, b] = [branch, skip].map((value) =>
    value.shape.length === 3 ? value : op.Reshape(s, value, [1, rows, channels]),
  ) as [Value, Value];
  const added = ms.BiasAdd(s, a, bias, b);
  return added.shape.length === branch.shape.length ? added : op.Reshape(s, added, branch.shape);
}

/** A bias that waits alone is handed over as the skip of rows of one token each, which the kernel repeats. */
function layerNorm(s: LayerScope, x: Stream, gamma: Value, beta: Value, options: { readonly epsilon: number }): Value {
  if (!isResidual(x) || x.sum || x.skip || !x.bias) return skipLayerNorm(s, x, gamma, beta, options);
  const { shape } = x.branch;
  const [first, second, channels] = shape as [Dim, Dim, number];
  const count = elementCount([first, second]);
  if (count === undefined) return skipLayerNorm(s, x, gamma, beta, options);
  const rows = op.Reshape(s, x.branch, [count, 1, channels]);
  const bias = op.Reshape(s, x.bias, [1, 1, channels]);
  const [normalised, added] = ms.SkipLayerNormalization(s, rows, bias, gamma, beta, undefined, options);
  x.sum = op.Reshape(s, added, shape);
  return op.Reshape(s, normalised, shape);
}

function groupNorm(s: LayerScope, x: Stream, gamma: Value, beta: Value, options: GroupNormOptions): Value {
  const { groups, epsilon, silu } = options;
  const width = (gamma.shape[0] as number) / groups;
  if (width % CHANNELS_PER_THREAD !== 0 || width > MAX_GROUP) return turned(s, settle(s, x), gamma, beta, options);
  const attributes = { groups, epsilon, activation: silu ? 1 : 0 } as const;
  const [scale, offset] = [gamma, beta].map((vector) => op.Cast(s, vector, { to: 'float32' })) as [Value, Value];
  if (!isResidual(x) || x.sum || !x.skip) return ms.GroupNorm(s, settle(s, x), scale, offset, attributes);
  const [normalised, added] = ms.SkipGroupNorm(s, x.branch, scale, offset, x.skip, x.bias, {
    ...attributes,
    sum: x.kept,
  });
  x.sum = added;
  return normalised;
}

/** Groups that the kernel has no threads for are normalised the portable way, with the image turned for it. */
function turned(s: LayerScope, x: Value, gamma: Value, beta: Value, options: GroupNormOptions): Value {
  const first = op.Transpose(s, x, [0, 3, 1, 2]);
  return op.Transpose(s, portable.groupNorm(s, first, gamma, beta, options), [0, 2, 3, 1]);
}

/**
 * Queries, keys and values stay apart: the fused kernels read them as they come from their products, while packed ones are
 * first unpacked into a copy (attention_prepare_qkv.cu).
 */
function attention(s: LayerScope, q: Value, k: Value, v: Value, options: AttentionOptions): Value {
  const [sequences, , channels] = q.shape as [Dim, Dim, number];
  const { heads, causal, pixels } = options;
  // without a fused kernel all scores would stand in memory
  if (pixels && (channels / heads) % HEAD_STEP !== 0) return portable.attention(s, q, k, v, options);
  const attend = (query: Value, key: Value, value: Value) =>
    ms.MultiHeadAttention(s, query, key, value, { num_heads: heads, unidirectional: causal ? 1 : 0 });
  if (typeof sequences !== 'number' || sequences <= MAX_SEQUENCES) return attend(q, k, v);
  let parts = Math.ceil(sequences / MAX_SEQUENCES);
  while (sequences % parts !== 0) parts += 1;
  const [queries, keys, values] = [q, k, v].map((x) => op.Split(s, x, { axis: 0, parts }));
  const mixed = queries?.map((query, i) => attend(query, keys?.[i] as Value, values?.[i] as Value)) ?? [];
  return op.Concat(s, mixed, { axis: 0 });
}

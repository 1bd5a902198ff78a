/**
 * The target for CPUs: computes in float32 whatever the weights are stored in, because processors widen fp16 anyway and
 * onnxruntime puts a cast around every operator; weights are widened once, when the graph is loaded. Attention and the sums
 * before LayerNorm are fused kernels.
 */
import { MultiHeadAttention } from '../../onnx/contrib-ops.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import type { Target } from './target.ts';

export const cpu: Target = {
  ...portable,
  name: 'cpu',
  compute: () => 'float32',
  layerNorm: skipLayerNorm,
  attention: (s, q, k, v, { heads, causal }) =>
    MultiHeadAttention(s, q, k, v, { num_heads: heads, unidirectional: causal ? 1 : 0 }),
};

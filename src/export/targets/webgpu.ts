/**
 * The target for WebGPU, in browsers and natively: no 64-bit integers, fused attention with separate queries, keys and values.
 * Reference: onnx.md §3 (what has a kernel there).
 */
import { MultiHeadAttention } from '../../onnx/contrib-ops.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import type { Target } from './target.ts';

export const webgpu: Target = {
  ...portable,
  name: 'webgpu',
  timestep: 'float32',
  layerNorm: skipLayerNorm,
  attention: (s, q, k, v, { heads, causal }) =>
    MultiHeadAttention(s, q, k, v, { num_heads: heads, unidirectional: causal ? 1 : 0 }),
};

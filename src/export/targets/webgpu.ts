/**
 * The target for WebGPU, natively and in browsers: no 64-bit integers, attention in one kernel where that kernel is sound, the
 * sums before LayerNorm fused. Convolutions stay NCHW: onnxruntime turns them for this device by itself.
 * Source: onnxruntime contrib_ops/webgpu (what has a kernel, and its limits); reference: onnx.md §3.
 */
import { MultiHeadAttention } from '../../onnx/contrib-ops.ts';
import type { Value } from '../../onnx/graph.ts';
import { portable } from './portable.ts';
import { skipLayerNorm } from './skip-layer-norm.ts';
import type { AttentionOptions, Target } from './target.ts';

/**
 * Of a head. The kernel keeps 16 keys and 16 values of a head in workgroup memory, which is 32 KiB on a desktop: in float32
 * that is 256. SD1.5's heads have 40, 80 and 160; its VAE has one head of 512, whose shader would not compile.
 */
const MAX_HEAD_WIDTH = 256;

export const webgpu: Target = {
  ...portable,
  name: 'webgpu',
  timestep: 'float32',
  layerNorm: skipLayerNorm,
  attention: (s, q, k, v, options) =>
    isFused(q, options)
      ? MultiHeadAttention(s, q, k, v, { num_heads: options.heads })
      : portable.attention(s, q, k, v, options),
};

/**
 * A head is read as vectors of four; of another width the kernel writes all scores down, unlike ours without end. The text
 * encoder's attention (causal) is small and runs once per prompt: operators of ONNX are as good, and right on more drivers.
 */
function isFused(q: Value, { heads, causal }: AttentionOptions): boolean {
  const width = (q.shape[2] as number) / heads;
  return !causal && width % 4 === 0 && width <= MAX_HEAD_WIDTH;
}

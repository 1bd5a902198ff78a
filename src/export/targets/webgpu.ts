/**
 * The target for WebGPU, in browsers and natively: no 64-bit integers, fused attention with separate queries, keys and values.
 * Reference: onnx.md §3 (what has a kernel there).
 */
import { cpu } from './cpu.ts';
import { portable } from './portable.ts';
import type { Target } from './target.ts';

export const webgpu: Target = {
  ...portable,
  name: 'webgpu',
  timestep: 'float32',
  layerNorm: cpu.layerNorm,
  attention: cpu.attention,
};

/**
 * How far two graphs over the same weights may be apart, relative to the size of what they give. fp16 against float32
 * arithmetic was seen to differ by 2e-3, WebGPU's fp16 sums by 2e-2 (onnx.md §0); float32 graphs by 1e-6. A swapped weight or a
 * wrong scale gives 1e-1 and more.
 */
import type { ModelInfo } from '../onnx/model-info.ts';

const LIMITS = { FLOAT16: 2e-2, FLOAT: 1e-4, webgpu: 5e-2 } as const;

/** On `device`, by the type of the weights. */
export function differenceLimit({ initializers }: ModelInfo, device: string): number {
  if (device === 'webgpu') return LIMITS.webgpu;
  return LIMITS[initializers.some(({ type }) => type === 'FLOAT16') ? 'FLOAT16' : 'FLOAT'];
}

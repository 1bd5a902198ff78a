/** Where a convolution's kernel is laid, which ONNX's Conv and onnxruntime's NhwcConv say alike. */
import { type Dim, halved } from './graph.ts';

/** How far apart a kernel is laid, and the zeros around: on all sides, or before and behind each axis. */
export interface ConvPlacement {
  readonly stride?: number;
  readonly pad?: number | readonly [before: number, behind: number];
}

/** ONNX's attributes for it, and what it makes of a length. */
export function placement(kernel_shape: readonly number[], { stride = 1, pad = 0 }: ConvPlacement) {
  const [before, behind] = typeof pad === 'number' ? [pad, pad] : pad;
  return {
    attributes: { kernel_shape, strides: [stride, stride], pads: [before, before, behind, behind] },
    length: (dim: Dim): Dim => (stride === 1 ? dim : halved(dim, before === behind ? 'ceil' : 'floor')),
  };
}

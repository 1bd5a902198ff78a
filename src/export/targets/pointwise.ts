/** A 1×1 convolution with channels last: the product of every pixel with one matrix, which is folded when the graph is loaded. */
import type { Scope, Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';

/** `[N, H, W, C]` with an OIHW weight `[O, C, 1, 1]` → `[N, H, W, O]`. */
export function pointwise(s: Scope, x: Value, weight: Value): Value {
  const [out, into] = weight.shape as [number, number];
  return op.MatMul(s, x, op.Transpose(s, op.Reshape(s, weight, [out, into]), [1, 0]));
}

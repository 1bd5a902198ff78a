/**
 * Group normalisation of `[N, H, W, C]` without turning the image: sums over pixels and over the channels of a group are
 * products with ones. The mean is taken off before squares are summed, so nothing cancels.
 */
import { type Dim, floatConstant, type Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { GroupNormOptions, LayerScope } from './target.ts';

/** Height and width must be known. */
export function channelsLastGroupNorm(
  s: LayerScope,
  x: Value,
  gamma: Value,
  beta: Value,
  { groups, epsilon, silu }: GroupNormOptions,
): Value {
  const [n, h, w, c] = x.shape as [Dim, number, number, number];
  const pixels = op.Reshape(s, x, [n, h * w, c]);
  const mean = groupMean(s, { area: h * w, channels: c, groups });
  const centred = op.Sub(s, pixels, mean(pixels));
  const variance = mean(op.Mul(s, centred, centred));
  const deviation = op.Sqrt(s, op.Add(s, variance, floatConstant(s.graph, 'float32', [epsilon])));
  const perChannel = (vector: Value) => op.Cast(s, op.Reshape(s, vector, [1, 1, c]), { to: 'float32' });
  const scaled = op.Mul(s, centred, op.Div(s, perChannel(gamma), deviation));
  const y = op.Add(s, scaled, perChannel(beta));
  return op.Reshape(s, silu ? op.Mul(s, y, op.Sigmoid(s, y)) : y, x.shape);
}

/** `[N, H·W, C]` → `[N, 1, C]`: for every channel the mean of its whole group. */
function groupMean(s: LayerScope, { area, channels, groups }: { area: number; channels: number; groups: number }) {
  const width = channels / groups;
  const same = (value: number, shape: readonly number[]) =>
    op.Expand(s, floatConstant(s.graph, 'float32', [value]), shape); // folded when the graph is loaded
  const pixels = same(1 / (area * width), [1, area]);
  const members = same(1, [width, width]);
  return (x: Value) => {
    const perChannel = op.Reshape(s, op.MatMul(s, pixels, x), [x.shape[0] as Dim, groups, width]);
    return op.Reshape(s, op.MatMul(s, perChannel, members), [x.shape[0] as Dim, 1, channels]);
  };
}

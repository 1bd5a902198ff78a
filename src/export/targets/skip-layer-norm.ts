/** Residual sum and LayerNormalization in one kernel, which CPU, CUDA and WebGPU have. */
import { SkipLayerNormalization } from '../../onnx/contrib-ops.ts';
import * as op from '../../onnx/ops.ts';
import { isResidual, type LayerScope, settle, type Target } from './target.ts';

/** Residuals here are never broadcast: branch and skip are `[B, S, C]` both. */
export const skipLayerNorm: Target['layerNorm'] = (s: LayerScope, x, gamma, beta, options) => {
  if (!isResidual(x)) return op.LayerNormalization(s, x, gamma, beta, options);
  if (x.sum || !x.skip) return op.LayerNormalization(s, settle(s, x), gamma, beta, options);
  const [normalised, sum] = SkipLayerNormalization(s, x.branch, x.skip, gamma, beta, x.bias, options);
  x.sum = sum;
  return normalised;
};

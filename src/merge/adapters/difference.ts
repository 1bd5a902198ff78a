/** What one model has over another: W += scale · (weight − origin). A whole fine-tuned checkpoint (τ = w − w₀), or a motion module with a base. */
import * as op from '../../onnx/ops.ts';
import type { Arithmetic, TermOf } from './adapter.ts';

export interface DifferenceTerm extends TermOf<'difference', 'weight' | 'origin'> {}

export const difference: { readonly kind: 'difference'; readonly arithmetic: Arithmetic<DifferenceTerm> } = {
  kind: 'difference',
  arithmetic: {
    rows: () => ['weight', 'origin'],
    anyShape: () => true,
    delta(f, _term, scale) {
      const shape = [f.rows, f.columns];
      return op.Mul(f.s, op.Sub(f.s, f.operand('weight', shape), f.operand('origin', shape)), scale);
    },
  },
};

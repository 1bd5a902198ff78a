/**
 * IA³ as LyCORIS stores it: what is added to a factor of 1 per output channel, or per input channel where `on_input` says so:
 * W' = W·(1 + scale·w). PEFT's `ia3_l` is another formula, whose axis only its config tells. Source: LyCORIS modules/ia3.py.
 */
import { floatConstant } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface Ia3Term extends TermOf<'ia3', 'factor'> {
  readonly axis: 'out' | 'in';
}

export const ia3: Adapter<Ia3Term> = {
  kind: 'ia3',
  parts: ['weight', 'on_input'],
  async plan(module, options) {
    const { weight } = module.target;
    const [factor, onInput] = module.has('weight', 'on_input') ? [module.take('weight'), module.take('on_input')] : [];
    if (!factor || !onInput) return [];
    const axis = (await options.scalar(onInput)) === 0 ? 'out' : 'in';
    const [out, into] = matrixSizes(weight.shape);
    const fits = product(factor.shape) === (axis === 'out' ? out : into);
    assertFits(fits, module, weight, `${factor.name} [${factor.shape}]`);
    const term: Ia3Term = {
      kind: 'ia3',
      of: options.of,
      operands: operands(module, options.file, { factor }),
      axis,
      scale: options.strength(weight),
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    rows: ({ axis }) => (axis === 'out' ? ['factor'] : []),
    apply(f, { axis }, scale, weight) {
      const { s, type } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const change = op.Mul(s, f.operand('factor', axis === 'out' ? [out, 1, 1] : [1, into, 1]), scale);
      const factor = op.Add(s, change, floatConstant(s.graph, type, [1]));
      const scaled = op.Mul(s, op.Reshape(s, weight, [out, into, kernel]), factor);
      return op.Reshape(s, scaled, [out, into * kernel]);
    },
  },
};

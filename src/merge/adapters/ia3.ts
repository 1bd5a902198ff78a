/**
 * IA³: a factor per output (or input) channel. LyCORIS stores what is added to 1 (`weight`, and `on_input` that says which axis):
 * W' = W·(1 + scale·w); PEFT stores the factor itself (`ia3_l`): W' = W·(1 + scale·(l − 1)). Sources: LyCORIS modules/ia3.py,
 * PEFT ia3/layer.py.
 */
import { floatConstant } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface Ia3Term extends TermOf<'ia3', 'factor'> {
  readonly axis: 'out' | 'in';
  /** The stored value that changes nothing. */
  readonly neutral: 0 | 1;
}

export const ia3: Adapter<Ia3Term> = {
  kind: 'ia3',
  parts: ['weight', 'on_input', 'ia3_l'],
  async plan(module, options) {
    const { weight } = module.target;
    const peft = module.has('ia3_l');
    if (!peft && !module.has('weight', 'on_input')) return [];
    const [factor, onInput] = [module.take(peft ? 'ia3_l' : 'weight'), peft ? undefined : module.take('on_input')];
    const [out, into] = matrixSizes(weight.shape);
    const shape = factor?.shape ?? [];
    // PEFT: [out, 1] or [1, in]; a convolution's is [1, channels, 1, 1] there and in LyCORIS
    const axis = onInput ? ((await options.scalar(onInput)) !== 0 ? 'in' : 'out') : shape[0] === out ? 'out' : 'in';
    assertFits(product(shape) === (axis === 'out' ? out : into), module, weight, `${factor?.name} [${shape}]`);
    const term: Ia3Term = {
      kind: 'ia3',
      of: options.of,
      operands: operands(module, options.file, { factor }),
      axis,
      neutral: peft ? 1 : 0,
      scale: options.strength(weight),
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    rows: ({ axis }) => (axis === 'out' ? ['factor'] : []),
    apply(f, { axis, neutral }, scale, weight) {
      const { s, type } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const shape = axis === 'out' ? [out, 1, 1] : [1, into, 1];
      const stored = f.operand('factor', shape);
      const one = floatConstant(s.graph, type, [1]);
      const change = op.Mul(s, neutral === 0 ? stored : op.Sub(s, stored, one), scale);
      const scaled = op.Mul(s, op.Reshape(s, weight, [out, into, kernel]), op.Add(s, change, one));
      return op.Reshape(s, scaled, [out, into * kernel]);
    },
  },
};

/**
 * DoRA: W' = magnitude · V / ‖V‖ with V = W + Δ, Δ of a LoRA, LoHa or LoKr at full strength, on the running weight; at strength s it is
 * (1 − s)·W + s·W'. The norm is taken per output channel, or per input channel in files of older LyCORIS, as the shape of the
 * magnitude says. Sources: arXiv 2402.09353, PEFT lora/dora.py, LyCORIS functional/general.py.
 */
import { floatConstant } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, AdditiveTerm, OpenModule, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface DoraTerm extends TermOf<'dora', 'magnitude'> {
  readonly axis: 'out' | 'in';
  /** Its scale holds alpha/rank alone; the strength is this term's own scale. */
  readonly delta: AdditiveTerm;
}

/** LyCORIS and ComfyUI add float32's machine epsilon to the norm; it keeps a row of zeros from becoming NaN. */
const EPSILON = 2 ** -23;

/** Does a module's magnitude decompose what its other parts add? Then their strength is 1 and DoRA's own is the recipe's. */
export function isDecomposed(module: OpenModule): boolean {
  return module.has('dora_scale') || module.has('magnitude');
}

export const dora: Adapter<DoraTerm> = {
  kind: 'dora',
  parts: ['dora_scale', 'magnitude'],
  async plan(module, options, earlier) {
    const part = ['dora_scale', 'magnitude'].find((name) => module.has(name));
    const inner = earlier.find(({ parameter }) => parameter === module.target.weight)?.term;
    if (!part || !inner || !(inner.kind === 'lora' || inner.kind === 'loha' || inner.kind === 'lokr')) return [];
    const { weight } = module.target;
    const magnitude = module.take(part);
    const [out, into] = matrixSizes(weight.shape);
    const shape = magnitude?.shape ?? [];
    // PEFT's vector counts outputs, and lies along the second axis for a convolution; LyCORIS keeps the weight's axes
    const axis = part === 'magnitude' || shape.length < 2 || shape[0] === out ? 'out' : 'in';
    assertFits(
      product(shape) === (axis === 'out' ? out : into),
      module,
      weight,
      `${magnitude?.name} [${shape}], which is neither one number per output nor per input channel,`,
    );
    const term: DoraTerm = {
      kind: 'dora',
      of: options.of,
      operands: operands(module, options.file, { magnitude }),
      axis,
      delta: inner,
      scale: options.strength(weight),
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    rows: ({ axis }) => (axis === 'out' ? ['magnitude'] : undefined),
    apply(f, { axis, delta }, scale, weight, deltaOf) {
      const { s, type } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const v = op.Reshape(s, op.Add(s, weight, deltaOf(delta)), [out, into, kernel]);
      const axes = axis === 'out' ? [1, 2] : [0, 2];
      const norm = op.Sqrt(s, op.ReduceSumSquare(s, v, { axes }));
      const magnitude = f.operand('magnitude', axis === 'out' ? [out, 1, 1] : [1, into, 1]);
      const factor = op.Div(s, magnitude, op.Add(s, norm, floatConstant(s.graph, type, [EPSILON])));
      const turned = op.Reshape(s, op.Mul(s, v, factor), [out, into * kernel]);
      const rest = op.Sub(s, floatConstant(s.graph, type, [1]), scale);
      return op.Add(s, op.Mul(s, weight, rest), op.Mul(s, turned, scale));
    },
  },
};

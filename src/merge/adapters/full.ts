/**
 * Differences stored whole: `diff` and `diff_b` of a Linear or convolution (LyCORIS "full", ComfyUI), `w_norm` and `b_norm` of a
 * normalisation layer (LyCORIS "norm"). Sources: LyCORIS modules/full.py, norms.py.
 */
import { MergeError } from '../../errors.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, OpenModule, PlanOptions, Ranked, TargetedTerm, TermOf } from './adapter.ts';
import { assertFits, operands, product } from './shapes.ts';

export interface FullTerm extends TermOf<'full', 'difference'> {
  /** Of the product that a LoRA's bias belongs to, and is scaled like. */
  readonly ranked?: Ranked;
}

/** Part → which parameter of the module it changes. */
const PARTS = { diff: 'weight', w_norm: 'weight', diff_b: 'bias', b_norm: 'bias' } as const;

export const full: Adapter<FullTerm> = {
  kind: 'full',
  parts: Object.keys(PARTS),
  async plan(module, options) {
    return Object.entries(PARTS)
      .filter(([part]) => module.has(part))
      .map(([part, which]) => planDifference(module, options, { part, which }));
  },
  arithmetic: {
    rows: () => ['difference'],
    anyShape: () => true,
    delta: (f, _term, scale) => op.Mul(f.s, f.operand('difference', [f.rows, f.columns]), scale),
  },
};

/** @throws MergeError when the model has no such parameter, or one of another shape */
export function planDifference(
  module: OpenModule,
  { of, file, strength }: PlanOptions,
  { part, which, factor = 1, ranked }: { part: string; which: 'weight' | 'bias'; factor?: number; ranked?: Ranked },
): TargetedTerm {
  const parameter = module.target[which];
  const difference = module.take(part);
  if (!parameter || !difference) {
    throw new MergeError(
      `${module.path}: ${module.name} brings a ${part}, but ${module.target.path} of this model has no ${which}.`,
      { file: module.path, tensor: module.name },
    );
  }
  const rowsFit = parameter.shape.length < 2 || difference.shape[0] === parameter.shape[0];
  assertFits(
    rowsFit && product(difference.shape) === product(parameter.shape),
    module,
    parameter,
    `${part} [${difference.shape}]`,
  );
  const term: FullTerm = {
    kind: 'full',
    of,
    operands: operands(module, file, { difference }),
    ...(ranked && { ranked }),
    scale: strength(parameter) * factor,
  };
  return { parameter, term };
}

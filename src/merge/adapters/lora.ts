/**
 * LoRA of Linear, 1×1 and 3×3 convolutions: Δ = up·down. With a Tucker core (LoCon) the kernel lies in `mid`:
 * Δ[o,i,y,x] = Σ mid[p,q,y,x]·up[o,p]·down[q,i]. Sources: sd-scripts networks/lora.py and merge_lora.py, LyCORIS
 * functional/general.py, PEFT lora/layer.py; reference: formats.md §1c, merge-tools.md §8.
 */
import * as op from '../../onnx/ops.ts';
import type { Adapter, Ranked, TermOf } from './adapter.ts';
import { planDifference } from './full.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

/** `weight += scale · up·down`, the product reshaped to the weight: `[out, r]·[r, in·kh·kw]`. */
export interface LowRankTerm extends TermOf<'lora', 'up' | 'down' | 'mid'>, Ranked {}

export const lora: Adapter<LowRankTerm> = {
  kind: 'lora',
  parts: ['down', 'up', 'mid', 'up_bias', 'alpha'],
  async plan(module, options) {
    if (!module.has('down', 'up')) return [];
    const { weight } = module.target;
    const [down, up, mid, alpha] = [module.take('down'), module.take('up'), module.take('mid'), module.take('alpha')];
    if (!down || !up) return [];
    const rank = down.shape[0] ?? 0;
    const [out, into, kernel] = matrixSizes(weight.shape);
    const upRank = mid?.shape[0] ?? rank;
    const fits =
      down.shape.length >= 2 &&
      rank > 0 &&
      up.shape[0] === out &&
      product(up.shape) === out * upRank &&
      product(down.shape) === rank * into * (mid ? 1 : kernel) &&
      (!mid || (mid.shape[1] === rank && product(mid.shape) === upRank * rank * kernel));
    assertFits(fits, module, weight, `up [${up.shape}] × ${mid ? `mid [${mid.shape}] × ` : ''}down [${down.shape}]`);
    const { factor, ...ranked } = await options.ranked(module, rank, alpha);
    const term: LowRankTerm = {
      kind: 'lora',
      of: options.of,
      operands: operands(module, options.file, { up, down, mid, alpha }),
      ...ranked,
      scale: options.strength(weight) * factor,
    };
    // PEFT's lora_bias adds to the bias, scaled like the product that it belongs to
    const biases = module.has('up_bias')
      ? [planDifference(module, options, { part: 'up_bias', which: 'bias', factor, ranked })]
      : [];
    return [{ parameter: weight, term }, ...biases];
  },
  arithmetic: {
    rows: () => ['up'],
    anyShape: (term) => term.operands.mid === undefined,
    delta(f, term, scale) {
      const { s } = f;
      if (!term.operands.mid) {
        const up = op.Mul(s, f.operand('up', [f.rows, term.rank]), scale);
        return op.MatMul(s, up, f.operand('down', [term.rank, f.columns]));
      }
      const [out, into, kernel] = matrixSizes(f.shape);
      const upRank = f.shapeOf('mid')?.[0] as number;
      const up = op.Mul(s, f.operand('up', [out, upRank]), scale);
      const mid = f.operand('mid', [upRank, term.rank * kernel]);
      const core = op.Transpose(s, op.Reshape(s, op.MatMul(s, up, mid), [out, term.rank, kernel]), [0, 2, 1]);
      const delta = op.MatMul(s, core, f.operand('down', [term.rank, into])); // [out, kernel, in]
      return op.Reshape(s, op.Transpose(s, delta, [0, 2, 1]), [out, into * kernel]);
    },
    add(f, term, scale, weight) {
      if (term.operands.mid) return undefined;
      const up = op.Mul(f.s, f.operand('up', [f.rows, term.rank]), scale);
      return op.Gemm(f.s, up, f.operand('down', [term.rank, f.columns]), weight);
    },
  },
};

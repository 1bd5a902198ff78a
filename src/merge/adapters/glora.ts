/**
 * GLoRA: Δ = b1·b2 + (W·a1)·a2 on the running weight. LyCORIS 3 stores a1 `[in, r]`, a2 `[r, in]`, b1 `[out, r]`, b2 `[r, in·kh·kw]`; its older
 * files have the two of each pair the other way round. `bm` is a Tucker core between b1 and b2. Source: LyCORIS modules/glora.py.
 */
import type { Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, Ranked, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

/** Operands are named by their place in the formula, whichever layout the file has. */
export interface GloraTerm extends TermOf<'glora', 'a1' | 'a2' | 'b1' | 'b2' | 'bm'>, Ranked {
  readonly layout: 'a1·a2' | 'a2·a1';
}

export const glora: Adapter<GloraTerm> = {
  kind: 'glora',
  parts: ['a1', 'a2', 'b1', 'b2', 'bm', 'alpha'],
  async plan(module, options) {
    if (!module.has('a1', 'a2', 'b1', 'b2')) return [];
    const { weight } = module.target;
    const [first, second] = [
      { a: module.take('a1'), b: module.take('b1') },
      { a: module.take('a2'), b: module.take('b2') },
    ];
    const [bm, alpha] = [module.take('bm'), module.take('alpha')];
    const [out, into, kernel] = matrixSizes(weight.shape);
    const fitsAs = (left: typeof first, right: typeof first) => {
      const [a1, a2, b1, b2] = [left.a?.shape, right.a?.shape, left.b?.shape, right.b?.shape].map((x) => x ?? []);
      const [rankA, rankB] = [a2?.[0] ?? 0, b2?.[0] ?? 0];
      return (
        rankA > 0 &&
        a1?.[0] === into &&
        product(a1) === into * rankA &&
        product(a2 ?? []) === rankA * into &&
        b1?.[0] === out &&
        product(b1) === out * (bm?.shape[0] ?? rankB) &&
        product(b2 ?? []) === rankB * into * (bm ? 1 : kernel) &&
        (!bm || (bm.shape[1] === rankB && product(bm.shape.slice(2)) === kernel))
      );
    };
    const current = fitsAs(first, second);
    const shapes = [first.a, second.a, first.b, second.b, bm].flatMap((e) => (e ? [`${e.name} [${e.shape}]`] : []));
    assertFits(current || fitsAs(second, first), module, weight, shapes.join(', '));
    const [left, right] = current ? [first, second] : [second, first];
    const { factor, ...ranked } = await options.ranked(module, right.a?.shape[0] ?? 0, alpha);
    const term: GloraTerm = {
      kind: 'glora',
      of: options.of,
      operands: operands(module, options.file, { a1: left.a, a2: right.a, b1: left.b, b2: right.b, bm, alpha }),
      layout: current ? 'a1·a2' : 'a2·a1',
      ...ranked,
      scale: options.strength(weight) * factor,
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    rows: () => ['b1'],
    apply(f, term, scale, weight) {
      const { s } = f;
      const [out, into, kernel] = matrixSizes(f.shape);
      const { rank } = term;
      const a1 = op.Mul(s, f.operand('a1', [into, rank]), scale);
      // the input channels have to stand last to be multiplied
      const channelsLast = (x: Value) => op.Transpose(s, op.Reshape(s, x, [out, into, kernel]), [0, 2, 1]);
      const product = op.MatMul(s, op.MatMul(s, channelsLast(weight), a1), f.operand('a2', [rank, into]));
      const ofWeight = op.Reshape(s, op.Transpose(s, product, [0, 2, 1]), [out, into * kernel]);
      const [rankB = 0] = f.shapeOf('b2') ?? [];
      const core = f.shapeOf('bm');
      const leftRank = core?.[0] ?? rankB;
      const b1 = op.Mul(s, f.operand('b1', [out, leftRank]), scale);
      if (!core) {
        const sum = op.Gemm(s, b1, f.operand('b2', [rankB, into * kernel]), weight);
        return op.Add(s, sum, ofWeight);
      }
      const half = op.Reshape(s, op.MatMul(s, b1, f.operand('bm', [leftRank, rankB * kernel])), [out, rankB, kernel]);
      const full = op.MatMul(s, op.Transpose(s, half, [0, 2, 1]), f.operand('b2', [rankB, into]));
      const constant = op.Reshape(s, op.Transpose(s, full, [0, 2, 1]), [out, into * kernel]);
      return op.Add(s, op.Add(s, weight, constant), ofWeight);
    },
  },
};

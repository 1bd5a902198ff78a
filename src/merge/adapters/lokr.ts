/**
 * LoKr: Δ = w1 ⊗ w2, a Kronecker product; each side is whole or low-rank (w_a·w_b), w2 of a convolution also with a Tucker core t2. The
 * scale is alpha/rank only where a side is low-rank; two whole sides carry their scale. Sources: LyCORIS functional/lokr.py and
 * modules/lokr.py, PEFT lokr/layer.py.
 */
import type { Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, Fragment, Ranked, TermOf } from './adapter.ts';
import { tuckerProduct } from './loha.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface LokrTerm extends TermOf<'lokr', 'w1' | 'w1_a' | 'w1_b' | 'w2' | 'w2_a' | 'w2_b' | 't2'> {
  /** Null where both sides are whole; then alpha means nothing. */
  readonly ranked: Ranked | null;
  /** `[out, in]` of w1 and of w2: their products are the weight's. */
  readonly left: readonly [number, number];
  readonly right: readonly [number, number];
}

const PARTS = ['w1', 'w1_a', 'w1_b', 'w2', 'w2_a', 'w2_b', 't2'] as const;

export const lokr: Adapter<LokrTerm> = {
  kind: 'lokr',
  parts: [...PARTS.map((part) => `lokr_${part}`), 'alpha'],
  async plan(module, options) {
    const side = (n: 1 | 2) => module.has(`lokr_w${n}`) || module.has(`lokr_w${n}_a`, `lokr_w${n}_b`);
    if (!side(1) || !side(2)) return [];
    const { weight } = module.target;
    const entries = Object.fromEntries(PARTS.map((part) => [part, module.take(`lokr_${part}`)])) as Record<
      (typeof PARTS)[number],
      ReturnType<typeof module.take>
    >;
    const alphaEntry = module.take('alpha');
    const { w1, w1_a, w1_b, w2, w2_a, w2_b, t2 } = entries;
    const [out, into, kernel] = matrixSizes(weight.shape);
    const left = [w1?.shape[0] ?? w1_a?.shape[0] ?? 0, w1?.shape[1] ?? w1_b?.shape[1] ?? 0] as const;
    // what is left of the weight for the right side
    const right = [out / left[0], into / left[1]] as const;
    const isLowRank = (a: readonly number[], b: readonly number[], rows: number, columns: number) =>
      a[0] === rows && product(a) === rows * (b[0] ?? 0) && product(b.slice(1)) === columns;
    const fits =
      Number.isInteger(right[0]) &&
      Number.isInteger(right[1]) &&
      (w1
        ? product(w1.shape) === left[0] * left[1]
        : isLowRank(w1_a?.shape ?? [], w1_b?.shape ?? [], left[0], left[1])) &&
      (w2
        ? w2.shape[0] === right[0] && w2.shape[1] === right[1] && product(w2.shape) === right[0] * right[1] * kernel
        : t2
          ? t2.shape[0] === w2_a?.shape[0] &&
            t2.shape[1] === w2_b?.shape[0] &&
            product(t2.shape.slice(2)) === kernel &&
            w2_a?.shape[1] === right[0] &&
            w2_b?.shape[1] === right[1]
          : isLowRank(w2_a?.shape ?? [], w2_b?.shape ?? [], right[0], right[1] * kernel));
    const shapes = Object.entries(entries).flatMap(([name, entry]) => (entry ? [`${name} [${entry.shape}]`] : []));
    assertFits(fits, module, weight, shapes.join(', '));
    const rank = (w1 ? undefined : w1_b?.shape[0]) ?? (w2 ? undefined : w2_b?.shape[0]) ?? null;
    const { factor, ...ranked } = rank === null ? { factor: 1 } : await options.ranked(module, rank, alphaEntry);
    const term: LokrTerm = {
      kind: 'lokr',
      of: options.of,
      operands: operands(module, options.file, { ...entries, alpha: rank === null ? undefined : alphaEntry }),
      ranked: 'rank' in ranked ? ranked : null,
      left,
      right,
      scale: options.strength(weight) * factor,
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    rows: () => undefined,
    delta(f, { left, right }, scale) {
      const { s } = f;
      const kernel = matrixSizes(f.shape)[2];
      const w1 = op.Mul(s, sideOf(f, '1', left, 1), scale);
      const w2 = sideOf(f, '2', right, kernel);
      const outer = op.Mul(
        s,
        op.Reshape(s, w1, [left[0], 1, left[1], 1, 1]),
        op.Reshape(s, w2, [1, right[0], 1, right[1], kernel]),
      );
      return op.Reshape(s, outer, [left[0] * right[0], left[1] * right[1] * kernel]);
    },
  },
};

function sideOf(f: Fragment, which: '1' | '2', [rows, columns]: readonly [number, number], kernel: number): Value {
  if (f.shapeOf(`w${which}`)) return f.operand(`w${which}`, [rows, columns * kernel]);
  const [a, b, core] = [`w${which}_a`, `w${which}_b`, `t${which}`];
  if (f.shapeOf(core)) return tuckerProduct(f, { core, a, b, rows, columns, kernel });
  const rank = f.shapeOf(b)?.[0] as number;
  return op.MatMul(f.s, f.operand(a, [rows, rank]), f.operand(b, [rank, columns * kernel]));
}

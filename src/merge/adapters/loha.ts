/**
 * LoHa: Δ = (w1_a·w1_b) ∘ (w2_a·w2_b), the Hadamard product of two low-rank matrices. With Tucker cores t1, t2 `[r, r, kh, kw]` each factor is
 * Σ t[i,j,y,x]·w_a[i,o]·w_b[j,n], where w_a is `[r, out]`. Sources: LyCORIS functional/loha.py, PEFT loha/layer.py.
 */
import type { Value } from '../../onnx/graph.ts';
import * as op from '../../onnx/ops.ts';
import type { Adapter, Fragment, Ranked, TermOf } from './adapter.ts';
import { assertFits, matrixSizes, operands, product } from './shapes.ts';

export interface LohaTerm extends TermOf<'loha', 'w1_a' | 'w1_b' | 'w2_a' | 'w2_b' | 't1' | 't2'>, Ranked {}

export const loha: Adapter<LohaTerm> = {
  kind: 'loha',
  parts: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b', 'hada_t1', 'hada_t2', 'alpha'],
  async plan(module, options) {
    if (!module.has('hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b')) return [];
    const { weight } = module.target;
    const take = (part: string) => module.take(`hada_${part}`);
    const entries = {
      w1_a: take('w1_a'),
      w1_b: take('w1_b'),
      w2_a: take('w2_a'),
      w2_b: take('w2_b'),
      t1: take('t1'),
      t2: take('t2'),
    };
    const alpha = module.take('alpha');
    const [out, into, kernel] = matrixSizes(weight.shape);
    const rank = entries.w1_b?.shape[0] ?? 0;
    const factorFits = (a: readonly number[], b: readonly number[], t: readonly number[] | undefined) =>
      t
        ? t[0] === a[0] && t[1] === b[0] && product(t.slice(2)) === kernel && a[1] === out && b[1] === into
        : a[0] === out && product(a) === out * (b[0] ?? 0) && product(b.slice(1)) === into * kernel;
    const { w1_a, w1_b, w2_a, w2_b, t1, t2 } = entries;
    const fits =
      rank > 0 &&
      (t1 === undefined) === (t2 === undefined) &&
      factorFits(w1_a?.shape ?? [], w1_b?.shape ?? [], t1?.shape) &&
      factorFits(w2_a?.shape ?? [], w2_b?.shape ?? [], t2?.shape);
    const shapes = Object.entries(entries).flatMap(([name, entry]) => (entry ? [`${name} [${entry.shape}]`] : []));
    assertFits(fits, module, weight, shapes.join(', '));
    const { factor, ...ranked } = await options.ranked(module, rank, alpha);
    const term: LohaTerm = {
      kind: 'loha',
      of: options.of,
      operands: operands(module, options.file, { ...entries, alpha }),
      ...ranked,
      scale: options.strength(weight) * factor,
    };
    return [{ parameter: weight, term }];
  },
  arithmetic: {
    // with a Tucker core the factors lie transposed
    rows: (term) => (term.operands.t1 ? undefined : ['w1_a', 'w2_a']),
    delta: (f, _term, scale) => op.Mul(f.s, factor(f, '1', scale), factor(f, '2')),
  },
};

/** One of the two low-rank factors as `[out, in·kernel]`, times `scale`. */
function factor(f: Fragment, which: '1' | '2', scale?: Value): Value {
  const { s } = f;
  const [out, into, kernel] = matrixSizes(f.shape);
  const [a, b, t] = [`w${which}_a`, `w${which}_b`, `t${which}`];
  const scaled = (x: Value) => (scale ? op.Mul(s, x, scale) : x);
  const core = f.shapeOf(t);
  if (!core) {
    const rank = f.shapeOf(b)?.[0] as number;
    return op.MatMul(s, scaled(f.operand(a, [out, rank])), f.operand(b, [rank, into * kernel]));
  }
  return tuckerProduct(f, { core: t, a, b, rows: out, columns: into, kernel }, scaled);
}

/** Σ core[i,j,y,x]·a[i,p]·b[j,r] as `[p, r·y·x]`. */
export function tuckerProduct(
  f: Fragment,
  {
    core,
    a,
    b,
    rows,
    columns,
    kernel,
  }: { core: string; a: string; b: string; rows: number; columns: number; kernel: number },
  scaled: (x: Value) => Value = (x) => x,
): Value {
  const { s } = f;
  const [i, j] = f.shapeOf(core) as readonly [number, number];
  const left = op.Transpose(s, scaled(f.operand(a, [i, rows])), [1, 0]); // [p, i]
  const half = op.Reshape(s, op.MatMul(s, left, f.operand(core, [i, j * kernel])), [rows, j, kernel]);
  const full = op.MatMul(s, op.Transpose(s, half, [0, 2, 1]), f.operand(b, [j, columns])); // [p, kernel, r]
  return op.Reshape(s, op.Transpose(s, full, [0, 2, 1]), [rows, columns * kernel]);
}

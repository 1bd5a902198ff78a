/** A part of a merge: some rows of a weight, made from the same rows of its operands. */
import type { Term } from './adapters/adapter.ts';
import { ARITHMETIC } from './adapters/index.ts';
import type { LoadedTerm, Merge, Numbers } from './gemm.ts';

/** The operands of a term that go with a row of the weight; undefined where the rows depend on each other. */
export function rowOperands(term: Term): readonly string[] | undefined {
  const own = ARITHMETIC[term.kind].rows(term);
  return term.kind === 'dora' && !rowOperands(term.delta) ? undefined : own;
}

/** Rows `[from, to)` of numbers that have `rows` of them, however their shape says it. Nothing is copied. */
export function cutRows(numbers: Numbers, rows: number, from: number, to: number): Numbers {
  const stride = numbers.bytes.byteLength / rows;
  const [, ...rest] = numbers.shape;
  return { ...numbers, bytes: numbers.bytes.subarray(from * stride, to * stride), shape: [to - from, ...rest] };
}

/** The merge of rows `[from, to)` alone, or undefined where the rows depend on each other. Nothing is copied. */
export function sliceRows(merge: Merge, from: number, to: number): Merge | undefined {
  if (!merge.terms.every(({ term }) => rowOperands(term))) return undefined;
  const rows = merge.shape[0] ?? 1;
  const cutTerm = (loaded: LoadedTerm): LoadedTerm => {
    const byRow = rowOperands(loaded.term) ?? [];
    const cut = ([name, numbers]: [string, Numbers]) =>
      [name, byRow.includes(name) ? cutRows(numbers, rows, from, to) : numbers] as const;
    return {
      ...loaded,
      operands: Object.fromEntries(Object.entries(loaded.operands).map(cut)),
      ...(loaded.inner && { inner: cutTerm(loaded.inner) }),
    };
  };
  return {
    ...merge,
    weight: cutRows(merge.weight, rows, from, to),
    shape: [to - from, ...merge.shape.slice(1)],
    terms: merge.terms.map(cutTerm),
  };
}

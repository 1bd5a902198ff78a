/** A part of a merge: some rows of a weight, made from the same rows of its operands. */

import { ARITHMETIC } from './adapters/index.ts';
import type { LoadedTerm, Merge, Numbers } from './gemm.ts';

/** The merge of rows `[from, to)` alone, or undefined where the rows depend on each other. Nothing is copied. */
export function sliceRows(merge: Merge, from: number, to: number): Merge | undefined {
  const rows = merge.shape[0] ?? 1;
  const cut = (numbers: Numbers): Numbers => {
    const stride = numbers.bytes.byteLength / rows;
    const [, ...rest] = numbers.shape;
    return { ...numbers, bytes: numbers.bytes.subarray(from * stride, to * stride), shape: [to - from, ...rest] };
  };
  const cutTerm = (loaded: LoadedTerm): LoadedTerm | undefined => {
    const byRow = ARITHMETIC[loaded.term.kind].rows(loaded.term);
    const inner = loaded.inner && cutTerm(loaded.inner);
    if (!byRow || (loaded.inner && !inner)) return undefined;
    const operands = Object.fromEntries(
      Object.entries(loaded.operands).map(([name, numbers]) => [name, byRow.includes(name) ? cut(numbers) : numbers]),
    );
    return { ...loaded, operands, ...(inner && { inner }) };
  };
  const terms: LoadedTerm[] = [];
  for (const loaded of merge.terms) {
    const part = cutTerm(loaded);
    if (!part) return undefined;
    terms.push(part);
  }
  return { ...merge, weight: cut(merge.weight), shape: [to - from, ...merge.shape.slice(1)], terms };
}

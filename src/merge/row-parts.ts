/**
 * Cuts the merge of a large tensor into parts of whole rows, so that memory does not grow with the tensor. It can be cut when
 * every row of the result depends on the same row of the weight alone: then each part is merged, checked and written by itself.
 */
import type { PlannedTensor } from './plan.ts';
import { rowOperands } from './rows.ts';

export interface TensorRequest {
  readonly tensor: PlannedTensor;
  /** Ask for a Linear weight as `[in, out]`. */
  readonly transposed: boolean;
}

export interface Part {
  readonly request: TensorRequest;
  /** Rows of the weight `[rows, columns]`, the second one excluded. */
  readonly rows: readonly [from: number, to: number];
}

/** Elements of a part, at most. Reads of this size are as fast as larger ones, and few factors are read twice. */
const PART_ELEMENTS = 4 << 20;

/** The parts of each request, in order; a tensor that cannot or need not be cut is one part. */
export function partsOf(requests: Iterable<TensorRequest>): Part[] {
  return [...requests].flatMap((request) => {
    const { shape } = request.tensor;
    const rows = shape[0] as number;
    const columns = shape.slice(1).reduce((n, dim) => n * dim, 1);
    const step = isRowWise(request) ? Math.max(1, Math.floor(PART_ELEMENTS / columns)) : rows;
    return Array.from(
      { length: Math.ceil(rows / step) },
      (_, i): Part => ({ request, rows: [i * step, Math.min((i + 1) * step, rows)] }),
    );
  });
}

/** A transposed result has no rows to write by themselves. */
function isRowWise({ tensor, transposed }: TensorRequest): boolean {
  return !transposed && tensor.source !== null && tensor.terms.every((term) => rowOperands(term) !== undefined);
}

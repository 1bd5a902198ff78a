/**
 * What a bake will take, foretold from the plan: bytes, floating-point operations, and from the rates of docs/performance.md
 * seconds and memory. The rates are of one core of a current server; a slower machine takes proportionally longer.
 */
import { availableParallelism } from 'node:os';
import type { Term } from '../merge/adapters/adapter.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import { rowOperands } from '../merge/rows.ts';
import { dtypeOf } from '../recipe/number-format.ts';
import type { ComponentLayout } from './layouts.ts';

export interface Cost {
  readonly read_bytes: number;
  readonly written_bytes: number;
  /** Of all terms. */
  readonly flops: number;
  readonly seconds: number;
  readonly peak_bytes: number;
}

/** Per second and core: docs/performance.md, "The floor". */
const RATE = { hash: 1.5e9, read: 5e9, look: 4e9, copy: 5e9, flops: 80e9, convert: 1e9, transpose: 0.8e9 } as const;
/** What threads that share two cores wait for each other and for the disk: measured over the sum of the steps. */
const WAITING = 1.4;
/** Seconds to start, and to open sessions and threads. */
const START = 0.9;
/** Bytes of the process before the first tensor: Node, three JavaScript heaps, onnxruntime, the buffers of the writer. */
const BASELINE = 230e6;
/** Memories of one tensor's size: as read and the next one's, factors, blocks, results; sizes are powers of two. Measured. */
const TENSOR_BUFFERS = 9;
/** A tensor that cannot be merged in rows stands in float64, as read and at every step. */
const WHOLE_BYTES = 4 * 8;
/** Of a part of a tensor (merge/row-parts.ts). */
const PART_ELEMENTS = 4 << 20;

/** Bytes per element of a baked weight. */
const SIZE = { fp16: 2, fp32: 4 } as const;

/** `layouts` are the plan's. */
export function predictCost(plan: Plan, layouts: readonly Pick<ComponentLayout, 'component' | 'layout'>[]): Cost {
  const transposed = new Set(
    layouts.flatMap(({ component, layout }) =>
      layout.entries.flatMap((entry) => (entry.layout === 'transposed' ? `${component}/${entry.name}` : [])),
    ),
  );
  const tensors = Object.values(plan.tensors).flat();
  const isTransposed = ({ component, name }: PlannedTensor) => transposed.has(`${component}/${name}`);
  const sum = (list: readonly PlannedTensor[], of: (tensor: PlannedTensor) => number = elements) =>
    list.reduce((total, tensor) => total + of(tensor), 0);
  const passes = plan.recipe.output.weights ? 2 : 1;
  const read_bytes = plan.files.reduce((total, { bytes }) => total + bytes, 0);
  const written_bytes = layouts.reduce((total, { layout }) => total + layout.bytes, 0) * passes;
  const flops =
    passes * sum(tensors, ({ terms, ...tensor }) => terms.reduce((n, term) => n + flopsOf(term, tensor), 0));
  const changed = passes * sum(tensors.filter(({ terms, gain }) => terms.length > 0 || gain !== 1));
  const merging =
    START +
    flops / RATE.flops +
    changed / RATE.convert +
    sum(tensors.filter(isTransposed)) / RATE.transpose +
    written_bytes * (1 / RATE.look + 1 / RATE.copy);
  const beside = (read_bytes + written_bytes) / RATE.hash + (read_bytes * (1 + passes)) / RATE.read;
  const seconds =
    availableParallelism() > 1 ? WAITING * Math.max(merging, beside, (merging + beside) / 2) : merging + beside;
  const pieces = tensors.map((tensor) =>
    pieceBytes(tensor, SIZE[dtypeOf(plan.recipe, tensor.component)], isTransposed(tensor)),
  );
  return {
    read_bytes,
    written_bytes,
    flops,
    seconds: Number(seconds.toPrecision(2)),
    peak_bytes: Math.round(BASELINE + Math.max(...pieces)),
  };
}

function elements({ shape }: Pick<PlannedTensor, 'shape'>): number {
  return shape.reduce((n, dim) => n * dim, 1);
}

/** Memory while the tensor, or a part of it, is merged. */
function pieceBytes(tensor: PlannedTensor, size: number, transposed: boolean): number {
  const count = elements(tensor);
  if (tensor.terms.some((term) => rowOperands(term) === undefined)) return WHOLE_BYTES * count;
  const piece = transposed ? count : Math.min(count, PART_ELEMENTS);
  return TENSOR_BUFFERS * 2 ** Math.ceil(Math.log2(Math.max(1, piece * size)));
}

/** Multiplications and additions; a term of strength 0 is not computed. */
function flopsOf(term: Term, tensor: Pick<PlannedTensor, 'shape'>): number {
  if (term.scale === 0) return 0;
  const n = elements(tensor);
  switch (term.kind) {
    case 'lora':
      return 2 * term.rank * n;
    case 'loha':
      return 4 * term.rank * n;
    case 'glora':
      return 6 * term.rank * n;
    case 'dora':
      return flopsOf(term.delta, tensor) + 8 * n;
    case 'oft':
    case 'boft':
      return 2 * term.size * n;
    default:
      return 2 * n;
  }
}

/**
 * Elements of a merged weight in float64, straight from the source files and the recipe: not through the merge's GEMMs, and with
 * strengths worked out anew. Of the files only what these elements depend on is read.
 */
import { numbersIn, readElements, type SparseNumbers } from '../formats/element-reader.ts';
import { readTensor, type TensorEntry, type TensorFile } from '../formats/tensor-file.ts';
import type { Term } from '../merge/adapters/adapter.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import type { TensorRef } from '../merge/plan-files.ts';
import { exactPosition } from './exact-position.ts';
import { expectedGain, expectedScale, type SourceScalars } from './expected-strength.ts';
import { applyExactly, type Elements, type ExactTerm } from './float64.ts';

export interface ExactElement {
  readonly value: number;
  /** Of the numbers that were added, which bounds what float32 sums may be off by. */
  readonly size: number;
  /** What the bake's own rounding on the way may make of it; 0 where there is none but the last. */
  readonly slack: number;
}

/** Terms of which an element depends on the same element of the weight alone. */
const ELEMENTWISE = new Set<Term['kind']>(['lora', 'loha', 'lokr', 'full', 'difference', 'ia3']);

/** Terms whose operands are weights themselves, element for element. */
const WHOLE_WEIGHTS = new Set<Term['kind']>(['full', 'difference']);

/** `indices` are in PyTorch's order; `files` are the plan's. */
export async function exactElements(
  plan: Plan,
  files: readonly TensorFile[],
  tensor: PlannedTensor,
  indices: readonly number[],
): Promise<readonly ExactElement[]> {
  const { shape, source, terms } = tensor;
  if (source === null) return indices.map((index) => exactPosition(tensor, index));
  const rows = shape[0] as number;
  const columns = shape.slice(1).reduce((n, dim) => n * dim, 1);
  const few = terms.every(({ kind }) => ELEMENTWISE.has(kind));
  const base = await (few ? someOf(files, source, indices) : wholeOf(files, source));
  const load = async (term: Term, around?: Term): Promise<ExactTerm> => {
    const { alpha: _, ...operands } = term.operands as Readonly<Record<string, TensorRef>>;
    const entries = Object.entries(operands).map(async ([name, ref]) => {
      const { shape: own } = entryOf(files, ref);
      const sparse = few && WHOLE_WEIGHTS.has(term.kind) && own[0] === rows;
      return [
        name,
        { values: await (sparse ? someOf(files, ref, indices) : wholeOf(files, ref)), shape: own },
      ] as const;
    });
    return {
      term,
      scale: await expectedScale(plan, tensor, term, scalarsOf(files), around),
      operands: Object.fromEntries(await Promise.all(entries)),
      ...(term.kind === 'dora' && { inner: await load(term.delta, term) }),
    };
  };
  let exact: Elements = (row, column) => base[row * columns + column] as number;
  let sizes: Elements = (row, column) => Math.abs(exact(row, column));
  for (const term of terms) {
    const [below, smaller, loaded] = [exact, sizes, await load(term)];
    if (loaded.scale === 0) continue; // a source that is turned off takes no part
    const above = applyExactly(below, shape, loaded);
    exact = above;
    sizes = (row, column) => smaller(row, column) + Math.abs(above(row, column) - below(row, column));
  }
  const gain = expectedGain(plan, tensor);
  return indices.map((index) => {
    const [row, column] = [Math.floor(index / columns), index % columns];
    return { value: gain * exact(row, column), size: Math.abs(gain) * sizes(row, column), slack: 0 };
  });
}

function scalarsOf(files: readonly TensorFile[]): SourceScalars {
  return {
    shapeOf: (ref) => entryOf(files, ref).shape,
    scalar: async (ref) => (await wholeOf(files, ref))[0] as number,
  };
}

function entryOf(files: readonly TensorFile[], { file, tensor }: TensorRef): TensorEntry {
  const entry = files[file]?.tensors.get(tensor);
  if (!entry) throw new RangeError(`${tensor} is not in ${files[file]?.source.name}.`);
  return entry;
}

async function someOf(
  files: readonly TensorFile[],
  ref: TensorRef,
  indices: readonly number[],
): Promise<SparseNumbers> {
  return readElements((files[ref.file] as TensorFile).source, entryOf(files, ref), indices);
}

async function wholeOf(files: readonly TensorFile[], ref: TensorRef): Promise<ArrayLike<number>> {
  const entry = entryOf(files, ref);
  return numbersIn(await readTensor(files[ref.file] as TensorFile, entry), entry.dtype);
}

/**
 * What every kind of term does to a weight, in float64 and one element at a time: the gate's own reading of the formulas
 * (reference: formats.md §1c), which shares nothing with the graphs that merge. A weight is a function from row and column to
 * its value; a term turns one into another, so that only what a sampled element depends on is ever computed.
 */
import type { Term } from '../merge/adapters/adapter.ts';

/** Of `[out, in·kh·kw]`; a vector has one column. */
export type Elements = (row: number, column: number) => number;

export interface ExactOperand {
  /** In C order. Of a difference of whole tensors only the elements that are looked at need be there. */
  readonly values: ArrayLike<number>;
  readonly shape: readonly number[];
}

export interface ExactTerm {
  readonly term: Term;
  /** Worked out by the caller, not taken from the plan. */
  readonly scale: number;
  readonly operands: Readonly<Record<string, ExactOperand>>;
  /** Of a DoRA: the term that it decomposes. */
  readonly inner?: ExactTerm;
}

interface Sizes {
  readonly out: number;
  readonly into: number;
  readonly kernel: number;
}

/** The weight after `term`; `shape` is the parameter's. */
export function applyExactly(weight: Elements, shape: readonly number[], exact: ExactTerm): Elements {
  const sizes = {
    out: shape[0] ?? 1,
    into: shape[1] ?? 1,
    kernel: shape.slice(2).reduce((n, dim) => n * dim, 1),
  };
  const { scale, term } = exact;
  switch (term.kind) {
    case 'ia3':
      return ia3(weight, exact, sizes, term.axis);
    case 'glora':
      return glora(weight, exact, sizes);
    case 'oft':
      return oft(weight, exact, sizes, term.constraint);
    case 'boft':
      return boft(weight, exact, sizes, term.constraint);
    case 'dora':
      return dora(weight, exact, sizes, term.axis);
    default: {
      const delta = deltaOf(exact, sizes);
      return (row, column) => weight(row, column) + scale * delta(row, column);
    }
  }
}

// ---------------------------------------------------------------------------------------------------- additive kinds

function deltaOf({ term, operands }: ExactTerm, sizes: Sizes): Elements {
  const all = operands as Readonly<Record<string, ExactOperand>>;
  switch (term.kind) {
    case 'lora':
      return all['mid'] ? tucker(all, sizes) : lowRank(all['up'], all['down']);
    case 'loha': {
      const factor = (n: 1 | 2) => factorOf(all, `w${n}`, `t${n}`, sizes.kernel);
      const [first, second] = [factor(1), factor(2)];
      return (row, column) => first(row, column) * second(row, column);
    }
    case 'lokr': {
      const [rightRows, rightColumns] = term.right;
      const left = factorOf(all, 'w1', 't1', 1);
      const right = factorOf(all, 'w2', 't2', sizes.kernel);
      return (row, column) => {
        const [input, k] = [Math.floor(column / sizes.kernel), column % sizes.kernel];
        return (
          left(Math.floor(row / rightRows), Math.floor(input / rightColumns)) *
          right(row % rightRows, (input % rightColumns) * sizes.kernel + k)
        );
      };
    }
    case 'full':
      return stored(all['difference']);
    case 'difference': {
      const [weight, origin] = [stored(all['weight']), stored(all['origin'])];
      return (row, column) => weight(row, column) - origin(row, column);
    }
    default:
      throw new RangeError(`${term.kind} is not additive.`);
  }
}

/** A whole matrix, or the product of a low-rank pair, or a Tucker product. */
function factorOf(all: Readonly<Record<string, ExactOperand>>, name: string, core: string, kernel: number): Elements {
  if (all[name]) return stored(all[name]);
  const [a, b] = [all[`${name}_a`] as ExactOperand, all[`${name}_b`] as ExactOperand];
  const t = all[core];
  if (!t) return lowRank(a, b);
  const [i, j] = t.shape as [number, number];
  const [rows, columns] = [a.shape[1] as number, b.shape[1] as number];
  return (row, column) => {
    const [input, k] = [Math.floor(column / kernel), column % kernel];
    let sum = 0;
    for (let p = 0; p < i; p += 1)
      for (let q = 0; q < j; q += 1)
        sum += at(t, (p * j + q) * kernel + k) * at(a, p * rows + row) * at(b, q * columns + input);
    return sum;
  };
}

function stored(operand: ExactOperand | undefined): Elements {
  const { values, shape } = operand as ExactOperand;
  const columns = values.length / (shape[0] ?? 1);
  return (row, column) => values[row * columns + column] as number;
}

function lowRank(up: ExactOperand | undefined, down: ExactOperand | undefined): Elements {
  const [u, d] = [up as ExactOperand, down as ExactOperand];
  const rank = d.shape[0] as number;
  const columns = d.values.length / rank;
  return (row, column) => {
    let sum = 0;
    for (let r = 0; r < rank; r += 1) sum += at(u, row * rank + r) * at(d, r * columns + column);
    return sum;
  };
}

/** Σ up[o,p]·mid[p,q,k]·down[q,i]. */
function tucker(all: Readonly<Record<string, ExactOperand>>, { into, kernel }: Sizes): Elements {
  const [up, mid, down] = [all['up'], all['mid'], all['down']] as [ExactOperand, ExactOperand, ExactOperand];
  const [p, q] = mid.shape as [number, number];
  return (row, column) => {
    const [input, k] = [Math.floor(column / kernel), column % kernel];
    let sum = 0;
    for (let i = 0; i < p; i += 1)
      for (let j = 0; j < q; j += 1)
        sum += at(up, row * p + i) * at(mid, (i * q + j) * kernel + k) * at(down, j * into + input);
    return sum;
  };
}

const at = ({ values }: ExactOperand, index: number): number => values[index] as number;

// ---------------------------------------------------------------------------------------------------- kinds that see the weight

function ia3(weight: Elements, { operands, scale }: ExactTerm, { kernel }: Sizes, axis: 'out' | 'in'): Elements {
  const factor = operands['factor'] as ExactOperand;
  return (row, column) => {
    const channel = axis === 'out' ? row : Math.floor(column / kernel);
    return weight(row, column) * (1 + scale * at(factor, channel));
  };
}

function glora(weight: Elements, { operands, scale }: ExactTerm, sizes: Sizes): Elements {
  const { into, kernel } = sizes;
  const [a1, a2] = [operands['a1'], operands['a2']] as [ExactOperand, ExactOperand];
  const rank = a2.shape[0] as number;
  const constant = operands['bm']
    ? tucker({ up: operands['b1'] as ExactOperand, mid: operands['bm'], down: operands['b2'] as ExactOperand }, sizes)
    : lowRank(operands['b1'], operands['b2']);
  /** (W·a1) at one row and kernel element: `[rank]`. */
  const half = remember((row: number, k: number) => {
    const sums = new Float64Array(rank);
    for (let i = 0; i < into; i += 1) {
      const w = weight(row, i * kernel + k);
      for (let r = 0; r < rank; r += 1) sums[r] = (sums[r] as number) + w * at(a1, i * rank + r);
    }
    return sums;
  });
  return (row, column) => {
    const [input, k] = [Math.floor(column / kernel), column % kernel];
    let product = 0;
    for (const [r, value] of half(row, k).entries()) product += value * at(a2, r * into + input);
    return weight(row, column) + scale * (constant(row, column) + product);
  };
}

function dora(weight: Elements, { operands, scale, inner }: ExactTerm, sizes: Sizes, axis: 'out' | 'in'): Elements {
  const { out, into, kernel } = sizes;
  const within = inner as ExactTerm;
  const delta = deltaOf(within, sizes);
  const magnitude = operands['magnitude'] as ExactOperand;
  const v: Elements = (row, column) => weight(row, column) + within.scale * delta(row, column);
  const norm = remember((channel: number) => {
    let sum = 0;
    if (axis === 'out') for (let column = 0; column < into * kernel; column += 1) sum += v(channel, column) ** 2;
    else
      for (let row = 0; row < out; row += 1)
        for (let k = 0; k < kernel; k += 1) sum += v(row, channel * kernel + k) ** 2;
    return Math.sqrt(sum);
  });
  return (row, column) => {
    const channel = axis === 'out' ? row : Math.floor(column / kernel);
    const turned = (v(row, column) * at(magnitude, channel)) / (norm(channel, 0) + 2 ** -23);
    return (1 - scale) * weight(row, column) + scale * turned;
  };
}

/** W' = (s·(R − I) + I)ᵀ·W in each block of rows, then the factor of the row. */
function oft(weight: Elements, { operands, scale }: ExactTerm, _: Sizes, constraint: number | null): Elements {
  const blocks = operands['blocks'] as ExactOperand;
  const size = blocks.shape[1] as number;
  const rotation = remember((block: number) => rotationOf(blocks, size, block, constraint));
  return (row, column) => {
    const [block, m] = [Math.floor(row / size), row % size];
    const r = rotation(block, 0);
    let sum = (1 - scale) * weight(row, column);
    for (let n = 0; n < size; n += 1) sum += scale * (r[n * size + m] as number) * weight(block * size + n, column);
    return sum * rescale(operands, scale, row);
  };
}

function boft(weight: Elements, { operands, scale }: ExactTerm, { out }: Sizes, constraint: number | null): Elements {
  const blocks = operands['blocks'] as ExactOperand;
  const [stages, count, size] = blocks.shape as [number, number, number];
  const rotation = remember((block: number) => rotationOf(blocks, size, block, constraint));
  const column = remember((c: number) => {
    let x = Float64Array.from({ length: out }, (_, row) => weight(row, c));
    for (let stage = 0; stage < stages; stage += 1) {
      const apart = (2 ** stage * size) / 2;
      // rows as (group, which of two, offset) are taken in the order (group, offset, which of two)
      const order = Array.from({ length: out }, (_, n) => {
        const [pair, which] = [Math.floor(n / 2), n % 2];
        return Math.floor(pair / apart) * 2 * apart + which * apart + (pair % apart);
      });
      const next = new Float64Array(out);
      for (let n = 0; n < out; n += 1) {
        const [block, i] = [Math.floor(n / size), n % size];
        const r = rotation(stage * count + block, 0);
        let sum = (1 - scale) * (x[order[n] as number] as number);
        for (let j = 0; j < size; j += 1)
          sum += scale * (r[i * size + j] as number) * (x[order[block * size + j] as number] as number);
        next[order[n] as number] = sum;
      }
      x = next;
    }
    return x;
  });
  return (row, c) => (column(c, 0)[row] as number) * rescale(operands, scale, row);
}

function rescale(operands: ExactTerm['operands'], scale: number, row: number): number {
  return operands['rescale'] ? 1 + scale * (at(operands['rescale'], row) - 1) : 1;
}

/** R = (I + Q)(I − Q)⁻¹ of one block, Q = B − Bᵀ, bounded over all blocks. */
function rotationOf(blocks: ExactOperand, size: number, block: number, constraint: number | null): Float64Array {
  const skewAt = (b: number, i: number, j: number) =>
    at(blocks, (b * size + i) * size + j) - at(blocks, (b * size + j) * size + i);
  let bound = 1;
  if (constraint !== null) {
    let squares = 0;
    for (let b = 0; b < blocks.values.length / size ** 2; b += 1)
      for (let i = 0; i < size; i += 1) for (let j = 0; j < size; j += 1) squares += skewAt(b, i, j) ** 2;
    const norm = Math.sqrt(squares) + 1e-8;
    bound = norm > constraint ? constraint / norm : 1;
  }
  // (I − Q)ᵀ = I + Q, so Rᵀ solves (I + Q)·Rᵀ = I − Q: Gauss elimination with the right-hand side beside the matrix
  const width = 2 * size;
  const m = new Float64Array(size * width);
  for (let i = 0; i < size; i += 1)
    for (let j = 0; j < size; j += 1) {
      const [one, q] = [i === j ? 1 : 0, bound * skewAt(block, i, j)];
      m[i * width + j] = one + q;
      m[i * width + size + j] = one - q;
    }
  for (let pivot = 0; pivot < size; pivot += 1) {
    const scale = m[pivot * width + pivot] as number; // at least 1: the symmetric part of I + Q stays ≥ I in every Schur complement
    for (let j = pivot; j < width; j += 1) m[pivot * width + j] = (m[pivot * width + j] as number) / scale;
    for (let i = 0; i < size; i += 1) {
      const factor = m[i * width + pivot] as number;
      if (i === pivot || factor === 0) continue;
      for (let j = pivot; j < width; j += 1)
        m[i * width + j] = (m[i * width + j] as number) - factor * (m[pivot * width + j] as number);
    }
  }
  const rotation = new Float64Array(size * size);
  for (let i = 0; i < size; i += 1)
    for (let j = 0; j < size; j += 1) rotation[i * size + j] = m[j * width + size + i] as number;
  return rotation;
}

/** Computes a value once for each pair of arguments. */
function remember<Value>(compute: (a: number, b: number) => Value): (a: number, b: number) => Value {
  const known = new Map<string, Value>();
  return (a, b) => {
    const key = `${a},${b}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = compute(a, b);
    known.set(key, made);
    return made;
  };
}

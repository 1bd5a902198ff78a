/**
 * How much each source changes: ‖Δ‖/‖W‖ by block and source, what rounding swallows, and where sources pull against each other.
 * Measured on some rows of every tensor that is changed (all rows where a kind mixes them), in the order in which the terms are
 * applied, so that a source that sees the running weight is measured as it acts.
 */
import { basename } from 'node:path';
import { blockOf } from '../architecture/block-map.ts';
import { toFloat32 } from '../formats/dtype.ts';
import { createMerger, type Merge, type Merger } from './gemm.ts';
import type { PlannedTensor } from './plan.ts';
import type { PlannedFile, Role } from './plan-files.ts';
import { rowOperands, sliceRows } from './rows.ts';

export interface Effects {
  /** Share of the changed weights that was looked at. */
  readonly sampled: number;
  /** Share of those whose value is the same after rounding as before the merge. */
  readonly unchanged: number;
  /** ‖Δ‖/‖W‖ over the tensors that a source changes. */
  readonly sources: Readonly<Partial<Record<Role, number>>>;
  /** The same by block (IN00 … OUT11, BASE, in that order). */
  readonly blocks: Readonly<
    Record<string, { readonly unchanged: number; readonly sources: Readonly<Partial<Record<Role, number>>> }>
  >;
  /** For two sources, over the weights that both change: the cosine between the changes, and the share with opposite signs. */
  readonly pairs: readonly { readonly a: Role; readonly b: Role; readonly cosine: number; readonly opposed: number }[];
}

export interface EffectsMeter extends AsyncDisposable {
  /** Takes note of `merge`, which makes some rows of a tensor; tensors without terms are passed over. */
  observe(tensor: PlannedTensor, merge: Merge, rows: readonly [from: number, to: number]): Promise<void>;
  result(): Effects;
}

/**
 * Rows of a tensor that are looked at: one run of at least so many, and of so many elements. Smaller tensors are looked at whole. A
 * run, because the factors that belong to all rows are converted for each.
 */
const [ROWS, ELEMENTS] = [8, 1 << 14];

/** Fractional part of the golden ratio: its multiples spread over the unit interval, so that the runs lie in ever new places. */
const GOLDEN = 0.6180339887498949;

/** Digits that are kept: what differs between processors in the last bit of a sum is no part of a lock. */
const DIGITS = 3;

interface Tally {
  tensors: number;
  change: number;
  weight: number;
}

interface PairTally {
  dot: number;
  a: number;
  b: number;
  opposed: number;
  both: number;
}

/** `roles` are the recipe's sources in the order in which they are to stand in the result. */
export async function createEffectsMeter(dtype: 'fp16' | 'fp32', roles: readonly Role[]): Promise<EffectsMeter> {
  const merger = await createMerger('float32');
  const sources = emptyTallies(roles);
  const blocks = new Map<string, { kept: number; seen: number; sources: Map<Role, Tally> }>();
  const pairs = new Map<string, PairTally & { readonly roles: readonly [Role, Role] }>();
  let [tensors, looked, changed] = [0, 0, 0];

  /** `share` is how many elements of the tensor one that is looked at stands for. */
  const measure = async (tensor: PlannedTensor, part: Merge, share: number) => {
    const block = blockOf(tensor.component, tensor.name) ?? tensor.component;
    const ofBlock = blocks.get(block) ?? { kept: 0, seen: 0, sources: emptyTallies(roles) };
    blocks.set(block, ofBlock);
    const before = toFloat32(part.weight.bytes, part.weight.dtype);
    const weight = share * sumOfSquares(before);
    const { deltas, after } = await changesOf(merger, part, before);
    for (const [role, delta] of deltas) {
      const change = share * sumOfSquares(delta);
      for (const tallies of [sources, ofBlock.sources]) {
        const tally = tallies.get(role) as Tally;
        tally.tensors += 1;
        tally.change += change;
        tally.weight += weight;
      }
    }
    const acting = roles.filter((role) => deltas.has(role));
    for (const [i, a] of acting.entries())
      for (const b of acting.slice(i + 1)) {
        const key = `${a} ${b}`;
        const tally = pairs.get(key) ?? { roles: [a, b], dot: 0, a: 0, b: 0, opposed: 0, both: 0 };
        pairs.set(key, tally);
        comparePair(tally, deltas.get(a) as Float32Array, deltas.get(b) as Float32Array, share);
      }
    ofBlock.kept += share * countEqual(before, after, dtype);
    ofBlock.seen += share * before.length;
    looked += before.length;
  };

  return {
    async observe(tensor, merge, rows) {
      if (merge.terms.length === 0) return;
      changed += merge.shape.reduce((n, dim) => n * dim, 1);
      if (rows[0] === 0) tensors += 1;
      const { part, share } = sampleRows(merge, rows, tensor.shape[0] ?? 1, (tensors * GOLDEN) % 1);
      if (part) await measure(tensor, part, share);
    },
    result: () => {
      const order = [...blocks.keys()].sort((a, b) => rankOf(a) - rankOf(b) || (a < b ? -1 : 1));
      const sum = (what: 'kept' | 'seen') => [...blocks.values()].reduce((n, block) => n + block[what], 0);
      return {
        sampled: rounded(changed === 0 ? 0 : looked / changed),
        unchanged: rounded(looked === 0 ? 1 : sum('kept') / sum('seen')),
        sources: relatives(sources),
        blocks: Object.fromEntries(
          order.map((name) => {
            const block = blocks.get(name);
            return [
              name,
              {
                unchanged: rounded((block?.kept ?? 0) / (block?.seen || 1)),
                sources: relatives(block?.sources ?? new Map()),
              },
            ];
          }),
        ),
        pairs: [...pairs.values()].map(({ roles: [a, b], dot, a: normA, b: normB, opposed, both }) => ({
          a,
          b,
          cosine: rounded(normA * normB === 0 ? 0 : dot / Math.sqrt(normA * normB)),
          opposed: rounded(both === 0 ? 0 : opposed / both),
        })),
      };
    },
    [Symbol.asyncDispose]: () => merger[Symbol.asyncDispose](),
  };
}

/**
 * The rows of the run that lie in this part of the tensor, or all of it where it is small or rows cannot be had alone. `place`, from
 * 0 to 1, says where the run lies.
 */
function sampleRows(
  merge: Merge,
  [from, to]: readonly [number, number],
  all: number,
  place: number,
): { readonly part: Merge | undefined; readonly share: number } {
  const columns = merge.shape.slice(1).reduce((n, dim) => n * dim, 1);
  const length = Math.max(ROWS, Math.ceil(ELEMENTS / columns));
  if (all <= length || !merge.terms.every(({ term }) => rowOperands(term))) return { part: merge, share: 1 };
  const start = Math.floor((all - length + 1) * place);
  const [first, last] = [Math.max(start, from), Math.min(start + length, to)];
  const part = first < last ? sliceRows(merge, first - from, last - from) : undefined;
  return { part, share: all / length };
}

/** What each source adds, and what the weight is after all of them. Terms of one source on one tensor count together. */
async function changesOf(merger: Merger, part: Merge, before: Float32Array) {
  const deltas = new Map<Role, Float32Array>();
  let after = before;
  for (const loaded of part.terms) {
    const weight = { bytes: bytesOf(after), dtype: 'F32', shape: part.shape } as const;
    const merged = await merger.merge({ weight, shape: part.shape, gain: 1, terms: [loaded], transposed: false });
    const next = new Float32Array(merged.slice().buffer); // the merger uses its memory again
    const delta = deltas.get(loaded.term.of) ?? new Float32Array(next.length);
    for (let i = 0; i < next.length; i += 1)
      delta[i] = (delta[i] as number) + (next[i] as number) - (after[i] as number);
    deltas.set(loaded.term.of, delta);
    after = next;
  }
  return { deltas, after };
}

function comparePair(tally: PairTally, a: Float32Array, b: Float32Array, share: number): void {
  const here = { dot: 0, a: 0, b: 0, opposed: 0, both: 0 };
  for (let i = 0; i < a.length; i += 1) {
    const [x, y] = [a[i] as number, b[i] as number];
    const product = x * y;
    here.dot += product;
    here.a += x * x;
    here.b += y * y;
    if (product === 0) continue;
    here.both += 1;
    if (product < 0) here.opposed += 1;
  }
  for (const key of Object.keys(here) as (keyof PairTally)[]) tally[key] += share * here[key];
}

function sumOfSquares(values: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += (values[i] as number) ** 2;
  return sum;
}

function countEqual(before: Float32Array, after: Float32Array, dtype: 'fp16' | 'fp32'): number {
  const [a, b] = dtype === 'fp16' ? [new Float16Array(before), new Float16Array(after)] : [before, after];
  let equal = 0;
  for (let i = 0; i < a.length; i += 1) if (a[i] === b[i]) equal += 1;
  return equal;
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function emptyTallies(roles: readonly Role[]): Map<Role, Tally> {
  return new Map(roles.map((role) => [role, { tensors: 0, change: 0, weight: 0 }]));
}

function relatives(tallies: ReadonlyMap<Role, Tally>): Partial<Record<Role, number>> {
  return Object.fromEntries(
    [...tallies]
      .filter(([, { tensors }]) => tensors > 0)
      .map(([role, { change, weight }]) => [
        role,
        rounded(change === 0 ? 0 : Math.sqrt(change / (weight || Number.MIN_VALUE))),
      ]),
  );
}

function rounded(value: number): number {
  return Number(value.toPrecision(DIGITS));
}

/** Inputs first, then the middle, the outputs, and the text encoder. */
function rankOf(block: string): number {
  return ['IN', 'M', 'OUT', 'BASE'].findIndex((group) => block.startsWith(group));
}

// ---------------------------------------------------------------------------------------------------- judgement

/** Below half a unit in the last place of an fp16 weight, a change is lost in rounding. */
const LOST = 2 ** -12;

/** A change larger than the weights themselves is no style any more, but a mistake in scale. */
const EXCESSIVE = 1;

/** Sentences about sources that do nearly nothing, or far too much; `files` are the plan's. */
export function effectWarnings(
  { sources }: Pick<Effects, 'sources'>,
  files: readonly Pick<PlannedFile, 'role' | 'path'>[],
): string[] {
  return (Object.entries(sources) as [Role, number][]).flatMap(([role, relative]) => {
    const name = `${role} (${basename(files.find((file) => file.role === role)?.path ?? '')})`;
    if (relative === 0)
      return [`${name} changes nothing: every change it makes is zero. Was it trained, and is it the right file?`];
    if (relative < LOST)
      return [
        `${name} changes weights by ${relative} of their size, which fp16 rounds away (below ${LOST.toPrecision(2)}). Raise its strength, or look at its alpha.`,
      ];
    if (relative > EXCESSIVE)
      return [
        `${name} changes weights by ${relative} times their own size. Look at its strength and at \`scale\`: alpha/rank and raw differ by a factor.`,
      ];
    return [];
  });
}

/**
 * Reads pairs of tensors piece by piece, the next piece while one is looked at, and sums up what differs. Bytes that are the same are
 * compared as bytes and cost no arithmetic; memory is that of a few pieces, whatever the tensors' size.
 */
import type { Stage } from '../../events.ts';
import { DTYPES } from '../../formats/dtype.ts';
import { readAhead } from '../../merge/read-ahead.ts';
import type { OpenWeight } from '../../verify/graph-weights.ts';
import { addDifference, addWeight, numbersOf, type Sums } from './sums.ts';
import type { Tracker } from './tracker.ts';

export interface TensorPair {
  readonly name: string;
  readonly a: OpenWeight;
  /** Of the same shape. */
  readonly b: OpenWeight;
}

interface Piece {
  readonly pair: number;
  /** In elements. */
  readonly from: number;
  readonly count: number;
}

/** Bytes of the wider of the two types. */
const PIECE = 1 << 20;

/** Of each pair in order; undefined where nothing differs. */
export async function* sumDifferences(
  pairs: readonly TensorPair[],
  tracker: Tracker,
): Stage<readonly (Sums | undefined)[]> {
  const sums: (Sums | undefined)[] = pairs.map(() => undefined);
  const equal: Piece[] = [];
  tracker.setLeft(pairs.reduce((sum, { a }) => sum + a.entry.byteLength, 0));
  const both = readAhead(piecesOf(pairs), ({ pair, from, count }, { take }) => {
    const { a, b } = pairs[pair] as TensorPair;
    return Promise.all([read(a, from, count, take), read(b, from, count, take)]);
  });
  for await (const [piece, [x, y]] of both) {
    const { name, a, b } = pairs[piece.pair] as TensorPair;
    yield tracker.advance(x.length, name);
    if (a.entry.dtype === b.entry.dtype && Buffer.compare(x, y) === 0) {
      equal.push(piece);
      continue;
    }
    const [own, other] = [numbersOf(x, a.entry.dtype), numbersOf(y, b.entry.dtype)];
    if (a.entry.dtype !== b.entry.dtype && own.every((value, i) => value === other[i])) {
      equal.push(piece);
      continue;
    }
    const sum = sums[piece.pair] ?? { change: 0, weight: 0, largest: undefined };
    sums[piece.pair] = sum;
    addDifference(sum, own, other, piece.from);
  }
  // ‖A‖ of a tensor that differs is of all its pieces, those too that are the same: only now is it known which count
  const counting = equal.filter(({ pair }) => sums[pair]);
  const own = readAhead(counting, ({ pair, from, count }, { take }) =>
    read((pairs[pair] as TensorPair).a, from, count, take),
  );
  for await (const [{ pair }, x] of own) {
    const { a } = pairs[pair] as TensorPair;
    addWeight(sums[pair] as Sums, numbersOf(x, a.entry.dtype));
  }
  return sums;
}

function piecesOf(pairs: readonly TensorPair[]): Piece[] {
  return pairs.flatMap(({ a, b }, pair) => {
    const elements = a.entry.shape.reduce((n, dim) => n * dim, 1);
    const count = PIECE / Math.max(DTYPES[a.entry.dtype].bytes, DTYPES[b.entry.dtype].bytes);
    return Array.from({ length: Math.ceil(elements / count) }, (_, i) => {
      return { pair, from: i * count, count: Math.min(count, elements - i * count) };
    });
  });
}

function read({ source, entry }: OpenWeight, from: number, count: number, take: (bytes: number) => Uint8Array) {
  const { bytes } = DTYPES[entry.dtype];
  return source.read(entry.offset + from * bytes, count * bytes, take(count * bytes));
}

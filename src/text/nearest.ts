/**
 * "Did you mean …?": the known name that a mistyped one most likely meant. The measure is the optimal string alignment
 * distance (insertions, deletions, substitutions and swaps of neighbours, one each), without regard to case.
 */

/** Longer than any file name; keeps the quadratic distance cheap on hostile input. */
const MAX_LENGTH = 256;

/** Shorter beginnings of a name say too little about the rest. */
const MIN_PREFIX = 3;

/**
 * The candidate nearest to `name`, or undefined when none is near: a third of the letters may be wrong, one in a name of
 * two. A candidate that begins with `name` ("ink" → "ink.safetensors") counts as one mistake. Among equals, the one that
 * shares the longest beginning wins, then the first.
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > MAX_LENGTH) return undefined;
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let bestDistance = wanted.length < 2 ? 0 : Math.max(1, Math.floor(wanted.length / 3));
  let bestPrefix = -1;
  for (const candidate of candidates) {
    if (candidate.length > MAX_LENGTH) continue;
    const known = candidate.toLowerCase();
    const prefix = sharedPrefix(wanted, known);
    const isBeginning = prefix === wanted.length && prefix >= MIN_PREFIX && known !== wanted;
    const distance = isBeginning ? 1 : alignmentDistance(wanted, known);
    if (distance < bestDistance || (distance === bestDistance && prefix > bestPrefix)) {
      [best, bestDistance, bestPrefix] = [candidate, distance, prefix];
    }
  }
  return best;
}

function sharedPrefix(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function alignmentDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(substitution, last[j]! + 1, row[j - 1]! + 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) row[j] = Math.min(row[j]!, beforeLast[j - 2]! + 1);
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length]!;
}

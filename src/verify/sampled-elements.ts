/** Which elements of a tensor the gate looks at. */
import { createHash } from 'node:crypto';

/**
 * `count` places of a tensor of `length` elements, or all of a shorter one: one in each of as many equal stretches, so that rows
 * from first to last are met, and at random within it, so that no period of a fault falls between them. Equal seeds give equal
 * places.
 */
export function sampledElements(seed: string, length: number, count: number): number[] {
  if (length <= count) return Array.from({ length }, (_, i) => i);
  const random = randomNumbers(seed);
  return Array.from({ length: count }, (_, i) => Math.floor(((i + (random.next().value as number)) * length) / count));
}

/** Uniform in [0, 1). */
function* randomNumbers(seed: string): Generator<number, never> {
  for (let block = 0; ; block += 1) {
    const digest = createHash('sha256').update(`${block} ${seed}`).digest();
    for (let at = 0; at < digest.length; at += 4) yield digest.readUInt32LE(at) / 2 ** 32;
  }
}

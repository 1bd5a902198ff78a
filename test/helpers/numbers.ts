/** How far numbers lie from what an oracle says. */

/** ‖found − expected‖ / ‖expected‖; NaN anywhere makes it NaN, which no limit lets pass. */
export function relativeRms(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) {
    throw new RangeError(`${found.length} values were found where ${expected.length} were expected.`);
  }
  let [error, size] = [0, 0];
  for (let i = 0; i < expected.length; i += 1) {
    error += ((found[i] as number) - (expected[i] as number)) ** 2;
    size += (expected[i] as number) ** 2;
  }
  return Math.sqrt(error / size);
}

/** How many float16 numbers lie from the float16 `found` to the float16 nearest to `expected`. */
export function float16Steps(found: number, expected: number): number {
  return Math.abs(rank(found) - rank(expected));
}

/** Place of the nearest float16 in the order of all of them; both zeros are at 0. */
function rank(value: number): number {
  const bits = new Uint16Array(Float16Array.of(value).buffer)[0] as number;
  return bits & 0x8000 ? -(bits & 0x7fff) : bits;
}

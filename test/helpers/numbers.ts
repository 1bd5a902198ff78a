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

/** Distance from the float16 with the bits `found` to the float16 nearest to `expected`, in float16 numbers between them. */
export function float16Steps(found: number, expected: number): number {
  const nearest = new Uint16Array(Float16Array.of(expected).buffer)[0] as number;
  return Math.abs(ordered(found) - ordered(nearest));
}

/** Float16 bits as an integer that grows with the value; both zeros are 0. */
function ordered(bits: number): number {
  return bits & 0x8000 ? -(bits & 0x7fff) : bits;
}

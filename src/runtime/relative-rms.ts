/** ‖a − b‖ / ‖b‖ in float64: how far two results are apart, whatever their size; NaN where one of them holds it. */
export function relativeRms(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new RangeError(`${a.length} values cannot be compared with ${b.length}.`);
  let [difference, norm] = [0, 0];
  for (let i = 0; i < b.length; i += 1) {
    const [x, y] = [a[i] as number, b[i] as number];
    difference += (x - y) ** 2;
    norm += y ** 2;
  }
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}

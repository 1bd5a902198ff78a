/** Mean, deviation, correlation and the like, in float64: what latents and pixels are judged by. */

export interface Moments {
  readonly mean: number;
  /** Of the whole population. */
  readonly deviation: number;
}

export function moments(values: ArrayLike<number>): Moments {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i] as number;
    sum += value;
    squares += value * value;
  }
  const mean = sum / values.length;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / values.length - mean * mean)) };
}

/** Pearson's; 0 where one of them does not vary, 1 where neither does. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [of, other] = [moments(a), moments(b)];
  let product = 0;
  for (let i = 0; i < a.length; i += 1) product += ((a[i] as number) - of.mean) * ((b[i] as number) - other.mean);
  const deviations = of.deviation * other.deviation;
  if (deviations === 0) return of.deviation === other.deviation ? 1 : 0;
  return product / a.length / deviations;
}

/** Of the absolute difference; of 8-bit pictures in levels of 0…255. */
export function meanDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += Math.abs((a[i] as number) - (b[i] as number));
  return sum / a.length;
}

/** NaN for none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The mean of the two in the middle where their number is even; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2;
}

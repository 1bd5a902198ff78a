/** Mean, deviation and correlation of numbers, in float64: what the checks that look at latents and pixels judge by. */

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

/** Pearson's; 0 where one of them does not vary. */
export function correlation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const [of, other] = [moments(a), moments(b)];
  let product = 0;
  for (let i = 0; i < a.length; i += 1) product += ((a[i] as number) - of.mean) * ((b[i] as number) - other.mean);
  const deviations = of.deviation * other.deviation;
  return deviations === 0 ? 0 : product / a.length / deviations;
}

/** The mean of the two in the middle where their number is even; NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2;
}

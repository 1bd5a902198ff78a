/** How far baked numbers are from what they should be, in steps of their type. */
import type { NumberFormat } from '../recipe/number-format.ts';

/** What float32 sums in another order may differ by, relative to the largest of them. */
const FP32_ORDER = 2 ** -20;

/** Steps between `found`, an fp16 number, and `exact` rounded to fp16. */
export function ulpDistance(found: number, exact: number): number {
  const ordered = (value: number) => {
    const bits = new Uint16Array(Float16Array.of(value).buffer)[0] as number;
    return bits & 0x8000 ? -(bits & 0x7fff) : bits;
  };
  return Number.isFinite(found) && Number.isFinite(exact)
    ? Math.abs(ordered(found) - ordered(exact))
    : Number.POSITIVE_INFINITY;
}

/** Do two runs of numbers, as bytes, differ by no more than the rounding of sums in another order? */
export function differByRounding(found: Uint8Array, made: Uint8Array, format: NumberFormat): boolean {
  if (format === 'fp16') {
    const [own, wanted] = [halves(found), halves(made)];
    return own.every((x, i) => Object.is(x, wanted[i]) || ulpDistance(x, wanted[i] as number) <= 1);
  }
  const [own, wanted] = [singles(found), singles(made)];
  const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return own.every((x, i) => Math.abs(x - (wanted[i] as number)) <= FP32_ORDER * largest);
}

/** Copies, so that the elements lie at an address that their size divides. */
const halves = (bytes: Uint8Array) => new Float16Array(new Uint8Array(bytes).buffer);
const singles = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);

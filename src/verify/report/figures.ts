/** Words and figures of the report. The name of a figure tells its unit, as in report.json: `_ms`, `_bytes`, `share`. */
import type { CheckVerdict } from '../../events.ts';
import { formatBytes, formatCount } from '../../text/quantity.ts';

export const WORDS: Readonly<Record<CheckVerdict, string>> = {
  passed: 'passed',
  failed: 'failed',
  unknown: 'could not tell',
};

export const GLYPHS: Readonly<Record<CheckVerdict, string>> = { passed: '✓', failed: '✗', unknown: '?' };

export function milliseconds(ms: number): string {
  return ms < 10_000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function percent(value: number): string {
  return `${Number((value * 100).toPrecision(2))} %`;
}

/** `slowest_step_ms` → "slowest step". */
export function label(name: string): string {
  return name.replace(/_(ms|bytes)$/, '').replaceAll('_', ' ');
}

/** Whatever a check puts into its figures, or a budget into the recipe, as people read it. */
export function figure(name: string, value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.map((item) => figure(name, item)).join(', ');
  if (typeof value === 'object' && value !== null)
    return Object.entries(value)
      .map(([key, item]) => `${label(key)} ${figure(key, item)}`)
      .join(', ');
  if (typeof value !== 'number') return value === '' || value === undefined || value === null ? 'none' : String(value);
  if (name.endsWith('_ms')) return milliseconds(value);
  if (/(^|_)bytes($|_)/.test(name)) return formatBytes(value);
  if (/(^|_)share($|_)/.test(name)) return percent(value);
  if (/flops/.test(name)) return formatCount(value, name.endsWith('per_second') ? 'FLOP/s' : 'FLOP');
  return Number.isInteger(value) ? groups(value) : String(Number(value.toPrecision(4)));
}

/** 9126555 → "9 126 555", with spaces that do not break (U+202F). */
function groups(whole: number): string {
  return String(whole).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

export function plural(n: number, one: string): string {
  return `${n} ${n === 1 ? one : `${one}s`}`;
}

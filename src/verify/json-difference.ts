/** Where two JSON values differ: every place, with what stands there. */

export interface JsonDifference {
  /** `sampler.steps`, `inputs[2].sha256`; empty for the whole. */
  readonly at: string;
  /** Undefined where there is nothing. */
  readonly found: unknown;
  readonly expected: unknown;
}

export function jsonDifferences(found: unknown, expected: unknown, at = ''): JsonDifference[] {
  if (isContainer(found) && isContainer(expected) && Array.isArray(found) === Array.isArray(expected)) {
    const keys = new Set([...Object.keys(found), ...Object.keys(expected)]);
    return [...keys].flatMap((key) => {
      const place = Array.isArray(found) ? `${at}[${key}]` : at === '' ? key : `${at}.${key}`;
      return jsonDifferences(own(found, key), own(expected, key), place);
    });
  }
  return Object.is(found, expected) ? [] : [{ at, found, expected }];
}

/** `sampler.steps is 4 (expected 8)` */
export function describeDifference({ at, found, expected }: JsonDifference): string {
  return `${at || 'it'} is ${text(found)}, not ${text(expected)}`;
}

type Container = Readonly<Record<string, unknown>>;

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;
const own = (value: Container, key: string): unknown => (Object.hasOwn(value, key) ? value[key] : undefined);
const text = (value: unknown): string => (value === undefined ? 'missing' : JSON.stringify(value));

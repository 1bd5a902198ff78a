/**
 * What the recipe format has room for and this version does not do yet. Each is refused in its own words at its own place,
 * not as an unknown key; when one is built, its row goes.
 */

import { isReference } from '../hub/reference.ts';
import { quote } from '../text/quote.ts';
import type { KeyPath } from './located-yaml.ts';
import type { SchemaProblem } from './problems.ts';

type Container = Record<string | number, unknown>;

interface Planned {
  /** Where; '*' is any item of a list or any key of a mapping. */
  readonly at: KeyPath;
  readonly part: 'key' | 'value';
  readonly asksForIt: (value: unknown) => boolean;
  readonly sentence: (value: unknown) => string;
  /** What takes its place (under another key, if `as` is given), so that validation can look at the rest. */
  readonly instead: unknown;
  readonly as?: string;
}

const isAddress = (value: unknown): boolean => typeof value === 'string' && /^(hf|oci|https?):\/\//i.test(value);

/** References to the Hub (hf://) are read, other addresses are not. */
const input = (...at: KeyPath): Planned => ({
  at,
  part: 'value',
  asksForIt: (value) => isAddress(value) && !isReference(String(value)),
  sentence: (value) =>
    `This version does not read ${quote(String(value))} yet, only local files and hf:// references. Download it and give its path.`,
  instead: 'downloaded',
});

const PLANNED: readonly Planned[] = [
  input('base'),
  input('base', '*'),
  input('personalized', '*', 'lora'),
  input('personalized', '*', 'checkpoint'),
  input('lcm', 'lora'),
  input('motion', 'module'),
  input('motion', 'base'),
  input('motion', 'loras', '*', 'lora'),
  input('verify', 'reference'),
];

/** The requests for planned features in `value`, each replaced there by something that the schema accepts. */
export function refusePlanned(value: unknown): readonly SchemaProblem[] {
  return PLANNED.flatMap(({ at, part, asksForIt, sentence, instead, as }) =>
    find(value, at).flatMap(({ container, path }) => {
      const key = path.at(-1)!;
      const found = container[key];
      if (!asksForIt(found)) return [];
      if (as !== undefined) delete container[key];
      container[as ?? key] = instead;
      return [{ path, part, sentence: sentence(found) }];
    }),
  );
}

/** Every place in `value` that `pattern` describes. */
function find(value: unknown, pattern: KeyPath, path: KeyPath = []): { container: Container; path: KeyPath }[] {
  if (typeof value !== 'object' || value === null) return [];
  const container = value as Container;
  const [head, ...rest] = pattern;
  const keys = Array.isArray(value) ? [...value.keys()] : Object.keys(value);
  return keys
    .filter((key) => head === '*' || key === head)
    .flatMap((key) =>
      rest.length === 0 ? [{ container, path: [...path, key] }] : find(container[key], rest, [...path, key]),
    );
}

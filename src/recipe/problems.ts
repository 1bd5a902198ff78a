/**
 * The validator's findings as sentences: which key, what was expected, what was found, what was probably meant.
 */

import { z } from 'zod';
import { complaint, isWrongType } from '../text/complaint.ts';
import { nearest } from '../text/nearest.ts';
import { quote } from '../text/quote.ts';
import { type KeyPath, keyName } from './located-yaml.ts';

export interface SchemaProblem {
  readonly path: KeyPath;
  /** Whether the key or its value is at fault. */
  readonly part: 'key' | 'value';
  readonly sentence: string;
}

type Issue = z.core.$ZodIssue;

interface Described extends SchemaProblem {
  /** The key that was probably meant by an unknown one. */
  readonly meant?: KeyPath | undefined;
}

/**
 * One problem per key, in the order of the schema; a key that is missing because it was misspelled is one problem, not two. `schema` is
 * what the issues come from; they must carry their input.
 */
export function describeIssues(issues: readonly Issue[], schema: z.core.$ZodType): readonly SchemaProblem[] {
  const problems = new Map<string, Described>();
  for (const problem of issues.flatMap((issue) => describe(issue, schema))) {
    const id = JSON.stringify(problem.path);
    if (!problems.has(id)) problems.set(id, problem);
  }
  const misspelled = new Set([...problems.values()].map(({ meant }) => JSON.stringify(meant)));
  return [...problems]
    .filter(([id, { sentence }]) => !(misspelled.has(id) && sentence.endsWith(MISSING)))
    .map(([, { meant: _, ...problem }]) => problem);
}

const MISSING = ' is missing.';

function describe(issue: Issue, schema: z.core.$ZodType): readonly Described[] {
  const path = issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key));
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(schema, path);
    return issue.keys.map((key) => {
      const near = nearest(key, known);
      return {
        path: [...path, key],
        part: 'key',
        sentence: `Unknown key ${keyName([...path, key])}. ${suggest(key, known) ?? `Known here: ${known.join(', ')}.`}`,
        meant: near === undefined ? undefined : [...path, near],
      };
    });
  }
  if (issue.code === 'invalid_key') {
    const known = knownKeys(schema, path.slice(0, -1));
    const [head = '', ...rest] = String(path.at(-1)).split('.');
    const near = nearest(head, known);
    const meant = near === undefined || (near === head && rest.length > 0) ? undefined : [near, ...rest].join('.');
    const hint = meant === undefined ? `Known here: ${known.join(', ')}.` : `Did you mean ${quote(meant)}?`;
    return [{ path, part: 'key', sentence: `Unknown key ${keyName(path)}. ${hint}` }];
  }
  const subject = path.length === 0 ? 'The recipe' : keyName(path);
  if (issue.input === undefined) return [{ path, part: 'key', sentence: `The key ${subject}${MISSING}` }];
  if (issue.code === 'invalid_union') {
    // The branch that the value was meant for is the one whose type it has.
    const isWhole = typeof issue.input === 'object';
    const meant = issue.errors.find(
      (errors) =>
        !errors.some(
          (error) => error.path.length === 0 && (isWrongType(error) || (isWhole && error.code === 'invalid_value')),
        ),
    );
    if (meant) return meant.flatMap((error) => describe({ ...error, path: [...issue.path, ...error.path] }, schema));
  }
  const suggestion =
    issue.code === 'invalid_value' && typeof issue.input === 'string'
      ? suggest(issue.input, issue.values.map(String))
      : undefined;
  const sentence = `${subject} ${complaint(issue)}.${suggestion ? ` ${suggestion}` : ''}`;
  return [{ path, part: 'value', sentence }];
}

const suggest = (name: string, known: readonly string[]): string | undefined => {
  const near = nearest(name, known);
  return near === undefined ? undefined : `Did you mean ${quote(near)}?`;
};

/** The keys that `schema` knows at `path`. */
function knownKeys(schema: z.core.$ZodType, path: KeyPath): readonly string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const [head, ...rest] = path;
  switch (def.type) {
    case 'object': {
      if (head === undefined) return Object.keys(def.shape);
      const member = def.shape[head];
      return member ? knownKeys(member, rest) : [];
    }
    case 'record':
      return keyValues(def.keyType);
    case 'array':
      return knownKeys(def.element, rest);
    case 'union':
      return def.options.flatMap((option) => knownKeys(option, path));
    case 'default':
    case 'prefault':
    case 'optional':
      return knownKeys(def.innerType, path);
    default:
      return [];
  }
}

/** The values that a record's keys may have, as far as the schema lists them or gives examples. */
function keyValues(schema: z.core.$ZodType): readonly string[] {
  const { def, values } = (schema as z.core.$ZodTypes)._zod;
  if (def.type === 'union') return def.options.flatMap(keyValues);
  const examples = z.globalRegistry.get(schema)?.['examples'];
  return [...(values ?? (Array.isArray(examples) ? examples : []))].map(String);
}

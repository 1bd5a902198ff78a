/** The validator's findings (zod's issues) in plain words: what a value must be, and what was found in its place. */
import type { z } from 'zod';
import { quote } from './quote.ts';

type Issue = z.core.$ZodIssue;

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

/** What follows the name of the value in a sentence without its full stop. The issue must carry its input. */
export function complaint(issue: Issue): string {
  const found = `but ${describeValue(issue.input)} was found`;
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${expectedOf(issue)}, ${found}`;
    case 'invalid_union': {
      const types = issue.errors.flatMap((errors) => errors.filter(isWrongType).map(expectedOf));
      return `must be ${either([...new Set(types)])}, ${found}`;
    }
    case 'invalid_value':
      return `must be ${either(issue.values.map((value) => (typeof value === 'string' ? quote(value) : String(value))))}, ${found}`;
    case 'too_small':
      if (issue.origin !== 'string' && issue.origin !== 'array')
        return `must be ${issue.inclusive === false ? 'more than' : 'at least'} ${issue.minimum}, ${found}`;
      return issue.minimum === 1 ? 'must not be empty' : `must have at least ${issue.minimum} entries`;
    case 'too_big':
      if (issue.origin === 'string') return `must not be longer than ${issue.maximum} characters`;
      if (issue.origin === 'array') return `must have at most ${issue.maximum} entries`;
      return `must be ${issue.inclusive === false ? 'less than' : 'at most'} ${issue.maximum}, ${found}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}, ${found}`;
    default:
      return issue.message; // written in the schema, beside its rule
  }
}

export const isWrongType = (issue: Issue): issue is z.core.$ZodIssueInvalidType => issue.code === 'invalid_type';

/** NaN and the infinities are numbers to YAML. */
const expectedOf = ({ expected, input }: z.core.$ZodIssueInvalidType): string =>
  expected === 'number' && typeof input === 'number' ? 'a finite number' : (TYPE_NAMES[expected] ?? expected);

const either = (names: readonly string[]): string =>
  new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(names);

function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (typeof value === 'string') return `the text ${quote(value)}`;
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : String(value);
}

/** What somebody types for a field of a recipe, read as the field's kind wants it. */
import { parse } from 'yaml';
import type { Json } from '../recipe/edit.ts';
import { YAML_OPTIONS } from '../recipe/located-yaml.ts';
import { printable, quote } from '../text/quote.ts';
import type { Row, RowKind } from './form.ts';

type Read<Value extends Json = Json> = { readonly value: Value } | { readonly fault: string };

export function readNumber(typed: string, { label }: Pick<Row, 'label'>): Read<number> {
  const value = Number(typed.trim().replace(',', '.'));
  if (typed.trim() !== '' && Number.isFinite(value)) return { value };
  return { fault: `${label} must be a number, but ${quote(typed)} was typed.` };
}

function oneOf<Value extends Json>(typed: string, label: string, values: Readonly<Record<string, Value>>): Read<Value> {
  const value = values[typed.trim()];
  if (value !== undefined) return { value };
  return { fault: `${label} must be one of ${Object.keys(values).join(', ')}, but ${quote(typed)} was typed.` };
}

const asTyped = (typed: string): Read => ({ value: typed });

function readData(typed: string, { label }: Pick<Row, 'label'>): Read {
  try {
    return { value: parse(typed, YAML_OPTIONS) as Json };
  } catch (error) {
    return { fault: `${label} must be YAML on one line: ${printable((error as Error).message)}` };
  }
}

/** `typed` as a value for the row, or why it is none. Its limits are the schema's business. */
export function readTyped(typed: string, row: Row): Read {
  return READERS[row.kind](typed, row);
}

const READERS: Readonly<Record<RowKind, (typed: string, row: Row) => Read>> = {
  strength: readNumber,
  number: readNumber,
  choice: (typed, { label, choices }) => oneOf(typed, label, Object.fromEntries(choices.map((name) => [name, name]))),
  flag: (typed, { label }) => oneOf(typed, label, { true: true, false: false, yes: true, no: false }),
  text: asTyped,
  file: (typed) => asTyped(typed.trim()),
  blocks: readData,
  data: readData,
  unknown: (_, { label }) => ({ fault: `${label} is no key of a recipe, so it has no value to set. Remove it.` }),
};

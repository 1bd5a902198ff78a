/**
 * JSON values as YAML text in the style of recipes/: plain scalars where they read back as themselves, small mappings and lists on one
 * line, lists of mappings and whatever is too long for a line in block style.
 */
import { parse } from 'yaml';
import { withoutNoise } from '../text/quantity.ts';
import { printable } from '../text/quote.ts';
import { YAML_OPTIONS } from './located-yaml.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** Columns that a value may reach on one line. */
const LINE = 100;
const STEP = '  ';

export type Context = 'block' | 'flow';

/** How a scalar that is replaced was quoted, which the new one keeps. */
export type Quoting = 'plain' | 'single' | 'double';

/** The value as it will be written: numbers that are not whole lose the noise of arithmetic. */
export function plainNumbers(value: Json): Json {
  if (typeof value === 'number') return Number.isInteger(value) ? value : withoutNoise(value);
  if (value === null || typeof value !== 'object') return value;
  if (isList(value)) return value.map(plainNumbers);
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plainNumbers(member)]));
}

/** On one line. */
export function writeFlow(value: Json, context: Context = 'flow', quoting: Quoting = 'plain'): string {
  if (typeof value === 'string') return writeString(value, context, quoting);
  if (typeof value !== 'object' || value === null) return String(value);
  if (isList(value)) return `[${value.map((item) => writeFlow(item)).join(', ')}]`;
  const members = Object.entries(value).map(([key, member]) => `${writeString(key, 'flow')}: ${writeFlow(member)}`);
  return members.length === 0 ? '{}' : `{ ${members.join(', ')} }`;
}

/** `key: value` in a block mapping whose keys stand behind `indent`; further lines begin with it. */
export function writePair(key: string, value: Json, indent: string, eol: string): string {
  const name = `${writeString(key, 'block')}:`;
  return name + writeAfterColon(value, indent, indent.length + name.length, eol);
}

/** What follows the colon of such a key, which stands at `column`. */
export function writeAfterColon(value: Json, indent: string, column: number, eol: string): string {
  const line = ` ${writeFlow(value, 'block')}`;
  if (fits(value, column + line.length)) return line;
  const deeper = indent + STEP;
  const lines = isList(value)
    ? value.map((item) => `-${writeAfterDash(item, deeper, eol)}`)
    : Object.entries(value as Record<string, Json>).map(([key, member]) => writePair(key, member, deeper, eol));
  return lines.map((text) => eol + deeper + text).join('');
}

/** What follows the dash of an item in a block sequence whose dashes stand behind `indent`; a mapping has a line for each key. */
export function writeAfterDash(value: Json, indent: string, eol: string): string {
  if (typeof value !== 'object' || value === null || isList(value) || Object.keys(value).length === 0)
    return ` ${writeFlow(value, 'block')}`;
  const deeper = indent + STEP;
  const pairs = Object.entries(value).map(([key, member]) => writePair(key, member, deeper, eol));
  return ` ${pairs.join(eol + deeper)}`;
}

function fits(value: Json, column: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  const members = Object.values(value);
  if (members.length === 0) return true;
  const ofMappings = isList(value) && value.some((item) => typeof item === 'object' && item !== null && !isList(item));
  return column <= LINE && !ofMappings;
}

function writeString(text: string, context: Context, quoting: Quoting = 'plain'): string {
  const single = `'${text.replaceAll("'", "''")}'`;
  const isPrintable = printable(text, Infinity) === text;
  if (quoting === 'plain' && isPrintable && readsAs(text, text, context)) return text;
  if (quoting === 'single' && isPrintable && readsAs(single, text, context)) return single;
  return JSON.stringify(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escapeUnits);
}

const escapeUnits = (character: string): string =>
  [...Array(character.length).keys()]
    .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
    .join('');

/** Is `written` read as the string `text`, as a value and as a key? */
function readsAs(written: string, text: string, context: Context): boolean {
  const [value, key] = context === 'flow' ? [`[${written}]`, `{ ${written}: 1 }`] : [`- ${written}`, `${written}: 1`];
  try {
    const [read] = parse(value, YAML_OPTIONS) as readonly unknown[];
    const keys = Object.keys(parse(key, YAML_OPTIONS) as object);
    return read === text && keys.length === 1 && keys[0] === text;
  } catch {
    return false;
  }
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

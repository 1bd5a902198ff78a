/**
 * A recipe as a form: one row for each field that the schema knows and each key that the text has, made from what the text says,
 * valid or not. Names, defaults, choices, limits and help are the JSON schema's own.
 */
import { basename, extname } from 'node:path';
import type { RecipeProblem } from '../errors.ts';
import type { Json } from '../recipe/edit.ts';
import { recipeJsonSchema } from '../recipe/json-schema.ts';
import type { KeyPath } from '../recipe/located-yaml.ts';
import { printable } from '../text/quote.ts';

export type RowKind =
  | 'strength' // any number, around 0 to 1
  | 'number'
  | 'choice'
  | 'flag'
  | 'text'
  | 'file'
  | 'blocks'
  | 'data' // a list, or one of several sorts of values, written as YAML
  | 'unknown'; // a key that the schema does not know

export interface Row {
  /** As the schema has it: `base: m` is [base, model], too. */
  readonly path: KeyPath;
  readonly section: string;
  readonly label: string;
  readonly kind: RowKind;
  /** What the recipe says, or what counts where it says nothing. */
  readonly value: Json | undefined;
  /** Does the recipe say nothing of it? */
  readonly isDefault: boolean;
  /** Would the recipe be wrong without it? */
  readonly isRequired: boolean;
  /** What the schema says of the field. */
  readonly help: string;
  readonly problems: readonly string[];
  /** Of a choice. */
  readonly choices: readonly string[];
  readonly limits: Limits;
}

/** Of a number. */
export interface Limits {
  readonly minimum: number;
  readonly maximum: number;
  readonly step: number;
}

/** As far as recipes use JSON schema. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: Json;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly multipleOf?: number;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
}

const SCHEMA = recipeJsonSchema() as Schema;

/** The pattern that the schema has for paths of files, and for nothing else. */
const PATH_PATTERN = '^[^\\0]*$';
const GREEK: Readonly<Record<string, string>> = { alpha: 'α', beta: 'β', gamma: 'γ' };
/** Shown only where the recipe has them: they are for whoever knows them. */
const RARE: ReadonlySet<string> = new Set(['allow_unmatched', 'expect']);
/** A source has one of them. */
const EITHER: Readonly<Record<string, string>> = { lora: 'checkpoint', checkpoint: 'lora' };

type Fields = Omit<Row, 'problems'>;

/** The rows in the schema's order, and the problems that belong to none. `document` is what the text says, whatever that is. */
export function makeForm(
  document: unknown,
  problems: readonly RecipeProblem[],
): { readonly rows: readonly Row[]; readonly others: readonly RecipeProblem[] } {
  const fields = members(SCHEMA, [], document ?? {}, { isThere: true, isNeeded: true });
  const owners = problems.map(({ path }) => ownerOf(fields, path));
  return {
    rows: fields.map((row, i) => ({
      ...row,
      problems: problems.filter((_, j) => owners[j] === i).map(({ sentence }) => sentence),
    })),
    others: problems.filter((_, j) => owners[j] === -1),
  };
}

export const isSamePath = (a: KeyPath, b: KeyPath): boolean => a.length === b.length && startsWith(a, b);

export const startsWith = (path: KeyPath, start: KeyPath): boolean => start.every((key, i) => path[i] === key);

/** The row at a problem's path or around it; else the first one below it. */
function ownerOf(rows: readonly Fields[], path: KeyPath): number {
  const around = rows.findLastIndex((row) => startsWith(path, row.path));
  return around >= 0 || path.length === 0 ? around : rows.findIndex((row) => startsWith(row.path, path));
}

interface Standing {
  /** Does the recipe have the mapping, or does everything in it have a default? Otherwise only what it would need is shown. */
  readonly isThere: boolean;
  /** A mapping that is not may go together with its only key. */
  readonly isNeeded: boolean;
}

function members(schema: Schema, path: KeyPath, value: unknown, { isThere, isNeeded }: Standing): readonly Fields[] {
  const { properties = {}, required = [] } = schema;
  const record = asRecord(value);
  const isMore = isNeeded || Object.keys(record).length > 1;
  const known = Object.entries(properties).flatMap(([key, member]) => {
    const found = record[key];
    const isRequired = required.includes(key);
    if (found === undefined && (RARE.has(key) || !(isThere || isRequired))) return [];
    const rival = EITHER[key];
    if (found === undefined && rival !== undefined && record[rival] !== undefined) return [];
    return field(member, [...path, key], found, isRequired && isMore, record);
  });
  const unknown = Object.keys(record)
    .filter((key) => !(key in properties))
    .map((key) => row({}, [...path, key], record[key], false, record, 'unknown'));
  return [...known, ...unknown];
}

function field(
  schema: Schema,
  path: KeyPath,
  value: unknown,
  isRequired: boolean,
  siblings: Readonly<Record<string, unknown>>,
): readonly Fields[] {
  if (path.at(-1) === 'blocks') return [row(schema, path, value, false, siblings, 'blocks')];
  if (path.length === 1 && path[0] === 'base' && !isList(value)) {
    const whole = schema.anyOf?.find(({ properties }) => properties) ?? schema;
    return members(whole, path, typeof value === 'object' ? value : { model: value }, {
      isThere: true,
      isNeeded: true,
    });
  }
  const isObject = typeof value === 'object' && value !== null && !isList(value);
  if (schema.properties && (isObject || value === undefined || value === null))
    return members(schema, path, value ?? {}, {
      isThere: isObject || isRequired || schema.default !== undefined,
      isNeeded: isRequired,
    });
  const { items } = schema;
  if (items?.properties && (isList(value) || value === undefined || value === null))
    return ((value as readonly unknown[] | null | undefined) ?? []).flatMap((item, i) => {
      const isItem = typeof item === 'object' && item !== null && !isList(item);
      const at = [...path, i];
      return isItem
        ? members(items, at, item, { isThere: true, isNeeded: true })
        : [row(items, at, item, true, siblings, 'data')];
    });
  return [row(schema, path, value, isRequired, siblings, kindOf(schema))];
}

function kindOf({ type, enum: choices, pattern, minimum, maximum }: Schema): RowKind {
  if (choices) return 'choice';
  if (type === 'boolean') return 'flag';
  if (type === 'integer') return 'number';
  if (type === 'number') return minimum === undefined && maximum === undefined ? 'strength' : 'number';
  if (type === 'string') return pattern === PATH_PATTERN ? 'file' : 'text';
  return 'data';
}

const STRENGTH_STEP = 0.05;
const NUMBER_STEP = 0.5;

function row(
  schema: Schema,
  path: KeyPath,
  found: unknown,
  isRequired: boolean,
  siblings: Readonly<Record<string, unknown>>,
  kind: RowKind,
): Fields {
  const { minimum = -Infinity, maximum = Infinity, multipleOf, type } = schema;
  const isDefault = found === undefined || found === null;
  // The text encoder's strength follows α.
  const otherwise = kind === 'strength' && path.at(-1) === 'text_encoder' ? siblings['alpha'] : schema.default;
  const plain = kind === 'strength' ? STRENGTH_STEP : type === 'integer' ? 1 : NUMBER_STEP;
  return {
    path,
    section: sectionOf(path),
    label: labelOf(path, siblings),
    kind,
    value: (isDefault ? otherwise : found) as Json | undefined,
    isDefault,
    isRequired,
    help: schema.description ?? (kind === 'unknown' ? 'A key that a recipe does not have.' : ''),
    choices: schema.enum ?? [],
    limits: { minimum, maximum, step: multipleOf ?? plain },
  };
}

function sectionOf([head, next, index]: KeyPath): string {
  if (head === 'personalized' && typeof next === 'number') return `personalized ${next + 1}`;
  if (head === 'motion' && next === 'loras' && typeof index === 'number') return `motion LoRA ${index + 1}`;
  return head === 'name' ? '' : printable(String(head));
}

function labelOf(path: KeyPath, source: Readonly<Record<string, unknown>>): string {
  const start = path.findLastIndex((key) => typeof key === 'number') + 1;
  const keys = path.slice(Math.min(path.length - 1, Math.max(1, start)));
  const greek = GREEK[String(path.at(-1))];
  if (greek === undefined) return printable(keys.map((key) => String(key).replaceAll('_', ' ')).join(' '));
  const file = source['lora'] ?? source['checkpoint'] ?? source['module'];
  return typeof file === 'string' ? `${greek} ${printable(basename(file, extname(file)))}` : greek;
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

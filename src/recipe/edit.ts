/**
 * Changes a recipe's text so that every character that a change does not concern stays: comments, order, spacing, quoting, line
 * ends. Whatever the text looks like, the result is read again and must say exactly what was meant, or nothing is changed.
 */
import { isDeepStrictEqual } from 'node:util';
import { isAlias, isMap, isScalar, isSeq, type ParsedNode, parseDocument } from 'yaml';
import { RecipeError } from '../errors.ts';
import { type KeyPath, keyName, parseLocatedYaml, YAML_OPTIONS } from './located-yaml.ts';
import {
  addPair,
  addToEmpty,
  insertItem,
  isCollection,
  removeItem,
  replaceValue,
  type Splice,
  splice,
} from './yaml-splice.ts';
import { type Json, plainNumbers } from './yaml-write.ts';

export type { Json } from './yaml-write.ts';

export interface Edit {
  /** Parents that are missing are made. The index behind the last item of a list appends. */
  readonly path: KeyPath;
  /** Undefined removes what is at `path`, if anything is. */
  readonly value: Json | undefined;
  /** Before the item that `path` names, rather than in its place. */
  readonly insert?: boolean;
}

/**
 * The text with `edits` made, one after the other.
 * @throws RecipeError when the text is no YAML that stands for something, or cannot say what is meant without other changes.
 */
export function editRecipe(text: string, edits: readonly Edit[]): string {
  return edits.reduce(editOnce, text);
}

/** What the text says, as data of its own. @throws RecipeError where that is not certain: syntax, keys given twice. */
export function readJson(text: string): Json {
  const { value, problems } = parseLocatedYaml(text);
  const [problem] = problems;
  if (!problem) return JSON.parse(JSON.stringify(value)) as Json;
  throw new RecipeError([`The recipe cannot be changed before line ${problem.line} is put right: ${problem.sentence}`]);
}

function editOnce(text: string, { path, value, insert = false }: Edit): string {
  const before = readJson(text);
  const put = value === undefined ? undefined : plainNumbers(value);
  if (!isWritable(put)) throw refusal(path, 'the new value is not a finite number');
  const meant = apply(before, path, put, insert, path);
  if (isDeepStrictEqual(meant, before)) return text;
  const { contents } = parseDocument(text, { ...YAML_OPTIONS, keepSourceTokens: true });
  const changed = splice(text, change(text, contents, path, put, insert, path));
  const { value: after, problems } = parseLocatedYaml(changed);
  if (problems.length === 0 && isDeepStrictEqual(JSON.parse(JSON.stringify(after)), meant)) return changed;
  throw refusal(path, 'its spelling there (an anchor that is used elsewhere, a tag) makes more of it than its value');
}

function refusal(path: KeyPath, reason: string): RecipeError {
  const what = path.length === 0 ? 'The recipe as a whole' : keyName(path);
  return new RecipeError([`${what} cannot be changed here, because ${reason}. Edit the recipe in a text editor.`]);
}

function isWritable(value: Json | undefined): boolean {
  if (typeof value === 'number') return Number.isFinite(value);
  return typeof value !== 'object' || value === null || Object.values(value).every(isWritable);
}

/** `value` with the edit made. `whole` is the path from the root, for messages. */
function apply(value: Json, path: KeyPath, put: Json | undefined, insert: boolean, whole: KeyPath): Json {
  const [key, ...rest] = path;
  if (key === undefined) return put ?? null;
  if (value === null) return put === undefined ? null : nest(path, put, whole);
  if (typeof value !== 'object' || Array.isArray(value) !== (typeof key === 'number')) {
    const parent = keyName(whole.slice(0, whole.length - path.length)) || 'the recipe';
    const found = typeof value !== 'object' ? 'a single value' : Array.isArray(value) ? 'a list' : 'a mapping';
    throw refusal(whole, `${parent} is ${found}`);
  }
  if (Array.isArray(value)) {
    const index = key as number;
    const inserts = insert && rest.length === 0;
    if (put === undefined && index >= value.length) return value;
    if (index > value.length) throw refusal(whole, `the list has only ${value.length} items`);
    const item = inserts || index === value.length ? nest(rest, put as Json, whole) : value[index];
    if (rest.length === 0) return value.toSpliced(index, inserts ? 0 : 1, ...(put === undefined ? [] : [put]));
    return value.toSpliced(index, 1, index === value.length ? item : apply(item, rest, put, insert, whole));
  }
  const members = value as Readonly<Record<string, Json>>;
  const { [key]: member, ...others } = members;
  if (rest.length === 0) return put === undefined ? others : { ...members, [key]: put };
  if (member === undefined) return put === undefined ? value : { ...members, [key]: nest(rest, put, whole) };
  return { ...members, [key]: apply(member, rest, put, insert, whole) };
}

/** `put` inside new parents. */
function nest(path: KeyPath, put: Json, whole: KeyPath): Json {
  return path.reduceRight<Json>((inner, key) => {
    if (typeof key === 'string') return { [key]: inner };
    if (key > 0) throw refusal(whole, 'there is no such list yet');
    return [inner];
  }, put);
}

/** The same in the text. `apply` has made sure that the path leads somewhere. */
function change(
  text: string,
  node: ParsedNode | null,
  path: KeyPath,
  put: Json | undefined,
  insert: boolean,
  whole: KeyPath,
): readonly Splice[] {
  const [key, ...rest] = path;
  if (key === undefined) throw refusal(whole, 'it is not a part of something');
  if (node === null || isScalar(node)) {
    if (typeof key !== 'string' || put === undefined || node?.source) throw refusal(whole, 'the text holds no mapping');
    return addToEmpty(text, key, nest(rest, put, whole));
  }
  if (isAlias(node)) throw refusal(whole, `it is written elsewhere and only meant by *${node.source}`);
  const collection = node.srcToken;
  if (!isCollection(collection)) throw refusal(whole, 'it has no place of its own in the text');
  const index = isSeq(node)
    ? (key as number)
    : node.items.findIndex((pair) => isScalar(pair.key) && String(pair.key.value ?? '') === key);
  const isThere = index >= 0 && index < node.items.length;
  if (!isThere || (insert && rest.length === 0)) {
    const value = nest(rest, put as Json, whole);
    return isMap(node) ? addPair(text, collection, String(key), value) : insertItem(text, collection, index, value);
  }
  if (put === undefined && rest.length === 0) return removeItem(text, collection, index);
  const child = isMap(node)
    ? (node.items[index]?.value ?? null)
    : ((node.items[index] as ParsedNode | undefined) ?? null);
  const isEmpty = child === null || (isScalar(child) && child.value === null);
  if (rest.length === 0 || isEmpty) return replaceValue(text, collection, index, nest(rest, put as Json, whole));
  return change(text, child, rest, put, insert, whole);
}

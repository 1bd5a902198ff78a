/**
 * YAML that knows where each of its values stands. Reads one YAML 1.2 document (core schema, whatever its directives say)
 * into plain data and keeps the line and column of every key and value. Merge keys and custom tags mean nothing here;
 * aliases do, within limits.
 */

import {
  type ErrorCode,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLParseError,
} from 'yaml';
import type { RecipeProblem } from '../errors.ts';
import { printable, quote } from '../text/quote.ts';

/** Aliases can blow a page of YAML up to 10⁹ values ("billion laughs"); a long recipe has a few hundred. */
const MAX_VALUES = 10_000;
/** A recipe nests four deep. An alias inside its own anchor would nest without end. */
const MAX_DEPTH = 32;

/** YAML 1.2's core schema, whatever a document's directives say; merge keys and tags mean nothing. */
export const YAML_OPTIONS = {
  logLevel: 'error', // warnings are problems here, not lines on stderr
  prettyErrors: false,
  schema: 'core',
  resolveKnownTags: false,
  merge: false,
  stringKeys: true,
  uniqueKeys: false, // checked below, where the key's path is known
} as const;

export type KeyPath = readonly (string | number)[];

/** Both 1-based; a column counts UTF-16 units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface LocatedYaml {
  /** Mappings have no prototype. Undefined when the text is not YAML or exceeds a limit; null when it is empty. */
  readonly value: unknown;
  readonly problems: readonly RecipeProblem[];
  /** Where the key or the value at `path` stands, or the nearest thing around it that stands in the file. */
  locate(path: KeyPath, part: 'key' | 'value'): Position;
}

/** What to say instead of the parser's own words. */
const SENTENCES: Partial<Record<ErrorCode, string>> = {
  MULTIPLE_DOCS: 'A recipe is one YAML document, but a second one starts here. Put it into a file of its own.',
  NON_STRING_KEY: 'A key must be plain text, but a list, a mapping or an alias was found.',
  RESOURCE_EXHAUSTION: 'The YAML nests too deeply to be read; four deep is enough for a recipe.',
  TAG_RESOLVE_FAILED: 'This YAML tag is not understood, and a recipe needs none. Remove it.',
};

const id = (path: KeyPath): string => JSON.stringify(path);

/** Never throws: what is wrong with the text is in `problems`, in no particular order. */
export function parseLocatedYaml(text: string): LocatedYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, { ...YAML_OPTIONS, lineCounter: lines });
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  const findings = [...tellingErrors(document.errors), ...document.warnings];
  const problems: RecipeProblem[] = findings.map(({ code, message, pos }) => ({
    ...positionOf(pos[0]),
    path: [],
    sentence: SENTENCES[code] ?? `This is not valid YAML: ${printable(message, 200)}.`,
  }));
  const places = new Map<string, { key: number; value: number }>();
  const locate = (path: KeyPath, part: 'key' | 'value'): Position => {
    const place = places.get(id(path));
    return place || path.length === 0 ? positionOf(place?.[part] ?? 0) : locate(path.slice(0, -1), part);
  };
  if (document.errors.length > 0) return { value: undefined, problems, locate };

  const complain = (offset: number, path: KeyPath, sentence: string): void => {
    problems.push({ ...positionOf(offset), path, sentence });
  };
  const anchors = new Map<string, ParsedNode>();
  let values = 0;
  let stopped = false;
  const stop = (offset: number, path: KeyPath, sentence: string): null => {
    if (!stopped) complain(offset, path, sentence);
    stopped = true;
    return null;
  };

  /** `offset` is where the value is written, which for an alias is not where its contents are. */
  const read = (node: ParsedNode | null, path: KeyPath, key: number, offset: number): unknown => {
    places.set(id(path), { key, value: offset });
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target) return read(target, path, key, offset);
      return stop(offset, path, `The alias *${printable(node.source)} has no anchor before it.`);
    }
    if (++values > MAX_VALUES) {
      return stop(offset, path, `The recipe holds more than ${MAX_VALUES} values, aliases followed.`);
    }
    if (path.length > MAX_DEPTH) {
      return stop(offset, path, `The recipe nests more than ${MAX_DEPTH} deep; four is enough for a recipe.`);
    }
    if (node === null) return null;
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (isSeq(node)) {
      return node.items.map((item, index) => read(item, [...path, index], item.range[0], item.range[0]));
    }
    const record: Record<string, unknown> = Object.create(null);
    for (const pair of isMap(node) ? node.items : []) {
      const name = isScalar(pair.key) ? String(pair.key.value ?? '') : '';
      const keyOffset = pair.key.range[0];
      // JavaScript gives this one key a meaning of its own, and zod's records skip it.
      if (name === '__proto__') complain(keyOffset, [...path, name], `Unknown key ${keyName([...path, name])}.`);
      else if (name in record)
        complain(keyOffset, [...path, name], `The key ${keyName([...path, name])} is given twice. Keep one.`);
      else record[name] = read(pair.value, [...path, name], keyOffset, pair.value?.range[0] ?? keyOffset);
    }
    return record;
  };
  const start = document.contents?.range[0] ?? 0;
  const value = read(document.contents, [], start, start);
  return { value: stopped ? undefined : value, problems, locate };
}

/**
 * The errors that have a cause of their own. A parser that has lost its way finds every further token unexpected, and one
 * whose stack is exhausted says so for each open bracket.
 */
function tellingErrors(errors: readonly YAMLParseError[]): readonly YAMLParseError[] {
  const exhausted = errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
  return exhausted ? [exhausted] : errors.filter(({ code }, index) => index === 0 || code !== 'UNEXPECTED_TOKEN');
}

/** `personalized[0].alpha`; names that are not plain words are quoted. */
export function keyName(path: KeyPath): string {
  const name = path
    .map((key) => (typeof key === 'number' ? `[${key}]` : /^\w{1,80}$/.test(key) ? `.${key}` : `.${quote(key)}`))
    .join('');
  return name.replace(/^\./, '');
}

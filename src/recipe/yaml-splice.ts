/**
 * Where in a YAML text a value stands, and which characters to exchange to replace, add or remove it: everything around it, with
 * its comments, stays as it is. Works on the tokens of the `yaml` package's concrete syntax tree.
 */
import type { CST } from 'yaml';
import { type Json, type Quoting, writeAfterColon, writeAfterDash, writeFlow, writePair } from './yaml-write.ts';

/** The characters from `start` to before `end` become `text`. */
export interface Splice {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export type Collection = CST.BlockMap | CST.BlockSequence | CST.FlowCollection;
type Item = CST.BlockMap['items'][number] | CST.BlockSequence['items'][number] | CST.FlowCollection['items'][number];

export function splice(text: string, splices: readonly Splice[]): string {
  return splices
    .toSorted((a, b) => b.start - a.start)
    .reduce((changed, { start, end, text: put }) => changed.slice(0, start) + put + changed.slice(end), text);
}

export const isCollection = (token: CST.Token | null | undefined): token is Collection =>
  token?.type === 'block-map' || token?.type === 'block-seq' || token?.type === 'flow-collection';

/** `value` in place of what item `index` has, or where it has nothing yet. */
export function replaceValue(text: string, collection: Collection, index: number, value: Json): readonly Splice[] {
  const item = itemsOf(collection)[index] as Item;
  const old = item.value;
  const isScalar = typeof value !== 'object' || value === null;
  const context = collection.type === 'flow-collection' ? 'flow' : 'block';
  if (old && isScalar && isFlowScalar(old)) {
    const written = writeFlow(value, context, QUOTING[old.type]);
    return [{ start: old.offset, end: tokenEnd(old), text: written }];
  }
  const indicator = [...(item.sep ?? []), ...item.start].find(({ type }) => INDICATORS.has(type));
  if (!indicator && old) return [{ start: old.offset, end: tokenEnd(old), text: writeFlow(value) }];
  if (!indicator) return [{ start: itemEnd(item), end: itemEnd(item), text: `: ${writeFlow(value)}` }];
  const after = indicator.offset + indicator.source.length;
  const eol = eolOf(text);
  const indent = ' '.repeat(columnOf(text, itemStart(item)));
  const fresh = (): string => {
    if (context === 'flow') return ` ${writeFlow(value)}`;
    return indicator.type === 'seq-item-ind'
      ? writeAfterDash(value, indent, eol)
      : writeAfterColon(value, indent, columnOf(text, after), eol);
  };
  if (!old) return [{ start: after, end: after, text: fresh() }];
  // An anchor or a comment between the two stays, and the value goes where the old one began.
  const isAlone = text.slice(after, old.offset).trim() === '';
  const written = isAlone ? fresh() : writeFlow(value, context);
  const isBlock = old.type === 'block-map' || old.type === 'block-seq';
  const end = isBlock ? endOfLine(text, tokenEnd(old)) : tokenEnd(old);
  const start = isAlone ? after : old.offset;
  return [{ start, end, text: written + (old.type === 'block-scalar' ? headerComment(old, eol) : '') }];
}

/** A new pair after the last one. */
export function addPair(text: string, collection: Collection, key: string, value: Json): readonly Splice[] {
  if (collection.type === 'flow-collection')
    return intoFlow(text, collection, itemsOf(collection).length, writeFlow({ [key]: value }).slice(2, -2));
  const [first] = itemsOf(collection);
  const indent = ' '.repeat(columnOf(text, first ? itemStart(first) : collection.offset));
  return [newLine(text, collectionEnd(collection), indent + writePair(key, value, indent, eolOf(text)))];
}

/** A new item before that at `index`, or after the last one. */
export function insertItem(text: string, collection: Collection, index: number, value: Json): readonly Splice[] {
  if (collection.type === 'flow-collection') return intoFlow(text, collection, index, writeFlow(value));
  const items = itemsOf(collection);
  const dash = itemStart(items[0] as Item);
  const indent = ' '.repeat(columnOf(text, dash));
  const written = `-${writeAfterDash(value, indent, eolOf(text))}`;
  const before = items[index - 1];
  if (!before) return [{ start: dash, end: dash, text: written + eolOf(text) + indent }];
  return [newLine(text, itemEnd(before), indent + written)];
}

/** Without item `index`, its lines and the comment at their end; the last one leaves `{}` or `[]`. */
export function removeItem(text: string, collection: Collection, index: number): readonly Splice[] {
  const items = itemsOf(collection);
  if (collection.type === 'flow-collection') return removeFromFlow(text, collection, index);
  if (items.length === 1) {
    const empty = collection.type === 'block-map' ? '{}' : '[]';
    return [{ start: collection.offset, end: endOfLine(text, collectionEnd(collection)), text: empty }];
  }
  const item = items[index] as Item;
  const start = itemStart(item);
  const line = start - columnOf(text, start);
  const end = afterLine(text, itemEnd(item));
  if (text.slice(line, start).trim() === '') return [{ start: line, end, text: '' }];
  const next = end + (/^[ \t\r\n]*/.exec(text.slice(end))?.[0].length ?? 0);
  return [{ start, end: next, text: '' }]; // stands behind a dash, where the next pair then goes
}

/** A first pair in a text that has only comments, or nothing. */
export function addToEmpty(text: string, key: string, value: Json): readonly Splice[] {
  const eol = eolOf(text);
  const before = text === '' || text.endsWith('\n') ? '' : eol;
  return [{ start: text.length, end: text.length, text: before + writePair(key, value, '', eol) + eol }];
}

// --------------------------------------------------------------------------------------------------------- flow

function intoFlow(text: string, collection: CST.FlowCollection, index: number, written: string): readonly Splice[] {
  const open = collection.start.offset + 1;
  const items = itemsOf(collection);
  const before = items[index - 1];
  if (before) {
    const end = itemEnd(before);
    const line = ownLine(text, before);
    const isLast = index === items.length;
    if (!line || (!isLast && !line.hasComma)) return [{ start: end, end, text: `, ${written}` }];
    const below = newLine(
      text,
      end,
      ' '.repeat(columnOf(text, itemStart(before))) + written + (line.hasComma ? ',' : ''),
    );
    return line.hasComma ? [below] : [{ start: end, end, text: ',' }, below];
  }
  const isPadded = /^\s/.test(text.slice(open));
  const padding = items.length === 0 && collection.start.type === 'flow-map-start' ? ' ' : '';
  const isEmpty = items.length === 0;
  const fresh = isEmpty ? padding + written + (isPadded ? '' : padding) : isPadded ? ` ${written},` : `${written}, `;
  return [{ start: open, end: open, text: fresh }];
}

/** Where a line holds an item of a flow collection, its comma and its comment, and nothing else. */
function ownLine(text: string, item: Item): { start: number; end: number; hasComma: boolean } | undefined {
  const [start, end] = [itemStart(item), itemEnd(item)];
  const line = start - columnOf(text, start);
  const rest = /^[ \t]*(,?)[ \t]*(?:(?<=[ \t])#[^\n]*)?\r?\n/.exec(text.slice(end));
  if (!rest || text.slice(line, start).trim() !== '') return undefined;
  return { start: line, end: end + rest[0].length, hasComma: rest[1] === ',' };
}

function removeFromFlow(text: string, collection: CST.FlowCollection, index: number): readonly Splice[] {
  const items = itemsOf(collection);
  const [before, item, after] = [items[index - 1], items[index] as Item, items[index + 1]];
  const line = ownLine(text, item);
  if (line && (line.hasComma || !after)) return [{ start: line.start, end: line.end, text: '' }];
  const span = before
    ? [itemEnd(before), itemEnd(item)]
    : [itemStart(item), after ? itemStart(after) : flowEnd(collection) - 1];
  const [start, end] = span as [number, number];
  const around = text.slice(start, before ? itemStart(item) : start) + text.slice(itemEnd(item), end);
  if (!around.includes('#')) return [{ start, end, text: '' }];
  // A comment stands beside the comma: it is another item's, and only the item and one comma go.
  const commas = (before ? item : after)?.start ?? collection.items.at(-1)?.start ?? [];
  const own = { start: itemStart(item), end: itemEnd(item), text: '' };
  return [
    own,
    ...commas
      .filter(({ type }) => type === 'comma')
      .map(({ offset }) => ({ start: offset, end: offset + 1, text: '' })),
  ];
}

// ------------------------------------------------------------------------------------------------------- tokens

const INDICATORS: ReadonlySet<string> = new Set(['map-value-ind', 'seq-item-ind']);

const QUOTING = {
  scalar: 'plain',
  alias: 'plain',
  'single-quoted-scalar': 'single',
  'double-quoted-scalar': 'double',
} as const satisfies Record<string, Quoting>;

const isFlowScalar = (token: CST.Token): token is CST.FlowScalar => token.type in QUOTING;

/** Those that are items: what has only comments, or a comma behind the last, is none. */
function itemsOf(collection: Collection): readonly Item[] {
  return (collection.items as readonly Item[]).filter(
    ({ start, key, sep, value }) =>
      key || sep || value || (collection.type === 'block-seq' && start.some(({ type }) => type === 'seq-item-ind')),
  );
}

const BLANKS: ReadonlySet<string> = new Set(['space', 'newline', 'comment', 'comma']);

/** Of its dash, anchor, key or value, whichever is first. */
function itemStart({ start, key, sep, value }: Item): number {
  return (start.find(({ type }) => !BLANKS.has(type)) ?? key ?? sep?.[0] ?? value)?.offset ?? 0;
}

/** Behind the last character that means something. */
function itemEnd({ start, key, sep, value }: Item): number {
  if (value) return tokenEnd(value);
  const last = sep?.findLast(({ type }) => !BLANKS.has(type)) ?? key ?? start.findLast(({ type }) => !BLANKS.has(type));
  return last ? tokenEnd(last) : 0;
}

function tokenEnd(token: CST.Token): number {
  if (token.type === 'flow-collection') return flowEnd(token);
  if (isCollection(token)) return collectionEnd(token);
  if (token.type === 'block-scalar') {
    const [first] = token.props;
    return (first?.offset ?? token.offset) + [...token.props, token].reduce((sum, part) => sum + lengthOf(part), 0);
  }
  return token.offset + lengthOf(token);
}

const lengthOf = (token: object): number =>
  'source' in token && typeof token.source === 'string' ? token.source.length : 0;

function flowEnd({ end, offset }: CST.FlowCollection): number {
  return (end.find(({ type }) => type === 'flow-map-end' || type === 'flow-seq-end')?.offset ?? offset) + 1;
}

function collectionEnd(collection: Collection): number {
  const last = itemsOf(collection).at(-1);
  return last ? itemEnd(last) : collection.offset;
}

/** The comment behind `|` or `>`, and the end of the line, which counts as part of such a text. */
function headerComment({ props, source }: CST.BlockScalar, eol: string): string {
  const comment = props.find((token): token is CST.SourceToken => token.type === 'comment');
  const end = source.endsWith('\n') || source === '' ? eol : '';
  return (comment ? ` ${comment.source}` : '') + end;
}

// -------------------------------------------------------------------------------------------------------- lines

const eolOf = (text: string): string => /\r?\n/.exec(text)?.[0] ?? '\n';

const columnOf = (text: string, offset: number): number => offset - (text.lastIndexOf('\n', offset - 1) + 1);

/** Where the line of `offset` ends, before its line break. */
function endOfLine(text: string, offset: number): number {
  if (text[offset - 1] === '\n') return offset - (text[offset - 2] === '\r' ? 2 : 1);
  return offset + (/^[^\n]*?(?=\r?\n|$)/.exec(text.slice(offset))?.[0].length ?? 0);
}

/** Where the next line begins; a text in block style ends there already. */
function afterLine(text: string, offset: number): number {
  if (text[offset - 1] === '\n') return offset;
  const end = text.indexOf('\n', offset);
  return end < 0 ? text.length : end + 1;
}

/** `line` as a line of its own below that of `offset`. */
function newLine(text: string, offset: number, line: string): Splice {
  const start = afterLine(text, offset);
  const eol = eolOf(text);
  const isLast = start === text.length && !text.endsWith('\n');
  return { start, end: start, text: isLast ? eol + line : line + eol };
}

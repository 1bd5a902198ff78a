/** Distances of weights as a table: a row for each part and for each of its blocks in which anything differs. */
import { table, wrap } from '../../text/columns.ts';
import { count, formatNumber } from '../../text/quantity.ts';
import { printable } from '../../text/quote.ts';
import type { Distance, PartDistance } from './tensors.ts';

const TITLES = ['', 'differ', '‖Δ‖/‖A‖', '‖Δ‖', 'largest', 'in'];
const GAP = 2;
const BLOCK = '  ';

/** Lines of at most `width`, as far as names allow. */
export function weightLines(parts: readonly PartDistance[], width: number): readonly string[] {
  const differing = parts.filter(({ differ }) => differ > 0);
  const rows = differing.flatMap((part) => {
    const blocks = part.blocks.filter(({ differ }) => differ > 0);
    return [
      cells(part.part, part),
      ...(part.blocks.length === 1 ? [] : blocks.map((block) => cells(`${BLOCK}${block.block}`, block))),
    ];
  });
  const beside = [TITLES, ...rows].reduce(
    (widest, row) => row.slice(0, -1).map((cell, i) => Math.max(widest[i] ?? 0, cell.length)),
    [] as number[],
  );
  const room = width - beside.reduce((sum, column) => sum + column + GAP, 0);
  const placed = rows.map((row) => [...row.slice(0, -1), ending(row.at(-1) as string, room)]);
  const paragraphs = [
    rows.length === 0 ? [] : table([TITLES, ...placed], { right: [1, 2, 3, 4] }).split('\n'),
    largestLines(differing),
    ...[sameSentence(parts), ...retypedSentences(parts), ...parts.flatMap(unpairedSentences)].map((text) =>
      wrap(text, width),
    ),
  ].filter((lines) => lines.join('') !== '');
  return paragraphs.flatMap((lines, i) => (i === 0 ? lines : ['', ...lines]));
}

function cells(name: string, { same, differ, relative, absolute, largest }: Distance): string[] {
  const change = largest ? figures(Math.abs(largest.b - largest.a)) : '0';
  return [name, `${differ} of ${same + differ}`, figures(relative), figures(absolute), change, largest?.tensor ?? ''];
}

function figures(value: number): string {
  if (!Number.isFinite(value)) return 'not finite';
  const size = Math.abs(value);
  return size === 0 || (size >= 1e-4 && size < 1e5) ? String(Number(value.toPrecision(3))) : value.toExponential(1);
}

/** The end of a dotted name, which tells more than its beginning. */
function ending(name: string, room: number): string {
  const text = printable(name, Number.POSITIVE_INFINITY);
  if (text.length <= room) return text;
  const end = text.slice(-(room - 1));
  return `…${end.slice(end.indexOf('.') + 1)}`;
}

/** With their whole names, and what the numbers were. */
function largestLines(parts: readonly PartDistance[]): string[] {
  const lines = parts.flatMap(({ part, largest }) => {
    if (!largest) return [];
    const { tensor, index, a, b } = largest;
    return [`${part} ${printable(tensor, 1000)}`, `${BLOCK}element ${index}: ${formatNumber(a)} → ${formatNumber(b)}`];
  });
  return lines.length === 0 ? [] : ['The largest changes:', ...lines];
}

/** What has no row. */
function sameSentence(parts: readonly PartDistance[]): string {
  const same = parts.flatMap(({ part, differ, same: tensors, blocks }) => {
    if (differ === 0) return tensors === 0 ? [] : [`${part} (${count(tensors, 'tensor')})`];
    const names = blocks.filter((block) => block.differ === 0).map(({ block }) => block);
    return names.length === 0 ? [] : [`${part} ${names.join(', ')}`];
  });
  const how = parts.some(({ retyped }) => Object.keys(retyped).length > 0) ? 'in every value' : 'to the last bit';
  return same.length === 0 ? '' : `The same ${how}: ${same.join('; ')}.`;
}

function retypedSentences(parts: readonly PartDistance[]): string[] {
  const types = new Set(parts.flatMap(({ retyped }) => Object.keys(retyped)));
  return [...types].map((type) => {
    const where = parts.flatMap(({ part, retyped: { [type]: n } }) => (n === undefined ? [] : [`${part} (${n})`]));
    return `Stored in another type (${type}) and compared as numbers: ${where.join(', ')}.`;
  });
}

/** Names that a sentence has room for. */
const MAX_NAMES = 3;

function unpairedSentences({ part, only_a, only_b, reshaped }: PartDistance): string[] {
  const shapes = reshaped.map(({ tensor, a, b }) => `${tensor} [${a.join(', ')}] → [${b.join(', ')}]`);
  return [
    ...named(`${part}, of other shapes`, shapes),
    ...named(`${part}, only in A`, only_a),
    ...named(`${part}, only in B`, only_b),
  ].map((sentence) => printable(sentence, 1000));
}

function named(what: string, names: readonly string[]): string[] {
  const more = names.length - MAX_NAMES;
  if (names.length === 0) return [];
  return [
    `${what}: ${count(names.length, 'tensor')}, ${names.slice(0, MAX_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}.`,
  ];
}

/**
 * What is wrong with a screen, whatever stands on it: panes whose frames are broken, that leave a gap or overlap, that are empty; a focus
 * that cannot be seen; no tabs above or no keys below; text that a program writes when it has nothing to say.
 */
import { type Cell, type Cells, textOf } from '../../tools/terminal/cells.ts';

/** Frames as panes/pane.tsx draws them. */
const FRAMES = [
  { focused: true, corners: ['┏', '┓', '┗', '┛'], across: '━', down: '┃' },
  { focused: false, corners: ['╭', '╮', '╰', '╯'], across: '─', down: '│' },
] as const;

/** What the frame of the selected clip begins with: it is no pane (panes/wall.tsx). */
const TILE = '▸';

type Frame = (typeof FRAMES)[number];

/** Where a frame stands, corners included. */
interface Pane {
  readonly title: string;
  readonly focused: boolean;
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** What stands on a screen when a value was missing, or a sequence was cut in two. */
const LEFTOVERS = /\bundefined\b|\bNaN\b|\[object |\bnull\b|\[\d+(?:;\d+)*m|\ufffd/;

/** Each a sentence; rows and columns counted from 1. Empty for a screen without faults. The foot may have up to so many rows. */
export function layoutFaults(cells: Cells, foot = 1): readonly string[] {
  const { panes, faults } = findPanes(cells);
  const lowest = Math.max(...panes.map(({ bottom }) => bottom));
  const end = Math.max(cells.length - foot, Math.min(lowest + 1, cells.length - 1));
  const [first, last] = [rowText(cells, 0), rowText(cells, cells.length - 1)];
  return [
    ...faults,
    ...(first.trim() === '' || hasFrame(first) ? [`Row 1 holds no tabs, but "${first}".`] : []),
    ...(last.trim() === '' || hasFrame(last)
      ? [`Row ${cells.length}, the last one, holds no keys, but "${last}".`]
      : []),
    ...(faults.length === 0 ? coverage(cells.slice(0, end), panes) : []),
    ...panes.filter((pane) => isEmpty(cells, pane)).map(({ title }) => `The pane "${title}" is empty.`),
    ...focus(panes),
    ...leftovers(cells),
  ];
}

function findPanes(cells: Cells): { readonly panes: readonly Pane[]; readonly faults: readonly string[] } {
  const found = FRAMES.flatMap((frame) =>
    cells.flatMap((row, top) =>
      row.flatMap(({ chars }, left) =>
        chars === frame.corners[0] && row[left + 1]?.chars !== TILE ? [followFrame(cells, frame, left, top)] : [],
      ),
    ),
  );
  return {
    panes: found.filter((pane) => typeof pane !== 'string'),
    faults: found.filter((pane) => typeof pane === 'string'),
  };
}

/** The pane whose upper left corner is given, or where its frame is broken. */
function followFrame(
  cells: Cells,
  { focused, corners, across, down }: Frame,
  left: number,
  top: number,
): Pane | string {
  const at = (x: number, y: number) => cells[y]?.[x]?.chars ?? '';
  const row = cells[top] as readonly Cell[];
  const right = row.findIndex(({ chars }, x) => x > left && chars === corners[1]);
  if (right < 0) return `The frame that begins in row ${top + 1}, column ${left + 1}, has no upper right corner.`;
  const title = rowText(cells, top, left + 1, right)
    .replaceAll(across, '')
    .trim();
  const bottom = cells.findIndex((_, y) => y > top && at(left, y) !== down);
  for (let y = top + 1; y < bottom; y++) if (at(right, y) !== down) return broken(title, y, right, at(right, y), down);
  for (let x = left; x <= right; x++) {
    const wanted = x === left ? corners[2] : x === right ? corners[3] : across;
    if (at(x, bottom) !== wanted) return broken(title, bottom, x, at(x, bottom), wanted);
  }
  return { title, focused, left, right, top, bottom };
}

function broken(title: string, y: number, x: number, found: string, wanted: string): string {
  return `The frame of "${title}" is broken in row ${y + 1}, column ${x + 1}: "${found}" instead of "${wanted}".`;
}

/** All cells below the first row belong to one pane each. */
function coverage(cells: Cells, panes: readonly Pane[]): readonly string[] {
  const faults: string[] = [];
  for (let y = 1; y < cells.length; y++) {
    const row = panes.filter(({ top, bottom }) => y >= top && y <= bottom).toSorted((a, b) => a.left - b.left);
    let next = 0;
    for (const { left, right, title } of row) {
      if (left !== next) faults.push(`Row ${y + 1} has a ${left > next ? 'gap before' : 'neighbour over'} "${title}".`);
      next = right + 1;
    }
    const width = cells[y]?.length ?? 0;
    if (next !== width) faults.push(`The panes of row ${y + 1} end at column ${next} of ${width}.`);
  }
  return faults;
}

function isEmpty(cells: Cells, { left, right, top, bottom }: Pane): boolean {
  return cells
    .slice(top + 1, bottom)
    .every((row) =>
      row.slice(left + 1, right).every((cell) => cell.chars.trim() === '' && cell.background === 'default'),
    );
}

function focus(panes: readonly Pane[]): readonly string[] {
  const focused = panes.filter((pane) => pane.focused).map(({ title }) => `"${title}"`);
  return focused.length === 1
    ? []
    : [`One pane must have the focus, but these have it: ${focused.join(', ') || 'none'}.`];
}

function leftovers(cells: Cells): readonly string[] {
  return textOf(cells)
    .split('\n')
    .flatMap((line, y) =>
      LEFTOVERS.test(line) ? [`Row ${y + 1} shows ${LEFTOVERS.exec(line)?.[0]}: "${line}".`] : [],
    );
}

function rowText(cells: Cells, y: number, from = 0, to = Number.POSITIVE_INFINITY): string {
  return (cells[y] ?? [])
    .slice(from, to)
    .map(({ chars }) => chars)
    .join('')
    .trimEnd();
}

function hasFrame(text: string): boolean {
  return FRAMES.some(({ corners, down }) => [...corners, down].some((part) => text.includes(part)));
}

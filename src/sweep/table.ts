/** The figures of a sweep as columns, for a terminal. */
import { formatBytes, threeFigures } from '../text/quantity.ts';
import type { SweepFigures, SweptTile } from './sweep.ts';

interface Column {
  readonly title: string;
  readonly of: (tile: SweptTile) => string | undefined;
  /** It says what is seen, and not what that took. */
  readonly seen?: true;
}

const milliseconds = (value: number) => `${threeFigures(value)} ms`;

const COLUMNS: readonly Column[] = [
  { title: 'tile', of: ({ label, own }) => (own ? `${label} (as it is)` : label), seen: true },
  { title: 'merged', of: ({ merged }) => (merged.tensors === 0 ? 'nothing' : formatBytes(merged.bytes)) },
  { title: 'merging', of: ({ merged }) => milliseconds(merged.merge_ms + merged.graph_ms) },
  { title: 'loading', of: ({ load_ms }) => milliseconds(load_ms) },
  { title: 'sampling', of: ({ denoise_ms, decode_ms }) => milliseconds(denoise_ms + decode_ms) },
  { title: 'in all', of: (tile) => milliseconds(tile.milliseconds) },
  { title: 'motion', of: ({ motion }) => motion.toFixed(2), seen: true },
  { title: 'consistency', of: ({ consistency }) => consistency.toFixed(3), seen: true },
  { title: 'pixels off', of: ({ distance }) => distance?.pixels.toFixed(1), seen: true },
];

/** Titles, then a line for each tile; columns that were not measured are left out. */
export function sweepCells(figures: Pick<SweepFigures, 'tiles'>): string[][] {
  return cellsOf(COLUMNS, figures);
}

/** The same without what it took. */
export function seenCells(figures: Pick<SweepFigures, 'tiles'>): string[][] {
  return cellsOf(
    COLUMNS.filter(({ seen }) => seen),
    figures,
  );
}

function cellsOf(columns: readonly Column[], { tiles }: Pick<SweepFigures, 'tiles'>): string[][] {
  const measured = columns.filter(({ of }) => tiles.some((tile) => of(tile) !== undefined));
  return [measured.map(({ title }) => title), ...tiles.map((tile) => measured.map(({ of }) => of(tile) ?? ''))];
}

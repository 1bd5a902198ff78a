/** The figures of a comparison as columns: for a terminal, and as Markdown. */
import { threeFigures } from '../text/quantity.ts';
import type { ComparedRow, Comparison } from './compare.ts';

interface Column {
  readonly title: string;
  readonly of: (row: ComparedRow) => string | undefined;
}

const COLUMNS: readonly Column[] = [
  { title: 'row', of: ({ label }) => label },
  { title: 'UNet runs', of: ({ evaluations }) => String(evaluations) },
  { title: 'denoising', of: ({ denoise_ms }) => `${threeFigures(denoise_ms)} ms` },
  { title: 'speedup', of: ({ speedup }) => `${threeFigures(speedup)}×` },
  { title: 'pixels off', of: ({ distance }) => distance.pixels.toFixed(1) },
  { title: 'latents off', of: ({ distance }) => distance.latents.toFixed(3) },
  { title: 'consistency', of: ({ consistency }) => consistency.toFixed(3) },
  { title: 'motion', of: ({ motion }) => motion.toFixed(2) },
  { title: 'CLIPSIM', of: ({ clip }) => clip?.similarity.toFixed(2) },
  { title: 'CLIP consistency', of: ({ clip }) => clip?.consistency.toFixed(2) },
  { title: 'FVD', of: ({ fvd }) => (fvd === undefined ? undefined : distanceText(fvd)) },
];

/** Features have no unit and any size: of small distances, too, three figures are shown. */
function distanceText(distance: number): string {
  return distance > 0 && distance < 1 ? String(Number(distance.toPrecision(3))) : threeFigures(distance);
}

/** Titles, then a line for each row; columns that were not measured are left out. */
export function comparisonCells({ rows }: Comparison): string[][] {
  const measured = COLUMNS.filter(({ of }) => rows.some((row) => of(row) !== undefined));
  return [measured.map(({ title }) => title), ...rows.map((row) => measured.map(({ of }) => of(row) ?? ''))];
}

/** A page that says what was compared, with the sheet. */
export function comparisonMarkdown(comparison: Comparison, sheet: string): string {
  const [titles = [], ...rows] = comparisonCells(comparison).map((cells) =>
    cells.map((cell) => cell.replaceAll('|', '\\|')),
  );
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const { prompts, seeds, device, rows: compared } = comparison;
  const clips = prompts.length * seeds.length;
  return [
    `${clips === 1 ? 'One clip' : `${clips} clips`} a row on ${device}: ${prompts.map((prompt) => `“${prompt}”`).join(', ')}; seeds ${seeds.join(', ')}. Distances are from “${compared[0]?.label}”.`,
    '',
    line(titles),
    line(titles.map((_, i) => (i === 0 ? '---' : '---:'))),
    ...rows.map(line),
    '',
    `![${compared.map(({ label }) => label).join('; ')}](${sheet})`,
    '',
  ].join('\n');
}

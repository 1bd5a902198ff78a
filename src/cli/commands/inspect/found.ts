/** What inspection finds, as an object for programs and as lines of 80 columns for people. */
import { table, wrap } from '../../../text/columns.ts';
import { type Paint, sanitise } from '../../../text/terminal.ts';

export interface Found {
  readonly value: object;
  readonly title: string;
  readonly rows: readonly Row[];
  /** What follows below headings of their own. */
  readonly sections?: readonly Section[];
  /** Is it a graph whose frames, width or height are open? */
  readonly open?: boolean;
}

export type Row = readonly [name: string, value: string];

export interface Section {
  readonly title: string;
  readonly rows?: readonly Row[];
  /** The first line is a heading; the first column is text, the others are figures. */
  readonly figures?: readonly (readonly string[])[];
}

/** Columns of a terminal that nobody has made wider. */
const WIDTH = 80;

export function render(found: readonly Found[], paint: Paint): string {
  return found
    .map(({ title, rows, sections = [] }) =>
      [
        [paint('bold', sanitise(title)), ...facts(rows)].join('\n'),
        ...sections.map((section) =>
          [`  ${sanitise(section.title)}`, ...facts(section.rows ?? []), ...figures(section.figures ?? [], paint)].join(
            '\n',
          ),
        ),
      ].join('\n\n'),
    )
    .join('\n\n');
}

/** Names in a column of their own; values go on below their beginning where they are longer than a line. */
function facts(rows: readonly Row[]): string[] {
  const indent = 2 + Math.max(0, ...rows.map(([name]) => name.length)) + 2;
  return rows.flatMap(([name, value]) =>
    wrap(sanitise(value), Math.max(WIDTH - indent, 24)).map((line, i) =>
      `${i === 0 ? `  ${sanitise(name)}`.padEnd(indent) : ' '.repeat(indent)}${line}`.trimEnd(),
    ),
  );
}

function figures(rows: readonly (readonly string[])[], paint: Paint): string[] {
  if (rows.length === 0) return [];
  const right = (rows[0] ?? []).map((_, i) => i).slice(1);
  const lines = table(
    rows.map((cells) => cells.map(sanitise)),
    { right },
  ).split('\n');
  return lines.map((line, i) => `  ${i === 0 ? paint('dim', line) : line}`);
}

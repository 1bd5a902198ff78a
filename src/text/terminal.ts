/** What is written to a terminal: colours only where they are shown and wanted, and nothing from a file that a terminal would obey. */
import { styleText } from 'node:util';
import { printable } from './quote.ts';

export type Style = Parameters<typeof styleText>[0];

/** Colours `text`, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

/** What this program needs of process.stdout or process.stderr. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** util.styleText itself honours NO_COLOR, FORCE_COLOR, TERM=dumb and a stream that is no terminal. */
export function painter(stream: NodeJS.WritableStream, color: boolean): Paint {
  return (style, text) => (color ? styleText(style, text, { stream }) : text);
}

/** A message may be long; a line of a hostile file may be longer. */
const LINE_LIMIT = 4000;

/** Lines stay lines; every other control character becomes an escape. */
export function sanitise(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, LINE_LIMIT))
    .join('\n');
}

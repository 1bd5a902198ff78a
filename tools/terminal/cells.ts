/** What a terminal shows, cell by cell: read from xterm's buffer once, so that whoever draws or judges a screen needs no terminal. */
import headless, {
  type IBufferCell,
  type ITerminalInitOnlyOptions,
  type ITerminalOptions,
  type Terminal,
} from '@xterm/headless';
import { WIDTHS } from './widths.ts';

/** The terminal's own colour, one of its 256, or 0xrrggbb. */
export type Color = 'default' | { readonly palette: number } | { readonly rgb: number };

export interface Cell {
  /** One character with what combines with it; a space where nothing was written, empty in the second half of a wide character. */
  readonly chars: string;
  /** 2 for a wide character, 0 for the cell that it covers besides its own. */
  readonly width: 0 | 1 | 2;
  readonly foreground: Color;
  readonly background: Color;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly strikethrough: boolean;
  readonly inverse: boolean;
}

/** [rows][columns] */
export type Cells = readonly (readonly Cell[])[];

export function createTerminal(options: ITerminalOptions & ITerminalInitOnlyOptions): Terminal {
  const terminal = new headless.Terminal({ ...options, allowProposedApi: true }); // buffer and widths are what is proposed
  terminal.unicode.register(WIDTHS);
  terminal.unicode.activeVersion = WIDTHS.version;
  return terminal;
}

/** What can be seen of `terminal` at the moment. */
export function readCells({ buffer: { active }, rows, cols }: Terminal): Cells {
  return Array.from({ length: rows }, (_, y) => {
    const line = active.getLine(active.viewportY + y);
    return Array.from({ length: cols }, (_, x) => readCell(line?.getCell(x)));
  });
}

export const BLANK: Cell = {
  chars: ' ',
  width: 1,
  foreground: 'default',
  background: 'default',
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strikethrough: false,
  inverse: false,
};

function readCell(cell: IBufferCell | undefined): Cell {
  if (!cell) return BLANK;
  const width = cell.getWidth() as Cell['width'];
  return {
    chars: cell.isInvisible() || (cell.getChars() === '' && width > 0) ? ' ' : cell.getChars(),
    width,
    foreground: readColor(cell.isFgDefault(), cell.isFgPalette(), cell.getFgColor()),
    background: readColor(cell.isBgDefault(), cell.isBgPalette(), cell.getBgColor()),
    bold: cell.isBold() !== 0,
    dim: cell.isDim() !== 0,
    italic: cell.isItalic() !== 0,
    underline: cell.isUnderline() !== 0,
    strikethrough: cell.isStrikethrough() !== 0,
    inverse: cell.isInverse() !== 0,
  };
}

function readColor(isDefault: boolean, isPalette: boolean, color: number): Color {
  if (isDefault) return 'default';
  return isPalette ? { palette: color } : { rgb: color };
}

/** The text of a screen, line by line, without the spaces at the ends. */
export function textOf(cells: Cells): string {
  return cells
    .map((line) =>
      line
        .map(({ chars }) => chars)
        .join('')
        .trimEnd(),
    )
    .join('\n');
}

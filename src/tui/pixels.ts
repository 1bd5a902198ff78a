/**
 * Pictures in a terminal: a cell holds two pixels, the upper one as the colour of ▀ and the lower one as the background. What
 * is larger than its room is averaged down, each pixel by the area it covers (box filter); what is far smaller is enlarged by a whole factor.
 */

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** RGB, 8 bit, [height, width, 3]. */
  readonly data: Uint8Array;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Room for a picture, in the terminal's cells. */
export interface Cells {
  readonly columns: number;
  readonly rows: number;
}

/**
 * Ink draws some 100 cells a millisecond if each has a colour of its own: more than these and keys wait for pictures (docs/tui.md
 * has the figures). Cells that repeat their neighbours, as in an enlarged picture, cost half.
 */
export const MAX_CELLS = 4608;
const MAX_ENLARGED_CELLS = 8192;

/**
 * The size in pixels, an even number of rows, at which a picture is shown in `cells`, and in no more than `budget` of them: smaller than it
 * is where it does not fit, and twice, three times, … as large where that fits.
 */
export function sizeIn({ width, height }: Size, { columns, rows }: Cells, budget = MAX_CELLS): Size {
  const fitting = Math.min(Math.max(1, columns) / width, (2 * Math.max(1, rows)) / height);
  const affordable = (cells: number) => Math.sqrt(cells / (width * (height / 2)));
  const times = Math.floor(Math.min(fitting, affordable(budget * (MAX_ENLARGED_CELLS / MAX_CELLS))));
  const scale = times > 1 ? times : Math.min(1, fitting, affordable(budget));
  return { width: Math.max(1, Math.round(width * scale)), height: 2 * Math.max(1, Math.round((height * scale) / 2)) };
}

/** `picture` at another size: averaged where that is smaller, each pixel repeated where it is larger. */
export function resize(picture: Picture, to: Size): Picture {
  if (picture.width === to.width && picture.height === to.height) return picture;
  const [x, y] = [spans(picture.width, to.width), spans(picture.height, to.height)];
  const data = new Uint8Array(to.width * to.height * 3);
  for (const [row, rows] of y.entries()) {
    for (const [column, columns] of x.entries())
      data.set(average(picture, rows, columns), (row * to.width + column) * 3);
  }
  return { ...to, data };
}

/** The source pixels that a target pixel covers, and how much of each; the shares of one target pixel sum to 1. A target pixel smaller than its source is that of its middle. */
type Span = readonly { readonly at: number; readonly share: number }[];

function spans(from: number, to: number): Span[] {
  const ratio = from / to;
  if (ratio < 1) return Array.from({ length: to }, (_, i) => [{ at: Math.floor((i + 0.5) * ratio), share: 1 }]);
  return Array.from({ length: to }, (_, i) => {
    const [start, end] = [i * ratio, Math.min(from, (i + 1) * ratio)];
    const first = Math.floor(start);
    return Array.from({ length: Math.ceil(end) - first }, (_, k) => ({
      at: first + k,
      share: (Math.min(end, first + k + 1) - Math.max(start, first + k)) / (end - start),
    }));
  });
}

function average({ data, width }: Picture, rows: Span, columns: Span): [number, number, number] {
  const sum: [number, number, number] = [0, 0, 0];
  for (const row of rows) {
    for (const column of columns) {
      const at = (row.at * width + column.at) * 3;
      const share = row.share * column.share;
      sum[0] += share * (data[at] as number);
      sum[1] += share * (data[at + 1] as number);
      sum[2] += share * (data[at + 2] as number);
    }
  }
  return [Math.round(sum[0]), Math.round(sum[1]), Math.round(sum[2])];
}

/**
 * One line of text per two rows of pixels, without line breaks. `depth` is what `stdout.getColorDepth()` says, in bits: from 24 on true colour, from 8
 * on the 256 colours of xterm; below, where a palette may be anything, black and white in an ordered dither (Bayer).
 */
export function halfBlocks(picture: Picture, depth: number): string[] {
  const line = depth >= 8 ? colourLine(depth >= 24 ? trueColour : xtermColour) : ditheredLine;
  return Array.from({ length: Math.ceil(picture.height / 2) }, (_, i) => line(picture, 2 * i));
}

type Rgb = readonly [r: number, g: number, b: number];

/** A row below the last is black. */
function pixel({ data, width }: Picture, x: number, y: number): Rgb {
  const at = (y * width + x) * 3;
  return [data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0];
}

/** What follows `38;` or `48;` in SGR (ECMA-48, ITU-T T.416). */
type ColourCode = (rgb: Rgb) => string;

const trueColour: ColourCode = (rgb) => `2;${rgb.join(';')}`;
const RESET = '\u001b[39m\u001b[49m';

function colourLine(code: ColourCode) {
  return (picture: Picture, y: number): string => {
    let text = '';
    let [before, beneath] = ['', ''];
    for (let x = 0; x < picture.width; x++) {
      const [upper, lower] = [code(pixel(picture, x, y)), code(pixel(picture, x, y + 1))];
      if (upper !== before) text += `\u001b[38;${upper}m`;
      if (lower !== beneath) text += `\u001b[48;${lower}m`;
      text += '▀';
      [before, beneath] = [upper, lower];
    }
    return text + RESET;
  };
}

/** xterm's palette from 16 on: a 6×6×6 cube with these levels, then 24 greys. */
const CUBE = [0, 95, 135, 175, 215, 255] as const;

function xtermColour(rgb: Rgb): string {
  const levels = rgb.map(nearestLevel) as [number, number, number];
  const cube = levels.map((level) => CUBE[level] as number);
  const mean = (rgb[0] + rgb[1] + rgb[2]) / 3;
  const step = Math.min(23, Math.max(0, Math.round((mean - 8) / 10)));
  const grey = 8 + 10 * step;
  const index =
    distance(rgb, [grey, grey, grey]) < distance(rgb, cube)
      ? 232 + step
      : 16 + 36 * levels[0] + 6 * levels[1] + levels[2];
  return `5;${index}`;
}

function nearestLevel(value: number): number {
  const gaps = CUBE.map((level) => Math.abs(level - value));
  return gaps.indexOf(Math.min(...gaps));
}

function distance(a: Rgb, b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + (value - (b[i] as number)) ** 2, 0);
}

/** The 4×4 threshold matrix of B. E. Bayer (1973), in sixteenths. */
const BAYER = [0, 8, 2, 10, 12, 4, 14, 6, 3, 11, 1, 9, 15, 7, 13, 5] as const;

/** By whether the upper and the lower pixel are lit. */
const BLOCKS = [' ', '▄', '▀', '█'] as const;

function ditheredLine(picture: Picture, y: number): string {
  const lit = (x: number, row: number): number => {
    const [r, g, b] = pixel(picture, x, row);
    const luma = (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255; // Rec. 709
    return luma > ((BAYER[(row % 4) * 4 + (x % 4)] as number) + 0.5) / 16 ? 1 : 0;
  };
  return Array.from({ length: picture.width }, (_, x) => BLOCKS[2 * lit(x, y) + lit(x, y + 1)]).join('');
}

/**
 * A screen as a picture that any viewer of SVG shows alike: every run of text is held to its columns, lines and blocks are shapes, pixels of
 * one colour are one path. No fonts, scripts or pictures from elsewhere.
 */
import type { Cell, Cells } from './cells.ts';
import { blocksOf, linesOf } from './glyphs.ts';
import { BACKGROUND, hex, paintOf } from './palette.ts';

export interface SvgOptions {
  /** Above the screen, and what a reader hears first. */
  readonly title: string;
  /** For those who do not see the picture. */
  readonly description: string;
}

/** Of a cell; twice as high as wide, so that half of one is a square pixel. */
const WIDTH = 9;
const HEIGHT = 18;
/** Fonts of fixed width are mostly 0.6 as wide as they are high. */
const FONT_SIZE = 15;
/** From the top of a cell to the line that letters stand on. */
const BASELINE = 13.5;
const MARGIN = 14;
const TITLE_BAR = 30;
/** Strokes of box drawing, light and heavy. */
const THICK = [0, 1.3, 2.6] as const;

const FRAME = { radius: 8, bar: '#161b22', edge: '#30363d', dot: '#484f58', text: '#8b949e' } as const;
const FONTS = "ui-monospace,'SF Mono',SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace";

export function renderSvg(cells: Cells, { title, description }: SvgOptions): string {
  const columns = cells[0]?.length ?? 0;
  const width = columns * WIDTH + 2 * MARGIN;
  const height = cells.length * HEIGHT + 2 * MARGIN + TITLE_BAR;
  const { radius, bar, edge, dot, text } = FRAME;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title description">
<title id="title">${escapeXml(title)}</title>
<desc id="description">${escapeXml(description)}</desc>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="${radius}" fill="${hex(BACKGROUND)}"/>
<path d="M.5 ${TITLE_BAR}V${radius}a${radius - 0.5} ${radius - 0.5} 0 0 1 ${radius}-${radius - 0.5}H${width - radius}a${radius - 0.5} ${radius - 0.5} 0 0 1 ${radius - 0.5} ${radius - 0.5}V${TITLE_BAR}z" fill="${bar}"/>
<rect x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="${radius}" fill="none" stroke="${edge}"/>
${[0, 1, 2].map((i) => `<circle cx="${MARGIN + 6 + 18 * i}" cy="${TITLE_BAR / 2}" r="5" fill="${dot}"/>`).join('')}
<text x="${width / 2}" y="${TITLE_BAR / 2 + 4.5}" text-anchor="middle" font-family="system-ui,sans-serif" font-size="13" fill="${text}">${escapeXml(title)}</text>
<g transform="translate(${MARGIN} ${TITLE_BAR + MARGIN})">
${pixels(cells)}${shades(cells)}${lines(cells)}<g font-family="${FONTS}" font-size="${FONT_SIZE}" xml:space="preserve">
${cells.map(letters).join('')}</g>
</g>
</svg>
`;
}

// ---------------------------------------------------------------------------------------------------- grounds and blocks

/** A horizontal stretch of one colour, in pixels of the picture. */
interface Bar {
  readonly color: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Grounds and blocks: bars of equal colour and height, joined where they touch, one path for each colour. */
function pixels(cells: Cells): string {
  const bars = cells.flatMap((row, y) => row.flatMap((cell, x) => barsOf(cell, x, y)));
  const paths = Map.groupBy(join(bars), ({ color }) => color);
  const drawn = [...paths].map(([color, group]) => {
    const d = group.map(
      ({ x, y, width, height }) => `M${short(x)} ${short(y)}h${short(width)}v${short(height)}h-${short(width)}z`,
    );
    return `<path fill="${hex(color)}" d="${d.join('')}"/>\n`;
  });
  return `<g shape-rendering="crispEdges">\n${drawn.join('')}</g>\n`;
}

function barsOf(cell: Cell, x: number, y: number): readonly Bar[] {
  const { ink, ground } = paintOf(cell);
  const bar = (color: number, part: { x: number; y: number; width: number; height: number }): Bar => ({
    color,
    x: (x + part.x) * WIDTH,
    y: (y + part.y) * HEIGHT,
    width: part.width * WIDTH,
    height: part.height * HEIGHT,
  });
  const blocks = (blocksOf(cell.chars) ?? []).filter(({ opacity }) => opacity === undefined);
  const halves = cell.chars === '▀' || cell.chars === '▄';
  // two pixels of a picture: neither lies on the other, so that equal ones join
  const under =
    cell.chars === '▀' ? { x: 0, y: 0.5, width: 1, height: 0.5 } : { x: 0, y: 0, width: 1, height: halves ? 0.5 : 1 };
  return [...(ground === BACKGROUND ? [] : [bar(ground, under)]), ...blocks.map((part) => bar(ink, part))];
}

/** Bars in reading order; those that go on to the right become one. */
function join(bars: readonly Bar[]): readonly Bar[] {
  const open = new Map<string, Bar>();
  const done: Bar[] = [];
  for (const bar of bars) {
    const key = `${bar.y} ${bar.height}`;
    const before = open.get(key);
    const goesOn = before && before.color === bar.color && before.x + before.width === bar.x;
    if (before && !goesOn) done.push(before);
    open.set(key, goesOn ? { ...before, width: before.width + bar.width } : bar);
  }
  return [...done, ...open.values()];
}

/** ░▒▓ let their ground through. */
function shades(cells: Cells): string {
  const drawn = runs(cells, ({ chars }) => blocksOf(chars)?.[0]?.opacity !== undefined).map(
    ({ cell, x, y, length }) => {
      const opacity = blocksOf(cell.chars)?.[0]?.opacity;
      return `<rect x="${x * WIDTH}" y="${y * HEIGHT}" width="${length * WIDTH}" height="${HEIGHT}" fill="${hex(paintOf(cell).ink)}" fill-opacity="${opacity}"/>\n`;
    },
  );
  return drawn.length === 0 ? '' : `<g shape-rendering="crispEdges">\n${drawn.join('')}</g>\n`;
}

// ---------------------------------------------------------------------------------------------------- lines

/** Box drawing: a path for each colour and thickness. */
function lines(cells: Cells): string {
  const strokes = runs(cells, ({ chars }) => linesOf(chars) !== undefined).flatMap(({ cell, x, y, length }) =>
    strokesOf(cell.chars, x, y, length).map((stroke) => ({ ...stroke, color: paintOf(cell).ink })),
  );
  const paths = Map.groupBy(
    strokes,
    ({ color, thick }) => `stroke="${hex(color)}" stroke-width="${THICK[thick as 1]}"`,
  );
  const drawn = [...paths].map(([style, group]) => `<path ${style} d="${group.map(({ d }) => d).join('')}"/>\n`);
  return drawn.length === 0 ? '' : `<g fill="none">\n${drawn.join('')}</g>\n`;
}

function strokesOf(
  char: string,
  column: number,
  row: number,
  length: number,
): { readonly thick: number; readonly d: string }[] {
  const { up = 0, right = 0, down = 0, left = 0, rounded = false } = linesOf(char) ?? {};
  const strokes: { thick: number; d: string }[] = [];
  for (let i = 0; i < length; i++) {
    const [x, y] = [(column + i) * WIDTH, row * HEIGHT];
    const [middle, centre] = [x + WIDTH / 2, y + HEIGHT / 2];
    const horizontal = up + down === 0 && left === right;
    if (horizontal) return [{ thick: left, d: `M${x} ${centre}h${length * WIDTH}` }];
    if (rounded) {
      const [endX, endY] = [right ? x + WIDTH : x, down ? y + HEIGHT : y];
      strokes.push({ thick: 1, d: `M${middle} ${endY}Q${middle} ${centre} ${endX} ${centre}` });
      continue;
    }
    if (left + right === 0 && up === down) strokes.push({ thick: up, d: `M${middle} ${y}v${HEIGHT}` });
    else {
      // an arm reaches over the middle by half of what crosses it there, so that corners are whole
      const over = (crossing: number) => (THICK[crossing as 0] ?? 0) / 2;
      const [across, along] = [over(Math.max(up, down)), over(Math.max(left, right))];
      if (up) strokes.push({ thick: up, d: `M${middle} ${y}V${short(centre + along)}` });
      if (down) strokes.push({ thick: down, d: `M${middle} ${y + HEIGHT}V${short(centre - along)}` });
      if (left) strokes.push({ thick: left, d: `M${x} ${centre}H${short(middle + across)}` });
      if (right) strokes.push({ thick: right, d: `M${x + WIDTH} ${centre}H${short(middle - across)}` });
    }
  }
  return strokes;
}

/** Cells of a row that follow each other, hold the same and look the same. */
interface Run {
  readonly cell: Cell;
  readonly x: number;
  readonly y: number;
  readonly length: number;
}

function runs(cells: Cells, wanted: (cell: Cell) => boolean): readonly Run[] {
  return cells.flatMap((row, y) => {
    const found: Run[] = [];
    for (const [x, cell] of row.entries()) {
      if (!wanted(cell)) continue;
      const last = found.at(-1);
      if (last && last.x + last.length === x && last.cell.chars === cell.chars && looksLike(last.cell, cell))
        found[found.length - 1] = { ...last, length: last.length + 1 };
      else found.push({ cell, x, y, length: 1 });
    }
    return found;
  });
}

function looksLike(a: Cell, b: Cell): boolean {
  return style(a) === style(b);
}

// ---------------------------------------------------------------------------------------------------- letters

/** Attributes of a text, from its cell. */
function style(cell: Cell): string {
  const decorations = [cell.underline && 'underline', cell.strikethrough && 'line-through'].filter(Boolean).join(' ');
  return [
    `fill="${hex(paintOf(cell).ink)}"`,
    cell.bold && 'font-weight="bold"',
    cell.italic && 'font-style="italic"',
    decorations !== '' && `text-decoration="${decorations}"`,
  ]
    .filter(Boolean)
    .join(' ');
}

/** A word of ASCII, or one character of another script, which may come from another font: each begins in its column and fills its cells. */
const WORD = /^[\u0021-\u007e]+$/;

interface Word {
  readonly text: string;
  readonly x: number;
  readonly columns: number;
  readonly style: string;
}

function letters(row: readonly Cell[], y: number): string {
  const words: Word[] = [];
  for (const [x, cell] of row.entries()) {
    if (cell.width === 0 || blocksOf(cell.chars) || linesOf(cell.chars)) continue;
    const decorated = cell.underline || cell.strikethrough;
    if (cell.chars.trim() === '' && !decorated) continue;
    const last = words.at(-1);
    const goesOn =
      last &&
      last.x + last.columns === x &&
      last.style === style(cell) &&
      WORD.test(last.text) &&
      WORD.test(cell.chars);
    if (goesOn) words[words.length - 1] = { ...last, text: last.text + cell.chars, columns: last.columns + 1 };
    else words.push({ text: cell.chars, x, columns: cell.width, style: style(cell) });
  }
  const groups = Map.groupBy(words, (word) => word.style);
  const drawn = [...groups].map(
    ([shared, group]) => `<g ${shared}>${group.map((word) => letter(word, y)).join('')}</g>\n`,
  );
  return drawn.join('');
}

function letter({ text, x, columns }: Word, y: number): string {
  const place = `x="${x * WIDTH}" y="${short(y * HEIGHT + BASELINE)}" textLength="${columns * WIDTH}"`;
  return `<text ${place}${WORD.test(text) ? '' : ' lengthAdjust="spacingAndGlyphs"'}>${escapeXml(text)}</text>`;
}

/** A number as short as its hundredths allow. */
function short(value: number): string {
  return String(Math.round(value * 100) / 100);
}

const ESCAPES: Readonly<Record<string, string>> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' };

function escapeXml(text: string): string {
  return text.replace(/[<>&"]/g, (char) => ESCAPES[char] ?? char);
}

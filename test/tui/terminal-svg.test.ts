/** Pictures of a screen: each attribute and each kind of character, from cells that are made by hand. */
import { describe, expect, it } from 'vitest';
import { BLANK, type Cell, type Cells, createTerminal, readCells } from '../../tools/terminal/cells.ts';
import { renderSvg } from '../../tools/terminal/svg.ts';

const cellsOf = (text: string, attributes: Partial<Cell> = {}): Cell[] =>
  [...text].map((chars) => ({ ...BLANK, ...attributes, chars }));

/** The picture's elements that lie in the screen, one a line. */
function draw(...rows: Cells): string {
  const svg = renderSvg(rows, { title: 'T', description: 'D' });
  return svg.slice(svg.indexOf('<g transform'));
}

describe('renderSvg', () => {
  it('has a title and a description for whoever does not see it, and its size in cells', () => {
    const svg = renderSvg([cellsOf('abcd'), cellsOf('efgh')], { title: 'a < b', description: '"x" & y' });
    expect(svg).toContain('<title id="title">a &lt; b</title>\n<desc id="description">&quot;x&quot; &amp; y</desc>');
    expect(svg).toMatch(
      /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" viewBox="0 0 64 94" width="64" height="94" role="img"/,
    );
  });

  it('holds every word to its columns', () => {
    expect(draw(cellsOf('ab  cde')).match(/<text.*?<\/text>/g)).toEqual([
      '<text x="0" y="13.5" textLength="18">ab</text>',
      '<text x="36" y="13.5" textLength="27">cde</text>',
    ]);
    expect(draw(cellsOf(' '), cellsOf('f'))).toContain('<text x="0" y="31.5" textLength="9">f</text>');
  });

  it('squeezes what another font may have to draw into its cells, wide characters into two', () => {
    const wide: Cell[] = [{ ...BLANK, chars: '漢', width: 2 }, { ...BLANK, chars: '', width: 0 }, ...cellsOf('✓a')];
    expect(draw(wide).match(/<text.*?<\/text>/g)).toEqual([
      '<text x="0" y="13.5" textLength="18" lengthAdjust="spacingAndGlyphs">漢</text>',
      '<text x="18" y="13.5" textLength="9" lengthAdjust="spacingAndGlyphs">✓</text>',
      '<text x="27" y="13.5" textLength="9">a</text>',
    ]);
  });

  it('writes what means something in XML as what it is', () => {
    expect(draw(cellsOf('<&">'))).toContain('textLength="36">&lt;&amp;&quot;&gt;</text>');
  });

  it.each([
    ['bold', { bold: true }, '<g fill="#d7dde4" font-weight="bold"><text'],
    ['italic', { italic: true }, '<g fill="#d7dde4" font-style="italic"><text'],
    ['underline', { underline: true }, '<g fill="#d7dde4" text-decoration="underline"><text'],
    ['strikethrough', { strikethrough: true }, '<g fill="#d7dde4" text-decoration="line-through"><text'],
    // d7dde4 over 0d1117: 0.66·0xd7 + 0.34·0x0d = 146, 0.66·0xdd + 0.34·0x11 = 152, 0.66·0xe4 + 0.34·0x17 = 158
    ['dim', { dim: true }, '<g fill="#92989e"><text'],
    ['a colour of the palette', { foreground: { palette: 1 } }, '<g fill="#ff7b72"><text'],
    // xterm's 67 is 16 + 36·1 + 6·2 + 3: 5f 87 af
    ['a colour of the cube', { foreground: { palette: 67 } }, '<g fill="#5f87af"><text'],
    ['a grey', { foreground: { palette: 244 } }, '<g fill="#808080"><text'],
    ['a true colour', { foreground: { rgb: 0x01020a } }, '<g fill="#01020a"><text'],
  ] as const)('shows %s', (_, attributes, expected) => {
    expect(draw(cellsOf('x', attributes))).toContain(expected);
  });

  it('paints grounds as bars, joined, and swaps both colours of what is inverse', () => {
    expect(draw(cellsOf('ab', { background: { rgb: 0x102030 } }))).toContain(
      '<path fill="#102030" d="M0 0h18v18h-18z"/>',
    );
    const inverse = draw(cellsOf('a', { inverse: true }));
    expect(inverse).toContain('<path fill="#d7dde4" d="M0 0h9v18h-9z"/>');
    expect(inverse).toContain('<g fill="#0d1117"><text');
    expect(draw(cellsOf('ab'))).not.toContain('<path');
  });

  it('draws half blocks as pixels, those of one colour as one path', () => {
    const pixel = (upper: number, lower: number) =>
      cellsOf('▀', { foreground: { rgb: upper }, background: { rgb: lower } });
    const picture = draw([...pixel(0xaa0000, 0x00bb00), ...pixel(0xaa0000, 0x0000cc)], [...pixel(0x0000cc, 0x00bb00)]);
    expect(picture.match(/<path.*\/>/g)?.toSorted()).toEqual([
      '<path fill="#0000cc" d="M9 9h9v9h-9zM0 18h9v9h-9z"/>',
      '<path fill="#00bb00" d="M0 9h9v9h-9zM0 27h9v9h-9z"/>',
      '<path fill="#aa0000" d="M0 0h18v9h-18z"/>',
    ]);
    expect(picture).not.toContain('<text');
  });

  it('draws bars and shades', () => {
    expect(draw(cellsOf('▌', { foreground: { rgb: 0xaa0000 } }))).toContain('d="M0 0h4.5v18h-4.5z"');
    expect(draw(cellsOf('▂', { foreground: { rgb: 0xaa0000 } }))).toContain('d="M0 13.5h9v4.5h-9z"');
    expect(draw(cellsOf('▚', { foreground: { rgb: 0xaa0000 } }))).toContain('d="M0 0h4.5v9h-4.5zM4.5 9h4.5v9h-4.5z"');
    expect(draw(cellsOf('░░', { foreground: { rgb: 0xaa0000 } }))).toContain(
      '<rect x="0" y="0" width="18" height="18" fill="#aa0000" fill-opacity="0.25"/>',
    );
  });

  it('draws frames as lines that meet', () => {
    expect(draw(cellsOf('───'))).toContain('stroke="#d7dde4" stroke-width="1.3" d="M0 9h27"');
    expect(draw(cellsOf('┃'), cellsOf('┃'))).toContain('stroke-width="2.6" d="M4.5 0v18M4.5 18v18"');
    expect(draw(cellsOf('╭'))).toContain('d="M4.5 18Q4.5 9 9 9"');
    // heavy: each arm reaches half of 2.6 over the middle
    expect(draw(cellsOf('┏'))).toContain('d="M4.5 18V7.7M9 9H3.2"');
  });

  it('reads from a terminal what it is given by hand', async () => {
    const terminal = createTerminal({ cols: 4, rows: 1 });
    await new Promise<void>((done) => terminal.write('\u001b[1;2;3;4;7;9;31;48;2;1;2;3mx\u001b[0;38;5;67m漢', done));
    expect(readCells(terminal)).toEqual([
      [
        {
          chars: 'x',
          width: 1,
          foreground: { palette: 1 },
          background: { rgb: 0x010203 },
          bold: true,
          dim: true,
          italic: true,
          underline: true,
          strikethrough: true,
          inverse: true,
        },
        { ...BLANK, chars: '漢', width: 2, foreground: { palette: 67 } },
        { ...BLANK, chars: '', width: 0, foreground: { palette: 67 } },
        BLANK,
      ],
    ]);
  });
});

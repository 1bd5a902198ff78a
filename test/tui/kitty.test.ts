import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { kittyGraphics } from '../../src/tui/drawing.ts';
import { MAX_SPAN, placeholders, QUERY, readAnswer, remove, throughTmux, transmit } from '../../src/tui/kitty.ts';

// Written from kitty's docs/graphics-protocol.rst, not from the code: reads commands as a terminal would.

const ESC = '\u001b';
const COLOURED = new RegExp(`^${ESC}\\[38;2;(\\d+;\\d+;\\d+)m(.*)${ESC}\\[39m$`, 'u');
const THROUGH = new RegExp(`${ESC}Ptmux;((?:${ESC}${ESC}|[^${ESC}])*)${ESC}\\\\`, 'gu');

interface Command {
  readonly keys: Readonly<Record<string, string>>;
  readonly payload: string;
}

/** Fails where anything stands between the commands. */
function readCommands(text: string): Command[] {
  const commands: Command[] = [];
  let rest = text;
  while (rest !== '') {
    expect(rest.startsWith('\u001b_G')).toBe(true);
    const end = rest.indexOf('\u001b\\');
    const [keys = '', payload = ''] = rest.slice(3, end).split(';');
    commands.push({ keys: Object.fromEntries(keys.split(',').map((pair) => pair.split('='))), payload });
    rest = rest.slice(end + 2);
  }
  return commands;
}

interface Image {
  readonly keys: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
}

/** What a terminal holds after these commands, chunks put together. */
function receive(text: string, images = new Map<number, Image>()): Map<number, Image> {
  let open: { keys: Record<string, string>; payload: string } | undefined;
  for (const { keys, payload } of readCommands(text)) {
    expect(payload.length).toBeLessThanOrEqual(4096);
    if (keys['a'] === 'd') {
      expect(keys['d']).toBe('I');
      expect(images.delete(Number(keys['i']))).toBe(true);
      continue;
    }
    // "subsequent chunks must have only the m and optionally q keys", and all but the last are a multiple of 4 long
    if (open) expect(Object.keys(keys).filter((key) => key !== 'm' && key !== 'q')).toEqual([]);
    open = open ? { ...open, payload: open.payload + payload } : { keys: { ...keys }, payload };
    if (keys['m'] === '1') {
      expect(payload.length % 4).toBe(0);
      continue;
    }
    images.set(Number(open.keys['i']), { keys: open.keys, data: inflateSync(Buffer.from(open.payload, 'base64')) });
    open = undefined;
  }
  expect(open).toBeUndefined();
  return images;
}

// kitty's gen/rowcolumn-diacritics.txt: a few of its lines, by their number
const FROM_THE_TABLE = [
  [0, 0x0305],
  [1, 0x030d],
  [2, 0x030e],
  [3, 0x0310],
  [17, 0x0363],
  [30, 0x0483],
  [53, 0x05c4],
  [85, 0x0730],
  [99, 0x074a],
  [108, 0x0816],
  [128, 0x082d],
] as const;

const noise = (width: number, height: number) => ({
  width,
  height,
  // a linear congruential generator: nothing that deflate could make small
  data: Uint8Array.from(
    (function* () {
      let x = 1;
      for (let i = 0; i < width * height * 3; i++) {
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        yield x >>> 24;
      }
    })(),
  ),
});

describe('transmit', () => {
  it('sends the pixels in chunks, once, for so many cells, and asks for no answer', () => {
    const picture = noise(64, 48);
    const sent = transmit(0x123456, picture, { columns: 40, rows: 15 });
    expect(readCommands(sent).length).toBeGreaterThan(2);
    const image = receive(sent).get(0x123456);
    expect(image?.keys).toEqual({
      a: 'T',
      U: '1',
      i: String(0x123456),
      f: '24',
      s: '64',
      v: '48',
      o: 'z',
      c: '40',
      r: '15',
      q: '2',
      m: '1',
    });
    expect(Buffer.compare(image?.data ?? new Uint8Array(), picture.data)).toBe(0);
  });
  it('sends a small one in a single command', () => {
    const sent = transmit(1, { width: 1, height: 1, data: Uint8Array.of(1, 2, 3) }, { columns: 1, rows: 1 });
    expect(readCommands(sent)).toHaveLength(1);
    expect(receive(sent).get(1)).toMatchObject({ keys: { m: '0' }, data: Buffer.of(1, 2, 3) });
  });
});

describe('placeholders', () => {
  it('say their image, row and column in every cell', () => {
    const lines = placeholders(0xabcdef, { columns: 129, rows: 129 });
    expect(lines).toHaveLength(129);
    const seen = new Set<string>();
    for (const [y, line] of lines.entries()) {
      const [, id, cells] = COLOURED.exec(line) ?? [];
      expect(id).toBe('171;205;239');
      const characters = [...(cells ?? '')];
      expect(characters).toHaveLength(129 * 3);
      for (const [i, value] of FROM_THE_TABLE) {
        expect(characters[i * 3 + 2]?.codePointAt(0)).toBe(value);
        if (y === i) expect(characters[1]?.codePointAt(0)).toBe(value);
      }
      for (let x = 0; x < 129; x++) {
        expect(characters[x * 3]).toBe('\u{10EEEE}');
        expect(characters[x * 3 + 1]).toBe(characters[1]); // one row to a line
        seen.add(`${characters[x * 3 + 1]}${characters[x * 3 + 2]}`);
      }
    }
    expect(seen.size).toBe(129 * 129);
    expect(MAX_SPAN).toBe(129);
  });
  it('are marks that no normalisation fuses with what they stand on', () => {
    const line = placeholders(1, { columns: MAX_SPAN, rows: 1 })[0] ?? '';
    for (const form of ['NFC', 'NFD', 'NFKC', 'NFKD']) expect(line.normalize(form)).toBe(line);
    expect([...line].filter((character) => /\p{M}/u.test(character))).toHaveLength(2 * MAX_SPAN);
  });
});

describe('a clip', () => {
  const clip = { width: 4, height: 4, count: 3, data: noise(4, 12).data };
  const open = () => {
    let sent = '';
    const graphics = kittyGraphics((text) => {
      sent += text;
    }, 100);
    return { graphics, sent: () => sent };
  };

  it('sends each frame once, the next one ahead of its time, and takes all away at the end', () => {
    const { graphics, sent } = open();
    const drawing = graphics.draw(clip, { columns: 20, rows: 4 });
    expect(sent()).toBe('');
    drawing.shown?.(0);
    expect([...receive(sent()).keys()]).toEqual([100, 101]);
    drawing.shown?.(1);
    const all = sent();
    const images = receive(all);
    expect([...images.keys()]).toEqual([100, 101, 102]);
    expect(Buffer.compare(images.get(102)?.data ?? new Uint8Array(), clip.data.subarray(96))).toBe(0);
    drawing.shown?.(2);
    drawing.shown?.(0);
    expect(sent()).toBe(all);
    drawing.end?.();
    expect(receive(sent())).toEqual(new Map());
    expect(readCommands(remove([7])).map(({ keys }) => keys)).toEqual([{ a: 'd', d: 'I', i: '7', q: '2' }]);
  });
  it('moves by the number in the colour, in as many cells as were promised', () => {
    const drawing = open().graphics.draw(clip, { columns: 9, rows: 4 });
    expect(drawing.cells).toEqual({ columns: 8, rows: 4 });
    expect(drawing.lines(0)).toEqual(placeholders(100, drawing.cells));
    expect(drawing.lines(2)).toEqual(placeholders(102, drawing.cells));
  });
  it('gives every clip numbers of its own', () => {
    const { graphics } = open();
    graphics.draw(clip, { columns: 4, rows: 2 });
    expect(graphics.draw(clip, { columns: 4, rows: 2 }).lines(0)[0]).toContain('38;2;0;0;103m');
  });
});

describe('the query', () => {
  it('asks about one pixel and then what every terminal answers', () => {
    expect(readCommands(QUERY.slice(0, -3))).toEqual([
      { keys: { i: '31', s: '1', v: '1', a: 'q', t: 'd', f: '24' }, payload: 'AAAA' },
    ]);
    expect(QUERY.endsWith('\u001b[c')).toBe(true);
  });
  it.each([
    ['\u001b_Gi=31;OK\u001b\\\u001b[?62;c', { able: true, keys: '' }],
    ['q\u001b_Gi=31;OK\u001b\\j\u001b[?1;2ck\u001b[A', { able: true, keys: 'qjk\u001b[A' }],
    ['\u001b_Gi=31;EINVAL:no\u001b\\\u001b[?62;c', { able: false, keys: '' }],
    ['x\u001b[?62;22c', { able: false, keys: 'x' }],
    ['\u001b_Gi=31;OK\u001b\\', undefined],
    ['', undefined],
  ])('reads %j', (input, answer) => {
    expect(readAnswer(input)).toEqual(answer);
  });
});

describe('throughTmux', () => {
  it('wraps each command, its escapes doubled', () => {
    const wrapped = throughTmux(remove([1, 2]));
    const parts = [...wrapped.matchAll(THROUGH)];
    expect(parts.map(([whole]) => whole).join('')).toBe(wrapped);
    expect(parts.map(([, inner]) => inner?.replaceAll('\u001b\u001b', '\u001b')).join('')).toBe(remove([1, 2]));
  });
});

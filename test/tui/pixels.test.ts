import { describe, expect, it } from 'vitest';
import { halfBlocks, MAX_CELLS, type Picture, resize, sizeIn } from '../../src/tui/pixels.ts';

const picture = (
  width: number,
  height: number,
  ...pixels: readonly (readonly [number, number, number])[]
): Picture => ({
  width,
  height,
  data: Uint8Array.from(pixels.flat()),
});
const BLACK = [0, 0, 0] as const;
const WHITE = [255, 255, 255] as const;
const grey = (...levels: readonly number[]) => levels.map((level) => [level, level, level] as const);

describe('sizeIn', () => {
  it('keeps the shape, two rows of pixels to a cell', () => {
    expect(sizeIn({ width: 64, height: 64 }, { columns: 76, rows: 18 })).toEqual({ width: 36, height: 36 });
    expect(sizeIn({ width: 512, height: 256 }, { columns: 80, rows: 40 })).toEqual({ width: 80, height: 40 });
    expect(sizeIn({ width: 256, height: 512 }, { columns: 80, rows: 40 })).toEqual({ width: 40, height: 80 });
  });
  it.each([
    [{ columns: 127, rows: 80 }, 64],
    [{ columns: 140, rows: 63 }, 64],
    [{ columns: 128, rows: 64 }, 128],
    [{ columns: 200, rows: 90 }, 128],
  ])('enlarges a clip of 64×64 by whole factors only: in %j to %i', (cells, size) => {
    expect(sizeIn({ width: 64, height: 64 }, cells)).toEqual({ width: size, height: size });
  });
  it('enlarges a small one until it costs too much', () => {
    expect(sizeIn({ width: 4, height: 4 }, { columns: 76, rows: 18 })).toEqual({ width: 36, height: 36 });
    expect(sizeIn({ width: 32, height: 16 }, { columns: 400, rows: 200 })).toEqual({ width: 160, height: 80 });
  });
  it.each([[{ width: 1024, height: 1024 }], [{ width: 512, height: 768 }], [{ width: 2048, height: 256 }]])(
    'draws no more of %j than Ink does in time, in its shape',
    (clip) => {
      const { width, height } = sizeIn(clip, { columns: 1000, rows: 1000 });
      expect(Math.abs((width * height) / 2 - MAX_CELLS) / MAX_CELLS).toBeLessThan(0.02);
      expect(Math.abs(width / height / (clip.width / clip.height) - 1)).toBeLessThan(0.02);
    },
  );
  it('keeps to a smaller budget', () => {
    expect(sizeIn({ width: 512, height: 512 }, { columns: 100, rows: 50 }, 512)).toEqual({ width: 32, height: 32 });
  });
  it('stays a picture in the smallest room and in the oddest shape', () => {
    expect(sizeIn({ width: 64, height: 64 }, { columns: 0, rows: -1 })).toEqual({ width: 1, height: 2 });
    expect(sizeIn({ width: 1024, height: 8 }, { columns: 40, rows: 10 })).toEqual({ width: 40, height: 2 });
  });
});

describe('resize', () => {
  it('averages whole pixels', () => {
    const source = picture(4, 2, ...grey(0, 100, 10, 30, 200, 100, 20, 40));
    expect([...resize(source, { width: 2, height: 1 }).data]).toEqual(grey(100, 25).flat());
  });
  it('weighs a pixel that falls between two by the part that each covers', () => {
    // 3 → 2: each target pixel is one and a half wide, ⅔ of it the outer source pixel and ⅓ the middle one
    const source = picture(3, 1, [0, 30, 255], [90, 60, 0], [255, 0, 30]);
    expect([...resize(source, { width: 2, height: 1 }).data]).toEqual([30, 40, 170, 200, 20, 20]);
  });
  it('does so upright as well', () => {
    expect([...resize(picture(1, 3, ...grey(0, 90, 255)), { width: 1, height: 2 }).data]).toEqual(grey(30, 200).flat());
  });
  it('repeats each pixel where it enlarges', () => {
    const source = picture(2, 1, [1, 2, 3], [4, 5, 6]);
    expect([...resize(source, { width: 6, height: 2 }).data]).toEqual([
      ...[1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6],
      ...[1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4, 5, 6],
    ]);
  });
  it('leaves an even surface as it is, whatever the ratio', () => {
    const even = picture(64, 64, ...Array<readonly [number, number, number]>(64 * 64).fill([237, 221, 181]));
    const { data, width, height } = resize(even, { width: 37, height: 22 });
    expect({ width, height }).toEqual({ width: 37, height: 22 });
    expect(data.every((value, i) => value === [237, 221, 181][i % 3])).toBe(true);
  });
});

describe('halfBlocks', () => {
  it('writes the upper pixel as the colour and the lower one as the background, and a colour only where it changes', () => {
    const source = picture(2, 2, [1, 2, 3], [1, 2, 3], [4, 5, 6], [7, 8, 9]);
    expect(halfBlocks(source, 24)).toEqual([
      '\u001b[38;2;1;2;3m\u001b[48;2;4;5;6m▀\u001b[48;2;7;8;9m▀\u001b[39m\u001b[49m',
    ]);
  });
  it('makes a line of two rows, the last one perhaps of one', () => {
    expect(halfBlocks(picture(1, 3, BLACK, BLACK, WHITE), 24)).toEqual([
      '\u001b[38;2;0;0;0m\u001b[48;2;0;0;0m▀\u001b[39m\u001b[49m',
      '\u001b[38;2;255;255;255m\u001b[48;2;0;0;0m▀\u001b[39m\u001b[49m',
    ]);
  });
  // the palette that xterm documents in 256colres.h: 16 + 36r + 6g + b, then greys 8, 18 … 238 from 232 on
  it.each([
    [[255, 0, 0], 196],
    [[0, 0, 0], 16],
    [[255, 255, 255], 231],
    [[128, 128, 128], 244],
    [[95, 135, 175], 67],
    [[90, 140, 170], 67],
    [[9, 8, 7], 232],
    [[250, 250, 250], 231],
  ] as const)('with 256 colours %j is %i', (rgb, index) => {
    expect(halfBlocks(picture(1, 2, rgb, rgb), 8)).toEqual([
      `\u001b[38;5;${index}m\u001b[48;5;${index}m▀\u001b[39m\u001b[49m`,
    ]);
  });
  it.each([1, 4])('with a depth of %i has no colour at all', (depth) => {
    expect(halfBlocks(picture(4, 2, WHITE, BLACK, WHITE, BLACK, BLACK, WHITE, WHITE, BLACK), depth)).toEqual(['▀▄█ ']);
  });
  it('dithers a grey of one half to as many lit pixels as dark ones', () => {
    const half = picture(8, 8, ...Array<readonly [number, number, number]>(64).fill([128, 128, 128]));
    const lit = [...halfBlocks(half, 1).join('')].reduce(
      (sum, block) => sum + ({ '█': 2, '▀': 1, '▄': 1 }[block] ?? 0),
      0,
    );
    expect(lit).toBe(32);
  });
});

import sharp from 'sharp';
import { expect, it } from 'vitest';
import { encodeAnimation } from '../../tools/terminal/animation.ts';
import { BLANK, type Cell } from '../../tools/terminal/cells.ts';
import { renderSvg } from '../../tools/terminal/svg.ts';

const screenOf = (rgb: number): string => {
  const cell: Cell = { ...BLANK, chars: '█', foreground: { rgb } };
  return renderSvg([[cell, cell]], { title: 'T', description: 'D' });
};

it('shows the screens one after the other, in their colours', async () => {
  const webp = await encodeAnimation([screenOf(0xff0000), screenOf(0x0000ff)]);
  const moving = sharp(webp, { animated: true });
  // the margins of svg.ts, 14 around and 30 for the title, and two cells of 9×18
  expect(await moving.metadata()).toMatchObject({ pages: 2, delay: [125, 125], width: 46, pageHeight: 76 });
  const { data, info } = await moving.raw().toBuffer({ resolveWithObject: true });
  const pixel = (page: number) => [...data.subarray(((page * 76 + 53) * 46 + 23) * info.channels).subarray(0, 3)];
  expect(pixel(0)).toEqual([255, 0, 0]);
  expect(pixel(1)).toEqual([0, 0, 255]);
});

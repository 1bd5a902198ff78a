import { expect, it } from 'vitest';
import { cellWidth } from '../../src/tui/cell-width.ts';

it.each([
  ['ink.yaml', 8],
  ['墨絵・その一', 12],
  ['é̀', 1],
  ['العربية', 7],
  ['🎨', 2],
  ['🖌️', 1],
  ['🇯🇵', 2],
  ['한글 ｱＡ', 8],
])('%s takes %i cells', (text, cells) => {
  expect(cellWidth(text)).toBe(cells);
});

import { expect, it, vi } from 'vitest';
import type { MadePackage } from '../../src/publish/make-package.ts';
import { madePackage, RED_THEN_BLUE } from './reports.ts';
import { controlStage, openScreen } from './screen.ts';

/** Row 0, 1, 2, … and column in kitty's gen/rowcolumn-diacritics.txt. */
const FIRST_DIACRITICS = [0x305, 0x30d, 0x30e, 0x310, 0x312, 0x33d, 0x33e, 0x33f, 0x346, 0x34a, 0x34b, 0x34c];

it('shows a clip by placeholders that come through Ink whole, and removes its images before it leaves the screen', async () => {
  vi.stubEnv('LCM_MERGE_GRAPHICS', 'kitty');
  vi.stubEnv('TMUX', undefined);
  const job = controlStage<MadePackage>();
  // so small that no mark beyond U+0486 is needed: xterm.js gives U+0487 a cell of its own, kitty does not
  const screen = openScreen({
    columns: 60,
    rows: 18,
    services: {
      findRecipes: async () => [{ file: 'recipes/tiny.yaml' }],
      make: (_: unknown, signal: AbortSignal) => job.run(signal),
      readClip: async () => RED_THEN_BLUE,
    },
  });
  await screen.shows('recipes/tiny.yaml');
  screen.press('G');
  await screen.shows('▸ recipes/tiny.yaml');
  screen.press('b');
  await screen.shows('… Working');
  job.finish(madePackage('/out/tiny', {}, 'passed'));
  await screen.shows('▶ frame');
  screen.press(' ');
  await screen.shows('‖ frame');
  const sent = [...screen.raw().matchAll(/_Ga=T,U=1,i=(\d+),f=24,s=4,v=4,o=z,c=(\d+),r=(\d+),q=2,m=0;/g)];
  expect(sent).toHaveLength(2);
  const [columns, rows] = [Number(sent[0]?.[2]), Number(sent[0]?.[3])];
  const ids = sent.map(([, id]) => Number(id));

  const cells = placeholdersOn(screen);
  expect(cells).toHaveLength(columns * rows);
  for (const [i, { characters, colour }] of cells.entries()) {
    expect(ids).toContain(colour);
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (row < FIRST_DIACRITICS.length) expect(characters[1]?.codePointAt(0)).toBe(FIRST_DIACRITICS[row]);
    if (column < FIRST_DIACRITICS.length) expect(characters[2]?.codePointAt(0)).toBe(FIRST_DIACRITICS[column]);
    expect(characters).toHaveLength(3);
  }
  const before = cells[0]?.colour;
  screen.press(']');
  await vi.waitFor(() => expect(placeholdersOn(screen)[0]?.colour).toBe(ids.find((id) => id !== before)));

  screen.press('q');
  await screen.left;
  const raw = screen.raw();
  const removed = [...raw.matchAll(/_Ga=d,d=I,i=(\d+),q=2/g)];
  expect(removed.map(([, id]) => Number(id)).toSorted()).toEqual(ids.toSorted());
  expect(raw.lastIndexOf('\u001b[?1049l')).toBeGreaterThan(removed.at(-1)?.index ?? Infinity);
});

function placeholdersOn({ terminal }: ReturnType<typeof openScreen>) {
  const { active } = terminal.buffer;
  return Array.from({ length: terminal.rows * terminal.cols }, (_, i) =>
    active.getLine(Math.floor(i / terminal.cols))?.getCell(i % terminal.cols),
  ).flatMap((cell) => {
    const characters = [...(cell?.getChars() ?? '')];
    return characters[0] === '\u{10EEEE}' ? [{ characters, colour: cell?.getFgColor() }] : [];
  });
}

/** Every pane at every size that is promised, with texts that nobody would choose; and that the judge of it sees what is wrong. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { FoundPackage } from '../../src/compare/find-packages.ts';
import { RecipeError, RuntimeFailure } from '../../src/errors.ts';
import type { MadePackage } from '../../src/publish/make-package.ts';
import { planRecipe } from '../../src/publish/plan-recipe.ts';
import type { Publication } from '../../src/publish/preview.ts';
import { PANES } from '../../src/tui/layout.ts';
import type { Services } from '../../src/tui/services.ts';
import { createTerminal, readCells } from '../../tools/terminal/cells.ts';
import { brokenPackage, foundPackage, tileEvent } from './comparisons.ts';
import { layoutFaults } from './layout-faults.ts';
import { publicationOf } from './publications.ts';
import { checkEvents, GREEN_STEP, madePackage, RED_THEN_BLUE } from './reports.ts';
import { type ControlledStage, controlStage, KEYS, openScreen, type Screen } from './screen.ts';

async function faultsOf(lines: readonly string[]): Promise<readonly string[]> {
  const terminal = createTerminal({ cols: 12, rows: lines.length, convertEol: true });
  await new Promise<void>((done) => terminal.write(lines.join('\n'), done));
  return layoutFaults(readCells(terminal));
}

const GOOD = ['▸1 A 2 B', '┏━ A ┓╭─ B ╮', '┃ a  ┃│ 漢 │', '┗━━━━┛╰────╯', 'q quit'];

/** The good screen with one row of it changed. */
const bad = (row: number, text: string) => GOOD.map((line, i) => (i === row ? text : line));

describe('layoutFaults', () => {
  it('finds none where there are none', async () => {
    expect(await faultsOf(GOOD)).toEqual([]);
  });
  it('takes a picture for content', async () => {
    expect(await faultsOf(bad(2, '┃\u001b[41m  \u001b[49m  ┃│ 漢 │'))).toEqual([]);
  });
  it.each([
    [
      'a side that a long word has pushed away',
      bad(2, '┃ abcd│ b  │'),
      /"A" is broken in row 3, column 6: "d" instead of "┃"/,
    ],
    ['a side under a wide character', bad(2, '┃ a  ┃│ b 漢'), /"B" is broken in row 3, column 12: "" instead of "│"/],
    ['a corner that is not there', bad(1, '┏━ A ━╭─ B ╮'), /row 2, column 1, has no upper right corner/],
    ['a bottom that is not there', bad(3, '┗━━ ━┛╰────╯'), /"A" is broken in row 4, column 4: " " instead of "━"/],
    [
      'a gap between panes',
      ['▸1 A 2 B', '┏━ A ┓ ╭ B ╮', '┃ a  ┃ │ b │', '┗━━━━┛ ╰───╯', 'q quit'],
      /Row 2 has a gap before "B"/,
    ],
    [
      'columns that nobody has',
      ['▸1 A', '┏━ A ━━━┓', '┃ a     ┃', '┗━━━━━━━┛', 'q quit'],
      /row 2 end at column 9 of 12/,
    ],
    ['rows that nobody has', [...GOOD.slice(0, 4), '', 'q quit'], /row 5 end at column 0 of 12/],
    ['a pane without anything', bad(2, '┃    ┃│ b  │'), /"A" is empty/],
    [
      'no focus',
      ['1 A', '╭─ A ─────╮'.replace('──╮', '───╮'), '│ a        │', '╰──────────╯', 'q quit'],
      /these have it: none/,
    ],
    [
      'two that have the focus',
      ['1 A', '┏━ A ┓┏━ B ┓', '┃ a  ┃┃ b  ┃', '┗━━━━┛┗━━━━┛', 'q quit'],
      /these have it: "A", "B"/,
    ],
    ['no keys', [...GOOD.slice(0, 4), ''], /Row 5, the last one, holds no keys/],
    [
      'panes that reach into the last row',
      [...GOOD.slice(0, 3), '┃ a  ┃│ b  │', '┗━━━━┛╰────╯'],
      /Row 5, the last one, holds no keys/,
    ],
    ['no tabs', ['', ...GOOD.slice(1)], /Row 1 holds no tabs/],
    ['a value that was missing', bad(0, '▸1 undefined'), /Row 1 shows undefined/],
    ['half a sequence', bad(2, '┃[39m┃│ b  │'), /Row 3 shows \[39m/],
  ])('finds %s', async (_, lines, sentence) => {
    expect((await faultsOf(lines)).join('\n')).toMatch(sentence);
  });
});

const SIZES = [
  [40, 12],
  [60, 20],
  [80, 24],
  [120, 40],
  [160, 50],
  [250, 15],
  [250, 70],
] as const;

const LONG_PATH = `recipes/${'a-folder-of-a-long-name/'.repeat(9)}recipe.yaml`;
const RECIPES = [
  LONG_PATH,
  'recipes/墨絵と影絵のレシピ・その一.yaml',
  'recipes/👩‍🎨🖌️ ink é̀ 🇯🇵.yaml',
  ...Array.from({ length: 47 }, (_, i) => `recipes/${i}.yaml`),
];
/** A word that fits no line, wide ones, and joined ones. */
const LONG_TEXT = `${'x'.repeat(300)} ${'漢字仮名'.repeat(30)} ${'👩‍👩‍👧‍👦'.repeat(20)}`;

/** Rows of a line that is typed, with its label above and why it is refused below. */
const MAX_FOOT = 6;

/** Waits until the screen of this size is drawn and stands, then says what is wrong with it. */
async function settledFaults(screen: Screen, foot?: number): Promise<readonly string[]> {
  let faults: readonly string[] = [];
  for (let look = 0; look < 40; look++) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    faults = layoutFaults(readCells(screen.terminal), foot);
    if (faults.length === 0) return [];
  }
  return faults;
}

interface Scene {
  readonly plan?: Services['plan'];
  readonly compare?: Services['compare'];
  readonly packages?: readonly FoundPackage[];
  readonly survey?: Publication;
  /** Brings a screen that lists RECIPES there; `job` is what runs when one is made. */
  readonly prepare: (screen: Screen, job: ControlledStage<MadePackage>) => Promise<void>;
  /** What it shows would be gone with the next key: it is looked at as it is. */
  readonly keeps?: true;
  /** Looked at where there is little room, and once where there are two columns. */
  readonly some?: true;
}

const CHECKS = { [LONG_TEXT]: 'failed', frames: 'unknown', integrity: 'passed' } as const;

const FIGURES = [
  ['', 'PSNR', 'what differs'],
  ['a', '∞', LONG_TEXT],
  ['b', '12.3 dB', LONG_TEXT],
];

/** In Publish. */
async function typeTarget(screen: Screen): Promise<void> {
  screen.press('8', 't');
  await screen.shows('Folder, hf:// or oci:// to publish to');
  screen.press(`/${LONG_PATH}-there`);
  await screen.shows('-there');
  screen.press(KEYS.enter);
}

const SCENES: Readonly<Record<string, Scene>> = {
  'before anything is done': { prepare: async () => undefined },
  'with a recipe that is wrong': {
    // biome-ignore lint/correctness/useYield: it fails before there is anything to tell
    async *plan() {
      throw new RecipeError([LONG_TEXT, `${LONG_PATH}:1:1: ${LONG_TEXT}`]);
    },
    async prepare(screen) {
      screen.press(KEYS.enter);
      await screen.shows('✗');
    },
  },
  'in the middle of a job': {
    async prepare(screen, job) {
      screen.press('b');
      job.send(
        { type: 'stage-started', stage: 'bake', subject: LONG_TEXT },
        { type: 'progress', stage: 'bake', done: 1, total: 3, unit: 'bytes', detail: LONG_TEXT },
        { type: 'warning', stage: 'bake', message: LONG_TEXT },
        GREEN_STEP,
      );
      await screen.shows('33%');
    },
  },
  'with a line that is typed, refused with a long sentence': {
    some: true,
    async prepare(screen) {
      screen.press(KEYS.enter);
      await screen.shows('▸', 'name', '✓');
      screen.press('c');
      await screen.shows('Values to see side by side');
      screen.press('\u0015', `${'personalized[0].nothing=1,'.repeat(9)}漢字 `.repeat(3));
      await screen.shows('漢');
      screen.press(KEYS.enter);
      await screen.shows('✗');
    },
    keeps: true,
  },
  'with a label that is longer than the line': {
    some: true,
    async prepare(screen) {
      screen.press('r');
      await screen.shows('New name of');
      screen.press('漢字'.repeat(80));
      await screen.shows('漢');
      screen.press('\u0001');
    },
    keeps: true,
  },
  'with the palette open': {
    some: true,
    async prepare(screen) {
      screen.press(KEYS.enter, ':');
      await screen.shows('Commands', 'Command:');
    },
    keeps: true,
  },
  'with block weights open': {
    some: true,
    async prepare(screen) {
      screen.press(KEYS.enter);
      await screen.shows('▸ α ink');
      screen.press('j', 'j', 'j');
      await screen.shows('▸ blocks');
      screen.press(KEYS.enter, 'l', 'j');
      await screen.shows('▲');
    },
  },
  'with clips on the wall': {
    some: true,
    packages: [foundPackage(LONG_TEXT), foundPackage('out/墨絵'), brokenPackage(LONG_TEXT.replaceAll('x', 'y'))],
    async *compare() {
      yield { type: 'warning', stage: 'compare', message: LONG_TEXT };
      yield tileEvent(0, 2, LONG_TEXT);
      yield tileEvent(1, 2);
      return FIGURES;
    },
    async prepare(screen) {
      screen.press('7', ' ', 'j', ' ');
      await screen.shows('[2]');
      expect(await settledFaults(screen), 'choosing').toEqual([]);
      screen.press(KEYS.enter);
      await screen.shows('✓ Compared');
    },
  },
  'with a publication that is asked about': {
    some: true,
    packages: [foundPackage(LONG_PATH)],
    survey: publicationOf({ to: `/${LONG_PATH}` }),
    async prepare(screen) {
      await typeTarget(screen);
      await screen.shows('These are exactly');
      screen.press(KEYS.enter);
      await screen.shows('y publish it', 'n no');
    },
  },
  'with a publication that is refused': {
    some: true,
    packages: [foundPackage(LONG_PATH)],
    survey: publicationOf({ refusals: [{ kind: 'publish', message: LONG_TEXT }] }),
    async prepare(screen) {
      await typeTarget(screen);
      await screen.shows('not published');
    },
  },
  'with a notice of several lines': {
    some: true,
    async prepare(screen) {
      screen.press('d');
      await screen.shows('✗');
    },
    keeps: true,
  },
  'with a result that has not passed': {
    async prepare(screen, job) {
      screen.press('b');
      job.send(...checkEvents(CHECKS));
      job.finish(madePackage(`/${LONG_PATH}`, CHECKS, 'failed'));
      await screen.shows('✗');
    },
  },
};

describe.each(SIZES)('at %i×%i', (columns, rows) => {
  it.each(Object.entries(SCENES).filter(([, { some }]) => !some || columns <= 60 || columns === 120))(
    'every pane stands without faults %s',
    async (_, scene) => {
      const { plan, prepare, packages = [], survey = publicationOf(), keeps = false } = scene;
      const job = controlStage<MadePackage>();
      const services = {
        findRecipes: async () => RECIPES.map((file) => ({ file })),
        findPackages: async () => packages,
        read: async () => readFile('recipes/tiny.yaml', 'utf8'),
        duplicate: async () => {
          throw new RuntimeFailure(LONG_TEXT);
        },
        survey: async () => survey,
        // biome-ignore lint/correctness/useYield: nothing is told of it
        preview: async function* () {
          return survey;
        },
        ...(scene.compare && { compare: scene.compare }),
        plan:
          plan ??
          ((_: string, { signal }: { readonly signal: AbortSignal }) => planRecipe('recipes/tiny.yaml', { signal })),
        make: (_: string, signal: AbortSignal) => job.run(signal),
        readClip: async () => RED_THEN_BLUE,
      };
      const screen = openScreen({ columns, rows, services });
      await screen.shows('recipe.yaml');
      await prepare(screen, job);
      if (keeps) return expect(await settledFaults(screen, MAX_FOOT)).toEqual([]);
      for (const [i, pane] of PANES.entries()) {
        screen.press(String(i + 1));
        expect(await settledFaults(screen), pane).toEqual([]);
      }
      screen.press('?');
      expect(await settledFaults(screen), 'help').toEqual([]);
    },
  );
});

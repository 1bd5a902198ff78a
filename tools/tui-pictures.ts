/**
 * `npm run pictures` takes pictures of the terminal UI: the built program in a terminal, with the recipes and the tiny family that come with
 * it, led to each scene of the table by its keys. They go to docs/pictures. `npm run pictures -- NAME…` takes some of them.
 * Exit codes: 0 done, 2 there is no scene of that name, 69 there is neither tmux nor script from util-linux, 74 the folder of the scenes is taken.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { editRecipe } from '../src/recipe/edit.ts';
import { encodeAnimation } from './terminal/animation.ts';
import { textOf } from './terminal/cells.ts';
import type { Driver } from './terminal/driver.ts';
import { findDrivers, openSession, type Session } from './terminal/session.ts';
import { renderSvg } from './terminal/svg.ts';

const OUT = 'docs/pictures';
const PROGRAM = resolve('dist/cli.js');
/** Pictures show paths in it: it has the name that a person's folder would have, and is made anew. */
const FOLDER = join(tmpdir(), 'videos');
/** Seconds that a bake of the tiny family and its verification, or a sweep of nine clips, may take. */
const PATIENCE = 180;
/** Milliseconds between two looks at what moves: many in the eighth of a second that a frame lasts. */
const LOOK = 10;

const SMALL = [80, 24] as const;
const LARGE = [120, 40] as const;

interface Scene {
  readonly name: string;
  readonly description: string;
  readonly size: readonly [columns: number, rows: number];
  /** Recipes whose packages are there already. */
  readonly packages?: readonly (keyof typeof RECIPES)[];
  /** What to wait for, and the keys to press then; the picture is taken when the last keys have been answered. */
  readonly steps: readonly (readonly [shows: string | readonly string[], ...keys: readonly string[]])[];
  /** What the picture must show. */
  readonly until: string | readonly string[];
  /** Of a moving picture, how many frames its clips have. */
  readonly frames?: number;
}

/** α of the tiny recipe, and of another that is made of it. */
const RECIPES = { tiny: 0.8, 'tiny-soft': 0.4 } as const;

/** A recipe opens with the cursor on its first strength. */
const OPEN: Scene['steps'] = [
  ['recipes/animatelcm.yaml', 'G'],
  ['▸ recipes/tiny.yaml', 'Enter'],
];
const SWEEP: Scene['steps'] = [...OPEN, ['Plan ✓', 'w'], ['Two knobs', 'Enter']];

const SCENES: readonly Scene[] = [
  {
    name: 'recipe',
    description:
      'A recipe as a form: the strength of a LoRA turned to 0.95, its block weights open as bars, of which the first rise from 0.2 to 0.8.',
    size: SMALL,
    steps: [
      ...OPEN,
      ['Plan ✓', 'l', 'l', 'l', 'j', 'j', 'j', 'Enter'],
      ['IN00 1', ...[8, 6, 4, 2].flatMap((times) => [...Array<string>(times).fill('j'), 'l'])],
    ],
    until: ['● unsaved', '0.95', 'IN04 1', 'Plan ✓'],
  },
  {
    name: 'plan',
    description:
      'The plan of a recipe: the sum with its strengths, what is taken from which file, and what would be written.',
    size: SMALL,
    steps: [...OPEN, ['Plan ✓', '3']],
    until: '→ out/tiny',
  },
  {
    name: 'bake',
    description:
      'A job in the middle: the recipe and its plan to the left; to the right the last step of the run, the stages, and the checks so far.',
    size: LARGE,
    steps: [...OPEN, ['Plan ✓', 'b']],
    until: ['Run 4/4', '✓ accounting'],
  },
  {
    name: 'run',
    description:
      'The result moving, beside it device, times of loading, of each step and of decoding, and memory, against the budgets of the recipe.',
    size: SMALL,
    steps: [...OPEN, ['Plan ✓', 'b'], ['6 Gate ✓', '5']],
    until: ['▶ frame 7 of 16', 'denoise'],
  },
  {
    name: 'gate',
    description: 'The gate has been passed: every check with its reason.',
    size: SMALL,
    steps: [...OPEN, ['Plan ✓', 'b'], ['6 Gate ✓', '6']],
    until: ['Passed', '✓ run'],
  },
  {
    name: 'sweep',
    description:
      'Nine clips of one recipe, α from left to right and β from top to bottom, moving in step beside the recipe.',
    size: LARGE,
    steps: [...SWEEP, ['✓ Compared', 'l', 'j']],
    until: '▸α 0.8  β 1',
    frames: 8,
  },
  {
    name: 'compare',
    description: 'Two packages side by side, with the same prompt and seed, and their figures below.',
    size: LARGE,
    packages: ['tiny', 'tiny-soft'],
    steps: [
      ['▸ recipes/', '7', 'z'],
      ['out/tiny-soft', ' ', 'j', ' ', 'Enter'],
      ['✓ Compared', ' '],
    ],
    until: '‖ frame',
  },
  {
    name: 'publish',
    description:
      'Publishing asks: which package, how many files and bytes, to where; below, every file with its size and hash.',
    size: SMALL,
    packages: ['tiny'],
    steps: [
      ['▸ recipes/', '8'],
      ['There is no target', 't'],
      ['Folder to publish to', 'published', 'Enter'],
      ['Enter publishes', 'Enter'],
    ],
    until: 'y or Enter: yes',
  },
];

const [driver] = await findDrivers();
const names = process.argv.slice(2);
const unknown = names.filter((name) => !SCENES.some((scene) => scene.name === name));
if (unknown.length > 0)
  end(2, `There is no scene ${unknown.join(', ')}, only ${SCENES.map(({ name }) => name).join(', ')}.`);
else if (!driver) end(69, 'Pictures are taken of a terminal: install tmux, or script from util-linux.');
else {
  await mkdir(OUT, { recursive: true });
  for (const scene of SCENES) if (names.length === 0 || names.includes(scene.name)) await take(scene, driver);
}

/** A folder as somebody has it: recipes, models, and packages of some of the recipes. */
async function makeFolder(packages: readonly (keyof typeof RECIPES)[]): Promise<void> {
  await mkdir(FOLDER); // whose it is otherwise is not known
  await cp('recipes', join(FOLDER, 'recipes'), { recursive: true });
  await mkdir(join(FOLDER, 'models'));
  await symlink(resolve('models/tiny'), join(FOLDER, 'models/tiny'));
  const tiny = await readFile('recipes/tiny.yaml', 'utf8');
  for (const name of packages) {
    const recipe = join('recipes', `${name}.yaml`);
    const text = editRecipe(tiny, [
      { path: ['name'], value: name },
      { path: ['personalized', 0, 'alpha'], value: RECIPES[name] },
    ]);
    await writeFile(join(FOLDER, recipe), text);
    await promisify(execFile)(process.execPath, [PROGRAM, recipe, '--profile', 'quick', '--quiet'], { cwd: FOLDER });
  }
}

async function take(scene: Scene, driver: Driver): Promise<void> {
  const { name, size, packages = [], steps, until, frames } = scene;
  await makeFolder(packages).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') end(74, `${FOLDER} is there already; the scenes are played in it. Move it away.`);
    throw error;
  });
  try {
    const [columns, rows] = size;
    await using app = await openSession({ driver, argv: [process.execPath, PROGRAM], cwd: FOLDER, columns, rows });
    for (const [text, ...keys] of steps) {
      await app.shows(text, PATIENCE);
      await app.press(...keys);
    }
    await app.shows(until, PATIENCE);
    await save(name, frames === undefined ? [await draw(app, scene)] : await drawFrames(app, scene, frames));
  } finally {
    await rm(FOLDER, { recursive: true });
  }
}

async function draw(app: Session, { description }: Scene): Promise<string> {
  return renderSvg(await app.cells(), { title: 'lcm-merge', description });
}

/** One picture for each frame of the clips, taken as soon as it stands there. What a busy machine skipped is played again. @throws when frames stay out */
async function drawFrames(app: Session, { name, description }: Scene, count: number): Promise<readonly string[]> {
  const pictures = new Map<number, string>();
  const end = performance.now() + 1000 * PATIENCE;
  for (let before = Number.NaN; pictures.size < count; await setTimeout(LOOK)) {
    if (performance.now() > end) throw new Error(`${name}: only frames ${[...pictures.keys()]} of ${count} were seen.`);
    const cells = await app.cells();
    const [caption = '', number] = /▶ frame (\d+) of \d+(?:, \d+ skipped)?/.exec(textOf(cells)) ?? [];
    const frame = Number(number);
    if (caption.includes('skipped')) await app.press(' ', ' ');
    else if (before > 0 && frame > 0 && frame !== before)
      pictures.set(frame, renderSvg(cells, { title: 'lcm-merge', description }));
    before = frame;
  }
  return [...pictures].toSorted(([a], [b]) => a - b).map(([, picture]) => picture);
}

/** As SVG, and what moves as WebP. */
async function save(name: string, pictures: readonly string[]): Promise<void> {
  const [first = ''] = pictures;
  const isStill = pictures.length === 1;
  const picture = join(OUT, `${name}.${isStill ? 'svg' : 'webp'}`);
  const data = isStill ? Buffer.from(first) : await encodeAnimation(pictures);
  await writeFile(picture, data);
  console.log(`${picture}: ${Math.ceil(data.length / 1000)} kB`);
}

function end(exitCode: number, message: string): void {
  console.error(message);
  process.exitCode = exitCode;
}

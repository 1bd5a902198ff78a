/**
 * `npm run pictures` takes pictures of the terminal UI: the built program in a terminal, with the recipes and the tiny family that come with
 * it, led to each scene of the table by its keys. They go to docs/pictures. `npm run pictures -- NAME…` takes some of them.
 * Exit codes: 0 done, 2 there is no scene of that name, 69 there is neither tmux nor script from util-linux.
 */
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Driver } from './terminal/driver.ts';
import { findDrivers, openSession } from './terminal/session.ts';
import { renderSvg } from './terminal/svg.ts';

const OUT = 'docs/pictures';
const PROGRAM = resolve('dist/cli.js');
/** Seconds that a bake of the tiny family and its verification may take. */
const PATIENCE = 180;

interface Scene {
  readonly name: string;
  readonly description: string;
  readonly size: readonly [columns: number, rows: number];
  /** What to wait for, and the keys to press then. */
  readonly steps: readonly (readonly [shows: string, ...keys: readonly string[]])[];
}

const SCENES: readonly Scene[] = [
  {
    name: 'plan',
    description: 'The plan of a recipe: the sum with its strengths, and what is taken from which file.',
    size: [100, 24],
    steps: [['recipes/animatelcm.yaml', 'G'], ['▸ recipes/tiny.yaml', 'Enter'], ['→ out/tiny']],
  },
  {
    name: 'passed',
    description: 'All panes after a job: recipes, plan, stages, the moving result and every check with its reason.',
    size: [140, 44],
    steps: [['recipes/animatelcm.yaml', 'G'], ['▸ recipes/tiny.yaml', 'b'], ['5 Gate ✓', '4', ' ', '5'], ['‖ frame']],
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

/** A folder as somebody has it who begins: recipes, models, and nothing made yet. */
async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'lcm-merge-pictures-'));
  await cp('recipes', join(folder, 'recipes'), { recursive: true });
  await mkdir(join(folder, 'models'));
  await symlink(resolve('models/tiny'), join(folder, 'models/tiny'));
  return folder;
}

async function take({ name, description, size: [columns, rows], steps }: Scene, driver: Driver): Promise<void> {
  const cwd = await makeFolder();
  await using app = await openSession({ driver, argv: [process.execPath, PROGRAM], cwd, columns, rows });
  for (const [text, ...keys] of steps) {
    await app.shows(text, PATIENCE);
    await app.press(...keys);
  }
  const picture = join(OUT, `${name}.svg`);
  const svg = renderSvg(await app.cells(), { title: 'lcm-merge', description });
  await writeFile(picture, svg);
  console.log(`${picture}: ${Math.ceil(svg.length / 1000)} kB`);
  await rm(cwd, { recursive: true });
}

function end(exitCode: number, message: string): void {
  console.error(message);
  process.exitCode = exitCode;
}

/**
 * What a tile of a sweep costs beside the bake of its recipe, each followed by loading and one small clip: where the time goes, and how far
 * merging is from its limit, which is reading and writing the bytes of the weights that a knob touches.
 *
 *     node bench/sweep.ts [RECIPE] [--runs 3] [--x KNOB] [--y KNOB]
 */
import { mkdtempDisposable, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { drain } from '../src/events.ts';
import { bake } from '../src/export/package.ts';
import { openTensorFile } from '../src/formats/tensor-file.ts';
import { type Plan, type PlannedTensor, plan } from '../src/merge/plan.ts';
import { smallClip } from '../src/recipe/clip-shapes.ts';
import { loadRecipe } from '../src/recipe/load.ts';
import { openPackage } from '../src/runtime/package-folder.ts';
import { sample } from '../src/runtime/pipeline.ts';
import { defaultAxes, parseKnob } from '../src/sweep/axis.ts';
import { planGrid } from '../src/sweep/grid.ts';
import { type SweptTile, sweep } from '../src/sweep/sweep.ts';
import { describeLoad, describeMachine, formatHeader, formatRow, summarize } from './measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: 'string', default: '3' }, x: { type: 'string' }, y: { type: 'string' } },
});
const recipe = await loadRecipe(positionals[0] ?? 'recipes/tiny.yaml');
const asked = [values.x, values.y].flatMap((text) => (text === undefined ? [] : [parseKnob(text, recipe)]));
const [x, y] = asked.length > 0 ? asked : defaultAxes(recipe);
if (!x) throw new Error('--y wants --x.');
const clip = smallClip(recipe.output);
await using scratch = await mkdtempDisposable(join(tmpdir(), 'sweep-'));

/** The long way to one tile. */
interface Whole {
  readonly planning: number;
  readonly baking: number;
  readonly running: number;
}

async function wholeWay(): Promise<Whole> {
  const into = join(scratch.path, 'baked');
  await rm(into, { recursive: true, force: true });
  const started = performance.now();
  const planned = await plan({ ...recipe, output: { ...recipe.output, ...clip } });
  const baking = performance.now();
  await drain(bake(planned, { into }));
  const running = performance.now();
  const { prompt, negative, seed, prompt_weights: promptWeights } = recipe.verify;
  await drain(sample(await openPackage(into), { prompt, negative, seed, promptWeights, device: 'cpu' }));
  return { planning: baking - started, baking: running - baking, running: performance.now() - running };
}

/** What merging for a tile cannot do without: reading what its new weights are made of, and writing them. */
interface Traffic {
  readonly read: number;
  readonly written: number;
}

/** Bytes of what the weights of every tile but the first are made of that none before it has. */
async function bytesRead(plans: readonly Plan[]): Promise<number[]> {
  const known = new Set<string>();
  const made: number[] = [];
  for (const { tensors, files } of plans) {
    const fresh = Object.values(tensors)
      .flat()
      .filter((tensor) => !known.has(keyOf(tensor)));
    for (const tensor of fresh) known.add(keyOf(tensor));
    const read = new Map<string, number>();
    for (const [index, { path }] of files.entries()) {
      await using file = await openTensorFile(path);
      for (const { source, terms } of fresh) {
        for (const ref of [source, ...terms.flatMap(({ operands }) => Object.values(operands))]) {
          if (ref?.file === index) read.set(`${index} ${ref.tensor}`, file.tensors.get(ref.tensor)?.byteLength ?? 0);
        }
      }
    }
    made.push([...read.values()].reduce((sum, bytes) => sum + bytes, 0));
  }
  return made.slice(1);
}

function keyOf({ component, name, source, terms, gain }: PlannedTensor): string {
  return JSON.stringify([component, name, source, terms, gain]);
}

const PIECE = 8 << 20;

/** Milliseconds to read so many bytes of a file that the page cache holds and to write so many to another, without waiting for the disk. */
async function copyTime({ read, written }: Traffic): Promise<number> {
  const [from, to] = ['from', 'to'].map((name) => join(scratch.path, name)) as [string, string];
  const piece = new Uint8Array(PIECE);
  const pieces = (bytes: number) =>
    Array.from({ length: Math.ceil(bytes / PIECE) }, (_, i) => Math.min(PIECE, bytes - i * PIECE));
  await using source = await open(from, 'w+');
  for (const [i, length] of pieces(read).entries()) await source.write(piece, 0, length, i * PIECE);
  const started = performance.now();
  for (const [i, length] of pieces(read).entries()) await source.read(piece, 0, length, i * PIECE);
  await using copy = await open(to, 'w');
  for (const [i, length] of pieces(written).entries()) await copy.write(piece, 0, length, i * PIECE);
  return performance.now() - started;
}

const whole: Whole[] = [];
const tiles: SweptTile[] = [];
const loadBefore = describeLoad();
for (let run = 0; run < Number(values.runs); run += 1) {
  whole.push(await wholeWay());
  const options = { x, y, device: 'cpu', scratch: join(scratch.path, 'weights') } as const;
  const { figures } = await drain(sweep({ recipe }, options));
  tiles.push(...figures.tiles.filter(({ index }) => index !== 0)); // the first one merges everything
}

const row = (name: string, times: readonly number[], rest = '') => console.log(formatRow(name, summarize(times), rest));
const merged = summarize(tiles.map((tile) => tile.merged.bytes));
const grid = await drain(planGrid(recipe, 'cpu', { x, y }));
const read = summarize(await bytesRead(grid.tiles.map(({ plan }) => plan))).median;
const copying: number[] = [];
for (let run = 0; run < 5; run += 1) copying.push(await copyTime({ read, written: merged.median }));
console.log(
  `${recipe.name} at ${clip.frames} frames of ${clip.width}×${clip.height} on cpu. ${describeMachine()}, load ${loadBefore} before and ${describeLoad()} after.\n`,
);
console.log(formatHeader('ms'));
row(
  'plan',
  whole.map(({ planning }) => planning),
);
row(
  'bake',
  whole.map(({ baking }) => baking),
);
row(
  'load, sample',
  whole.map(({ running }) => running),
);
row(
  'the whole way',
  whole.map(({ planning, baking, running }) => planning + baking + running),
);
console.log(`\nA tile of ${x.values.length} × ${y?.values.length ?? 1}, the first left out:`);
row(
  'merge, write weights',
  tiles.map((tile) => tile.merged.merge_ms),
  `${(read / 1e6).toFixed(2)} MB read, ${(merged.median / 1e6).toFixed(2)} MB written`,
);
row('read and write alone', copying, 'as many bytes, from and to the page cache: the limit');
row(
  'make, write graph',
  tiles.map((tile) => tile.merged.graph_ms),
  'both while the tile before is loaded and sampled',
);
row(
  'load',
  tiles.map((tile) => tile.load_ms),
);
row(
  'sample',
  tiles.map((tile) => tile.denoise_ms + tile.decode_ms),
);
row(
  'in all',
  tiles.map((tile) => tile.milliseconds),
);

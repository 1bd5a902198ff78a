/**
 * How near a bake comes to its limits, copying the same bytes to the same disk and hashing what it reads and writes, and how far it
 * is from what diffusers needs to load, fuse and save the same.
 *
 *     node bench/full-size.ts out/full && node bench/bake.ts out/full/recipe.yaml --python python --runs 3
 *     node bench/bake.ts [RECIPE] [--runs 5] [--dir out] [--python PYTHON]
 */
import { execFile, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtempDisposable, open, readdir, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { plan } from '../src/merge/plan.ts';
import { loadRecipe } from '../src/recipe/load.ts';
import type { Part, Repetition } from './bake-once.ts';
import {
  describeLoad,
  describeMachine,
  formatHeader,
  formatRatio,
  formatRow,
  summarize,
  takeTurns,
} from './measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '5' },
    dir: { type: 'string', default: 'out' },
    python: { type: 'string' },
  },
});
const recipe = positionals[0] ?? 'recipes/tiny.yaml';
await mkdir(values.dir, { recursive: true });
await using scratch = await mkdtempDisposable(join(values.dir, 'bake-'));
const [baked, copy, fused] = ['baked', 'copied', 'fused'].map((name) => join(scratch.path, name)) as [
  string,
  string,
  string,
];
/** Of every counted and uncounted repetition. */
const repetitions: Record<'bake' | 'diffusers', Repetition[]> = { bake: [], diffusers: [] };
let written = 0;
const run = promisify(execFile);

const totalBytes = (files: readonly { readonly bytes: number }[]) =>
  files.reduce((bytes, file) => bytes + file.bytes, 0);

async function runPart(part: Part): Promise<number> {
  const child = fork(new URL('./bake-once.ts', import.meta.url), [part, recipe, baked]);
  const [reply] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [Repetition | number];
  if (typeof reply !== 'object') throw new Error(`The ${part} of ${recipe} ended with exit code ${reply}.`);
  if (part === 'bake') repetitions.bake.push(reply);
  return reply.milliseconds;
}

/** Files of a folder at any depth, with their sizes. */
async function listFiles(folder: string): Promise<{ path: string; bytes: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}

const CHUNK = 1 << 20;

/** What `cp` and `sync` do. (A file system that clones files instead is no measure: take another disk.) */
async function copyFolder(): Promise<number> {
  await rm(copy, { recursive: true, force: true });
  written = totalBytes(await listFiles(baked));
  const started = performance.now();
  await run('cp', ['-R', baked, copy]);
  for (const { path } of await listFiles(copy)) {
    await using file = await open(path, 'r+');
    await file.sync();
  }
  const milliseconds = performance.now() - started;
  await rm(copy, { recursive: true, force: true });
  return milliseconds;
}

async function runDiffusers(python: string): Promise<number> {
  const script = fileURLToPath(new URL('./bake_diffusers.py', import.meta.url));
  const { stdout } = await run(python, [script, recipe, fused]);
  await rm(fused, { recursive: true, force: true });
  const repetition = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Repetition;
  repetitions.diffusers.push(repetition);
  return repetition.milliseconds;
}

/** SHA-256 of the inputs and of the package, which the lock file holds. */
async function hashAll(): Promise<number> {
  const started = performance.now();
  for (const path of [...inputs.map((file) => file.path), ...(await listFiles(baked)).map((file) => file.path)]) {
    await pipeline(createReadStream(path, { highWaterMark: CHUNK }), createHash('sha256'));
  }
  return performance.now() - started;
}

const planned = await plan(await loadRecipe(recipe));
const inputs = planned.files;
const contenders = [
  { name: 'bake', run: () => runPart('bake') },
  { name: 'copy + fsync', run: copyFolder },
  ...(values.python === undefined
    ? []
    : [{ name: 'diffusers load, fuse, save', run: () => runDiffusers(values.python as string) }]),
  { name: 'SHA-256 of inputs, outputs', run: hashAll },
  // what comes before writing; last, as they leave no package behind
  { name: 'plan', run: () => runPart('plan') },
  { name: 'plan, read', run: () => runPart('read') },
  { name: 'plan, read, merge', run: () => runPart('merge') },
];
const loadBefore = describeLoad();
const times = await takeTurns(contenders, Number(values.runs));

const timesOf = (name: string) => times[contenders.findIndex((contender) => contender.name.startsWith(name))] ?? [];
const bake = timesOf('bake');
const rate = (bytes: number, milliseconds: number) => `${((bytes / milliseconds) * 1e-3).toFixed(0)} MB/s`;
console.log(
  `${recipe}: ${(totalBytes(inputs) / 1e6).toFixed(0)} MB in, ${(written / 1e6).toFixed(0)} MB out, page cache warm, ${values.runs} rounds`,
);
console.log(`${describeMachine()}, load ${loadBefore} before and ${describeLoad()} after`);
console.log(formatHeader('milliseconds'));
for (const [i, { name }] of contenders.entries()) {
  const summary = summarize(times[i] as number[]);
  console.log(formatRow(name, summary, i < 2 ? `${rate(written, summary.median)} written` : ''));
}
console.log(formatRatio('bake : copy + fsync', bake, timesOf('copy')));
if (values.python !== undefined) console.log(formatRatio('bake : diffusers', bake, timesOf('diffusers')));
for (const [name, all] of Object.entries(repetitions)) {
  if (all.length === 0) continue;
  const busy = summarize(all.map(({ cpu, milliseconds }) => cpu / milliseconds)).median;
  console.log(
    `${name}: peak memory ${(Math.max(...all.map(({ peak }) => peak)) / 2 ** 20).toFixed(0)} MiB, ` +
      `${(summarize(all.map(({ cpu }) => cpu)).median / 1e3).toFixed(1)} s of CPU, ${busy.toFixed(2)} of ${availableParallelism()} cores busy`,
  );
}

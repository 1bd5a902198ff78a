/**
 * How near a bake comes to its limits: copying the same bytes to the same disk, and hashing what it reads and writes.
 *
 *     node bench/bake.ts [RECIPE] [--runs 5] [--dir out]
 */
import { fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtempDisposable, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
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
  options: { runs: { type: 'string', default: '5' }, dir: { type: 'string', default: 'out' } },
});
const recipe = positionals[0] ?? 'recipes/tiny.yaml';
await mkdir(values.dir, { recursive: true });
await using scratch = await mkdtempDisposable(join(values.dir, 'bake-'));
const [baked, copy] = [join(scratch.path, 'baked'), join(scratch.path, 'copied')];
const peaks: number[] = [];
let written = 0;

const totalBytes = (files: readonly { readonly bytes: number }[]) =>
  files.reduce((bytes, file) => bytes + file.bytes, 0);

async function runPart(part: Part): Promise<number> {
  const child = fork(new URL('./bake-once.ts', import.meta.url), [part, recipe, baked]);
  const [reply] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [Repetition | number];
  if (typeof reply !== 'object') throw new Error(`The ${part} of ${recipe} ended with exit code ${reply}.`);
  if (part === 'bake') peaks.push(reply.peak);
  return reply.milliseconds;
}

/** Files of a folder at any depth, with their sizes. */
async function listFiles(folder: string): Promise<{ path: string; bytes: number }[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(paths.map(async (path) => ({ path, bytes: (await stat(path)).size })));
}

const CHUNK = 1 << 20;

/** Reads and writes every byte and syncs each file, as a bake does; a file system's own cloning would move none. */
async function copyFolder(): Promise<number> {
  await rm(copy, { recursive: true, force: true });
  const files = await listFiles(baked);
  written = totalBytes(files);
  const started = performance.now();
  for (const { path } of files) {
    const target = join(copy, path.slice(baked.length));
    await mkdir(dirname(target), { recursive: true });
    await pipeline(createReadStream(path, { highWaterMark: CHUNK }), createWriteStream(target, { flush: true }));
  }
  return performance.now() - started;
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
  { name: 'SHA-256 of inputs, outputs', run: hashAll },
  // what comes before writing; last, as they leave no package behind
  { name: 'plan', run: () => runPart('plan') },
  { name: 'plan, read', run: () => runPart('read') },
  { name: 'plan, read, merge', run: () => runPart('merge') },
];
const loadBefore = describeLoad();
const times = await takeTurns(contenders, Number(values.runs));

const [bake, copied] = times as [number[], number[]];
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
console.log(formatRatio('bake : copy + fsync', bake, copied));
console.log(`peak memory of the baking process ${(Math.max(...peaks) / 2 ** 20).toFixed(0)} MiB`);

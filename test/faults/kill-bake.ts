/**
 * Kills bakes at random moments and looks at what is left: the older package or the new one, whole, and nothing else once the next
 * process has come by. Takes a second or two per kill, so it is no part of the test suite.
 *
 *     node test/faults/kill-bake.ts [--times 100] [--dir out/kill]
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, watch, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openStaging } from '../../src/export/staging.ts';
import { completePackage } from '../helpers/complete.ts';

const { values } = parseArgs({
  options: { times: { type: 'string', default: '100' }, dir: { type: 'string', default: 'out/kill' } },
});
const parent = resolve(values.dir);
const out = join(parent, 'package');
await rm(parent, { recursive: true, force: true });
await mkdir(parent, { recursive: true });

/** Two recipes, so that the older package and the new one differ. */
const names = ['even', 'odd'] as const;
const tiny = await readFile('recipes/tiny.yaml', 'utf8');
for (const name of names) {
  const recipe = tiny.replace(/^name: .*$/m, `name: ${name}`).replaceAll('../models', resolve('models'));
  await writeFile(join(parent, `${name}.yaml`), recipe);
}

/** Starts a bake; `stop` says when to kill it. Resolves when it has ended, one way or the other. */
async function bake(name: string, stop?: (ended: AbortSignal) => Promise<unknown>): Promise<boolean> {
  const child = spawn(process.execPath, ['src/cli.ts', 'bake', join(parent, `${name}.yaml`), '-o', out, '--quiet'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ended = new AbortController();
  const exit = once(child, 'exit').finally(() => ended.abort());
  await stop?.(ended.signal).catch(() => undefined);
  const killed = stop !== undefined && child.kill('SIGKILL');
  await exit;
  return killed;
}

/** When the older package has been moved aside. */
async function commitBegins(signal: AbortSignal): Promise<void> {
  for await (const { filename } of watch(parent, { signal })) if (filename?.endsWith('.replaced')) return;
}

/** Of the quickest bake so far: what is killed later has most likely ended. */
let duration = Number.POSITIVE_INFINITY;
async function timed(work: Promise<boolean>): Promise<boolean> {
  const started = performance.now();
  const killed = await work;
  if (!killed) duration = Math.min(duration, performance.now() - started);
  return killed;
}

await timed(bake('even'));
const counts = { 'ended before': 0, 'older package': 0, 'new package': 0, 'between the two moves': 0 };
let older = 'even';
for (let i = 1; i <= Number(values.times); i += 1) {
  const name = names[i % 2] as string;
  // every fourth is aimed at the moment at which the packages change places
  const stop =
    i % 4 === 0 ? commitBegins : (signal: AbortSignal) => sleep(Math.random() * duration, undefined, { signal });
  const killed = await timed(bake(name, stop));
  const found = await completePackage(out);
  if (!killed) counts['ended before'] += 1;
  else if (!found) counts['between the two moves'] += 1;
  else counts[found.name === older ? 'older package' : 'new package'] += 1;
  await (await openStaging(out))[Symbol.asyncDispose](); // what the next process does first
  const after = await completePackage(out);
  if (!after || ![older, name].includes(after.name))
    throw new Error(`After kill ${i} there is ${after?.name ?? 'nothing'}.`);
  const left = (await readdir(parent)).filter((file) => !file.endsWith('.yaml') && file !== 'package');
  if (left.length > 0) throw new Error(`After kill ${i} and a new start ${left} is left over.`);
  older = after.name;
}
console.log(`${values.times} bakes, a whole package after each:`, counts);
await rm(parent, { recursive: true, force: true });

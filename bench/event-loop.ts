/**
 * How long the process that draws the screen is kept waiting while a package is made: in its own thread, and in a process of its own
 * (src/remote/). Every 10 ms the event loop should turn; what is shown is by how much it was late.
 *
 *     node bench/event-loop.ts [RECIPE] [--bake-only] [--dir out]
 */
import { mkdir, mkdtempDisposable } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { drain, type Stage } from '../src/events.ts';
import { makePackage } from '../src/publish/make-package.ts';
import { planRecipe } from '../src/publish/plan-recipe.ts';
import { openStages } from '../src/remote/stages.ts';
import { describeLoad, describeMachine } from './measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string', default: 'out' }, 'bake-only': { type: 'boolean', default: false } },
});
const recipe = positionals[0] ?? 'recipes/tiny.yaml';
await mkdir(values.dir, { recursive: true });
await using scratch = await mkdtempDisposable(join(values.dir, 'event-loop-'));
await using remote = openStages();
const { signal } = new AbortController();

/** Milliseconds between two looks, as of monitorEventLoopDelay. */
const RESOLUTION = 10;

async function late(name: string, stage: () => Stage<unknown>): Promise<void> {
  await sleep(300);
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION });
  const started = performance.now();
  let events = 0;
  delay.enable();
  for await (const event of stage()) {
    events += 1;
    if (values['bake-only'] && event.type === 'stage-finished' && event.stage === 'bake') break;
    await new Promise(setImmediate); // as the store does
  }
  delay.disable();
  const seconds = (performance.now() - started) / 1000;
  const milliseconds = (nanoseconds: number) =>
    Math.max(0, nanoseconds / 1e6 - RESOLUTION)
      .toFixed(1)
      .padStart(8);
  const figures = [delay.percentile(50), delay.percentile(99), delay.max].map(milliseconds).join('');
  console.log(`${name.padEnd(32)}${figures}   ${seconds.toFixed(1)} s, ${events} events`);
}

const options = (out: string) => ({ out: join(scratch.path, out), profile: 'quick', signal }) as const;
console.log(`${recipe}: ${describeMachine()}, load ${describeLoad()}`);
console.log(
  `${'milliseconds late'.padEnd(32)}${['median', '99 %', 'most'].map((title) => title.padStart(8)).join('')}`,
);
const plan = await drain(planRecipe(recipe, { signal })); // what is imported for the first time is not counted
await drain(remote.stages.plan(recipe, { signal }));
await late('plan, here', () => planRecipe(recipe, { signal }));
await late('plan, process of its own', () => remote.stages.plan(recipe, { signal }));
await late('make, here', () => makePackage(plan, options('here')));
await late('make, process of its own', () => remote.stages.makePackage(plan, options('there')));

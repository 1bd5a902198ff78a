/**
 * LCM sampling of a package's UNet on the CPU, fp16 and fp32 packages, against diffusers in float32 with the same merged
 * weights, noise and sampler. Text encoder, VAE, loading and a first run are left out on both sides.
 *
 *     node bench/sampling.ts [RECIPE] [--python PYTHON] [--runs 7] [--dir out]
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtempDisposable } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { samplerConfig } from '../src/architecture/sampler-config.ts';
import { drain } from '../src/events.ts';
import { bake } from '../src/export/package.ts';
import { plan } from '../src/merge/plan.ts';
import { loadRecipe } from '../src/recipe/load.ts';
import { startHost } from '../src/runtime/host.ts';
import { createGenerator } from '../src/runtime/noise.ts';
import { type GraphFile, graphFor, openPackage } from '../src/runtime/package-folder.ts';
import { relativeRms } from '../src/runtime/relative-rms.ts';
import { createScheduler } from '../src/runtime/schedulers/index.ts';
import {
  type Contender,
  describeLoad,
  describeMachine,
  formatHeader,
  formatRatio,
  formatRow,
  summarize,
  takeTurns,
} from './measure.ts';

/** Someone who samples the recipe's clip again and again. */
interface Sampler extends Contender, AsyncDisposable {
  /** Of the last run. */
  readonly latents: () => Promise<ArrayLike<number>>;
  readonly peak?: () => Promise<number>;
}

interface DiffusersSampler extends Sampler {
  readonly about: { torch: string; diffusers: string; threads: number; matrix_rate: number; flops_per_step: number };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: 'string' },
    runs: { type: 'string', default: '7' },
    dir: { type: 'string', default: 'out' },
  },
});
const recipePath = positionals[0] ?? 'recipes/tiny.yaml';
const recipe = await loadRecipe(recipePath);
const { frames, height, width } = recipe.output;
const { steps } = recipe.sampler;

await mkdir(values.dir, { recursive: true });
await using scratch = await mkdtempDisposable(join(values.dir, 'sampling-'));

/** Seeds of the text states and of the noise, the same as in sampling_diffusers.py. */
const [STATES_SEED, NOISE_SEED] = [1, 0];

async function openOurs(dtype: 'fp16' | 'fp32'): Promise<Sampler> {
  await using stack = new AsyncDisposableStack();
  const planned = await plan({ ...recipe, output: { ...recipe.output, dtype } });
  const folder = join(scratch.path, dtype);
  await mkdir(folder);
  await drain(bake(planned, { into: folder }));
  const pkg = await openPackage(folder);
  const host = stack.use(startHost());
  const unet = stack.use(await host.load((graphFor(pkg.graphs.unet, 'cpu') as GraphFile).path, 'cpu'));
  const states = { dims: [1, planned.text_encoder.max_position_embeddings, planned.text_encoder.hidden_size] };
  const shape = [1, 4, frames, height / 8, width / 8];
  const count = (dims: readonly number[]) => dims.reduce((n, dim) => n * dim, 1);
  const encoder_hidden_states = {
    type: 'float32',
    ...states,
    data: createGenerator(STATES_SEED).randn(count(states.dims)),
  } as const;
  let latents: Float32Array = new Float32Array();
  const opened = stack.move();
  return {
    name: `lcm-merge ${dtype}`,
    async run() {
      const started = performance.now();
      const scheduler = createScheduler(samplerConfig(pkg.scheduler), steps);
      const generator = createGenerator(NOISE_SEED);
      latents = generator.randn(count(shape));
      for (const [i, timestep] of scheduler.timesteps.entries()) {
        const { outputs } = await unet.run({
          sample: { type: 'float32', dims: shape, data: latents },
          timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(timestep)) },
          encoder_hidden_states,
        });
        const noise = outputs['out_sample']?.data as Float32Array;
        latents = scheduler.step(noise, i, latents, () => generator.randn(latents.length)).prevSample;
      }
      return performance.now() - started;
    },
    latents: async () => latents,
    peak: () => host.peakBytes(),
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function openDiffusers(python: string): Promise<DiffusersSampler> {
  const script = fileURLToPath(new URL('./sampling_diffusers.py', import.meta.url));
  const child = spawn(python, [script, recipePath], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${python} ${script} ended without an answer; what it needs is in its docstring.`);
    return JSON.parse(value);
  };
  const ask = (line: string) => {
    child.stdin.write(`${line}\n`);
    return answer();
  };
  return {
    name: 'diffusers fp32',
    about: await answer(),
    run: async () => (await ask('run')).milliseconds,
    latents: async () => (await ask('latents')).latents,
    [Symbol.asyncDispose]: async () => {
      child.kill();
    },
  };
}

await using stack = new AsyncDisposableStack();
const diffusers = values.python === undefined ? undefined : stack.use(await openDiffusers(values.python));
const ours = [stack.use(await openOurs('fp16')), stack.use(await openOurs('fp32'))];
const samplers: Sampler[] = diffusers ? [...ours, diffusers] : ours;
const loadBefore = describeLoad();
const times = await takeTurns(samplers, Number(values.runs));

console.log(`${recipePath}: ${steps} steps of ${frames} frames, ${width}×${height}, ${values.runs} rounds`);
console.log(`${describeMachine()}, load ${loadBefore} before and ${describeLoad()} after`);
if (diffusers) {
  const { torch, threads, matrix_rate, flops_per_step } = diffusers.about;
  const limit = ((steps * flops_per_step) / matrix_rate) * 1000;
  console.log(`diffusers ${diffusers.about.diffusers}, PyTorch ${torch}, ${threads} threads`);
  console.log(
    `limit ${limit.toFixed(limit < 10 ? 2 : 0)} ms: ${((steps * flops_per_step) / 1e9).toFixed(1)} GFLOP at ${(matrix_rate / 1e9).toFixed(0)} GFLOP/s, ` +
      "which PyTorch's 2048² float32 matrix product reaches",
  );
} else {
  console.log('Without --python there is nothing to compare with: these are our times alone.');
}
console.log(formatHeader('milliseconds'));
const reference = await diffusers?.latents();
for (const [i, sampler] of samplers.entries()) {
  const notes = [
    ...(sampler.peak ? [`peak ${((await sampler.peak()) / 2 ** 20).toFixed(0)} MiB`] : []),
    ...(sampler.peak && reference
      ? [`latents off by ${relativeRms(await sampler.latents(), reference).toExponential(1)}`]
      : []),
  ];
  console.log(formatRow(sampler.name, summarize(times[i] as number[]), notes.join(', ')));
}
if (diffusers) {
  const theirs = times.at(-1) as number[];
  for (const [i, { name }] of ours.entries()) {
    console.log(formatRatio(`${name} : diffusers`, times[i] as number[], theirs));
  }
}

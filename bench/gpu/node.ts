/**
 * LCM steps through lcm-merge's own runtime, on the graphs and weights of bench/gpu: the Node side of run.py.
 *
 *     node bench/gpu/node.ts [out/gpu/full] [--device cuda] [--steps 4] [--runs 10] [--latents FILE]
 *
 * Sampler, messages to the child process and the copies to and from the device are included; loading and a first run are not. `--latents`
 * writes the final latents, float32, which run.py --node-latents holds against its own: noise and states have the same seeds.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { assertOffered, DEVICES, type Device } from '../../src/runtime/device.ts';
import { startHost } from '../../src/runtime/host.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { createLcmScheduler } from '../../src/runtime/schedulers/lcm.ts';
import { describeMachine, formatHeader, formatRow, summarize } from '../measure.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cuda' },
    steps: { type: 'string', default: '4' },
    runs: { type: 'string', default: '10' },
    latents: { type: 'string' },
  },
});
const folder = positionals[0] ?? 'out/gpu/full';
const wanted = DEVICES.find((name) => name === values.device);
if (!wanted) throw new RangeError(`--device is one of ${DEVICES.join(', ')}, not ${values.device}.`);
const device: Device = wanted;
assertOffered(device);
/** The CPU has no kernels for the CUDA graph. */
const file = join(folder, device === 'cuda' ? 'model.cuda.onnx' : 'model.cpu.onnx');
const size = JSON.parse(await readFile(join(folder, 'size.json'), 'utf8'));

/** AnimateLCM's, as in run.py. */
const SCHEDULER = {
  kind: 'lcm',
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'linear',
  num_train_timesteps: 1000,
  original_inference_steps: 50,
  timestep_scaling: 10,
  timestep_spacing: 'leading',
  steps_offset: 0,
  set_alpha_to_one: true,
  prediction_type: 'epsilon',
} as const;

const [NOISE_SEED, STATES_SEED] = [0, 1];
const dims: number[] = [size.batch, size.config.in_channels, size.frames, size.height, size.width];
const stateDims: number[] = [size.batch, size.tokens, size.config.cross_attention_dim];
const count = (shape: readonly number[]) => shape.reduce((n, dim) => n * dim, 1);

await using host = startHost();
const opened = performance.now();
await using unet = await host.load(file, device);
const loadSeconds = (performance.now() - opened) / 1000;
const encoder_hidden_states = {
  type: 'float32',
  dims: stateDims,
  data: createGenerator(STATES_SEED).randn(count(stateDims)),
} as const;

let latents = new Float32Array();
async function sample(): Promise<number> {
  const scheduler = createLcmScheduler(SCHEDULER, Number(values.steps));
  const generator = createGenerator(NOISE_SEED);
  let x: Float32Array = generator.randn(count(dims));
  const noises = scheduler.timesteps.slice(1).map(() => generator.randn(count(dims)));
  const started = performance.now();
  for (const [i, timestep] of scheduler.timesteps.entries()) {
    const { outputs } = await unet.run({
      sample: { type: 'float32', dims, data: x },
      timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(timestep)) },
      encoder_hidden_states,
    });
    const noise = outputs['out_sample']?.data as Float32Array;
    x = scheduler.step(noise, i, x, () => noises[i] as Float32Array).prevSample;
  }
  const milliseconds = performance.now() - started;
  latents = Float32Array.from(x);
  return milliseconds;
}

await sample();
const times: number[] = [];
for (let i = 0; i < Number(values.runs); i += 1) times.push(await sample());
console.log(`${file} on ${device}: ${values.steps} steps, ${values.runs} runs, loaded in ${loadSeconds.toFixed(1)} s`);
console.log(describeMachine());
console.log(formatHeader('ms'));
console.log(formatRow('lcm-merge', summarize(times)));
if (values.latents) await writeFile(values.latents, new Uint8Array(latents.buffer));

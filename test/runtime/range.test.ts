import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { bake } from '../../src/export/package.ts';
import { plan } from '../../src/merge/plan.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { type HostTensor, startHost } from '../../src/runtime/host.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

interface Seeded {
  readonly seed: number;
  readonly shape: readonly number[];
}

/** Made by `python test/oracle/range.py`. */
interface Golden {
  readonly timestep: number;
  readonly stride: number;
  /** Modules whose weight and bias are multiplied: all that is added to the residual stream comes from one of them. */
  readonly ends: readonly string[];
  readonly sample: Seeded;
  readonly encoder_hidden_states: Seeded;
  readonly cases: Readonly<Record<string, RangeCase>>;
}

interface RangeCase {
  readonly sample_factor: number;
  readonly weights_factor: number;
  /** Relative RMS error of diffusers in float16, which is finite. */
  readonly half: number;
  /** Every `stride`-th element of what diffusers computes in float32. */
  readonly values: readonly number[];
}

const golden = JSON.parse(await readFile('test/golden/range.json', 'utf8')) as Golden;

/** What our float16 may lose, as a multiple of what diffusers' loses. */
const LIMIT = 2;

async function bakeEnlarged(factor: number): Promise<string> {
  const { folder } = await drain(
    bake(await plan(tinyRecipe({ output: { frames: golden.sample.shape[2] } })), { into: await temporaryFolder() }),
  );
  const path = join(folder, 'unet', 'model.onnx_data');
  const data = new Uint8Array(await readFile(path));
  let enlarged = 0;
  for (const { name, external } of (await readModelInfo(join(folder, 'unet', 'model.onnx'))).initializers) {
    const module = name.replace(/\.(weight|bias)$/, '');
    if (!external || !golden.ends.some((end) => module.endsWith(end))) continue;
    const weight = new Float16Array(data.buffer, external.offset, external.length / 2);
    for (const [i, value] of weight.entries()) weight[i] = value * factor;
    enlarged += 1;
  }
  // weight and bias of 22 resnets, and of four layers in each of 16 spatial and 21 temporal transformers
  expect(enlarged).toBe(2 * (22 + 4 * (16 + 21)));
  await writeFile(path, data);
  return join(folder, 'unet');
}

function randn({ seed, shape }: Seeded, factor = 1): HostTensor {
  const data = createGenerator(seed).randn(shape.reduce((n, dim) => n * dim, 1));
  return { type: 'float32', dims: shape, data: data.map((x) => x * factor) };
}

describe('activations a hundred times larger than usual, where diffusers stays finite in float16', () => {
  const folders: Record<number, string> = {};

  beforeAll(async () => {
    for (const factor of new Set(Object.values(golden.cases).map((c) => c.weights_factor)))
      folders[factor] = await bakeEnlarged(factor);
  });

  it.each(
    Object.keys(golden.cases).flatMap((name) =>
      ['model.onnx', 'model.cpu.onnx'].map((graph) => [name, graph] as const),
    ),
  )('%s: %s computes what diffusers computes', async (name, graph) => {
    const { sample_factor, weights_factor, half, values } = golden.cases[name] as RangeCase;
    await using host = startHost();
    await using unet = await host.load(join(folders[weights_factor] as string, graph), 'cpu');
    const { outputs } = await unet.run({
      sample: randn(golden.sample, sample_factor),
      timestep: { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(golden.timestep)) },
      encoder_hidden_states: randn(golden.encoder_hidden_states),
    });
    const data = outputs['out_sample']?.data as Float32Array;
    expect(data.every(Number.isFinite)).toBe(true);
    const kept = data.filter((_, at) => at % golden.stride === 0);
    expect(relativeRms(kept, Float32Array.from(values))).toBeLessThan(LIMIT * half);
  });
});

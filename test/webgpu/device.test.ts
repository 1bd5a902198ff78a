/**
 * The graphs for WebGPU on a WebGPU device, where one answers: a graphics card, or Vulkan on the CPU (docs/devices.md says how).
 * `npm run test:webgpu` runs these alone. Software compiles each shader for seconds: patience is minutes.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { clipTextGraph } from '../../src/export/clip-text.ts';
import { bake } from '../../src/export/package.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import type { FloatType, Target } from '../../src/export/targets/target.ts';
import { unetMotionGraph } from '../../src/export/unet-motion.ts';
import { vaeDecoderGraph } from '../../src/export/vae.ts';
import { plan } from '../../src/merge/plan.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { attentionFault } from '../../src/runtime/attention-probe.ts';
import type { Device } from '../../src/runtime/device.ts';
import { targetFor } from '../../src/runtime/graph-target.ts';
import { type HostTensor, startHost } from '../../src/runtime/host.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { probeDevice } from '../../src/runtime/probe.ts';
import { writeFamily } from '../helpers/family.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { withRandomWeights } from '../helpers/random-weights.ts';
import type { Numbers } from '../helpers/sessions.ts';
import { feedsFor, SMALL_MODELS, UNETS } from '../helpers/small-models.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

vi.mock('../../src/runtime/graph-target.ts', { spy: true });

const absent = await probeDevice('webgpu').then(
  () => undefined,
  (error: unknown) => {
    if (error instanceof UnavailableError) return error.reason;
    throw error;
  },
);
if (absent !== undefined) console.warn(`The tests on a WebGPU device are skipped. ${absent}`);

/** Of one test; with a graphics card it is seconds. */
const PATIENCE = 20 * 60_000;

/**
 * ‖error‖ / ‖value‖ against the portable graph on the CPU. In fp16 the device adds up in fp16, too: a convolution of 1280 channels alone
 * is 1.6e-2 away (onnx.md §0), these small ones less.
 */
const LIMIT: Record<FloatType, number> = { float32: 1e-5, float16: 1e-2 };

/** One frame of 4×4 latents: fewer than 32 queries everywhere, whose kernel is sound on every driver. */
const LENGTHS = { batch: 1, frames: 1, height: 4, width: 4 };

const MODELS = {
  'text encoder': (target: Target, type: FloatType) =>
    clipTextGraph(SMALL_MODELS.text_encoder, { target, type, batch: 1 }),
  'VAE decoder': (target: Target, type: FloatType) =>
    vaeDecoderGraph(SMALL_MODELS.vae, { target, type, images: 1, height: 2, width: 2 }),
  UNet: (target: Target, type: FloatType) =>
    unetMotionGraph(UNETS['heads of 8 and 12'], {
      ...LENGTHS,
      target,
      type,
      tokens: 7,
      motionNorm: 'per-frame',
      positions: 8,
    }),
} as const;

const hosted = (feeds: Readonly<Record<string, Numbers>>): Record<string, HostTensor> =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, { type, shape, data }]) => [
      name,
      type === 'int64'
        ? { type, dims: shape, data: BigInt64Array.from(data, BigInt) }
        : { type, dims: shape, data: Float32Array.from(data) },
    ]),
  );

async function answer(graph: Graph, device: Device): Promise<Float32Array> {
  await using host = startHost();
  const model = serializeModel(withRandomWeights(graph), { producerVersion: 'test' });
  const session = await host.load(model, device, { wholly: device !== 'cpu' });
  const { outputs } = await session.run(hosted(feedsFor(graph, LENGTHS)));
  return Object.values(outputs)[0]?.data as Float32Array;
}

describe.skipIf(absent !== undefined)('on a WebGPU device', { timeout: PATIENCE }, () => {
  it.each(Object.keys(MODELS) as (keyof typeof MODELS)[])(
    'nothing of the %s runs on the CPU, and it computes what the portable graph does there',
    async (name) => {
      for (const type of ['float32', 'float16'] as const) {
        const found = await answer(MODELS[name](TARGETS.webgpu, type), 'webgpu');
        const expected = await answer(MODELS[name](TARGETS.portable, type), 'cpu');
        expect(relativeRms(found, expected), type).toBeLessThan(LIMIT[type]);
      }
    },
  );

  it('a portable UNet is refused where nothing may run on the CPU: its timestep is a 64-bit integer', async () => {
    await using host = startHost();
    const graph = withRandomWeights(MODELS.UNet(TARGETS.portable, 'float32'));
    const path = join(await temporaryFolder(), 'model.onnx');
    await writeFile(path, serializeModel(graph, { producerVersion: 'test' }));
    await expect(host.load(path, 'webgpu', { wholly: true })).rejects.toThrow(
      /model\.onnx does not load on webgpu: .*assigned to the default CPU EP/,
    );
  });

  it('a package is sampled by its own graphs, or, where the driver’s attention is wrong, by the portable ones', async () => {
    const family = await writeFamily();
    const folder = await temporaryFolder();
    const output = { frames: 1, width: 32, height: 32, dtype: 'fp32', targets: ['portable', 'webgpu'] };
    await drain(bake(await plan(family.recipe({ output })), { into: folder }));
    const pkg = await openPackage(folder);
    const clip = { prompt: 'a red circle', seed: 3, steps: 2 };
    const events: Event[] = [];
    const run = (device: Device) => drain(sample(pkg, { ...clip, device }), (event) => events.push(event));
    const expected = await run('cpu');

    vi.mocked(targetFor).mockResolvedValueOnce({ target: 'webgpu' });
    const own = await run('webgpu'); // sequences are short here: sound everywhere
    expect(own.graphs.unet).toMatch(/model\.webgpu\.onnx$/);
    expect(events.filter(({ type }) => type === 'warning')).toEqual([]);

    const fault = await attentionFault('webgpu');
    const careful = await run('webgpu');
    const warnings = events.flatMap((event) => (event.type === 'warning' ? event.message : []));
    expect(careful.graphs.unet).toMatch(fault === undefined ? /model\.webgpu\.onnx$/ : /model\.onnx$/);
    expect(warnings).toEqual(fault === undefined ? [] : [expect.stringContaining(fault)]);
    for (const { latents, frames } of [own, careful]) {
      expect(relativeRms(latents, expected.latents)).toBeLessThan(1e-4);
      expect(relativeRms(frames.data, expected.frames.data)).toBeLessThan(1e-2);
    }
  });
});

/**
 * The graphs for WebGPU on a WebGPU device, where one answers: a graphics card, or Vulkan on the CPU (docs/devices.md says how).
 * `npm run test:webgpu` runs these alone. Software compiles each shader for seconds: patience is minutes.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { afterEach, describe, expect, it, vi } from 'vitest';
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
import { measureDevices } from '../../src/runtime/choose-device.ts';
import type { Device } from '../../src/runtime/device.ts';
import { targetFor } from '../../src/runtime/graph-target.ts';
import { type HostTensor, startHost } from '../../src/runtime/host.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { sample } from '../../src/runtime/pipeline.ts';
import { cpuNodes, loadPlaced } from '../../src/runtime/placement.ts';
import { probeDevice } from '../../src/runtime/probe.ts';
import { verify } from '../../src/verify/gate.ts';
import { writeFamily } from '../helpers/family.ts';
import { relativeRms } from '../helpers/numbers.ts';
import { withRandomWeights } from '../helpers/random-weights.ts';
import type { Numbers } from '../helpers/sessions.ts';
import { feedsFor, SMALL_MODELS, UNETS } from '../helpers/small-models.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const { onnx } = onnxProto;

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

/** Has the graph negate its sample twice in float64, which no WebGPU device can. */
async function throughFloat64(path: string): Promise<void> {
  const model = onnx.ModelProto.decode(await readFile(path));
  const nodes = model.graph?.node ?? [];
  for (const node of nodes) node.input = (node.input ?? []).map((name) => (name === 'sample' ? 'sample.4' : name));
  const { DOUBLE, FLOAT } = onnx.TensorProto.DataType;
  const added = (['Cast', 'Neg', 'Neg', 'Cast'] as const).map((opType, i) =>
    onnx.NodeProto.create({
      ...{ opType, name: `added ${i}`, input: [i === 0 ? 'sample' : `sample.${i}`], output: [`sample.${i + 1}`] },
      attribute:
        opType === 'Cast'
          ? [{ name: 'to', type: onnx.AttributeProto.AttributeType.INT, i: i === 0 ? DOUBLE : FLOAT }]
          : [],
    }),
  );
  nodes.unshift(...added);
  await writeFile(path, onnx.ModelProto.encode(model).finish());
}

describe.skipIf(absent !== undefined)('on a WebGPU device', { timeout: PATIENCE }, () => {
  afterEach(() => void vi.mocked(targetFor).mockRestore());

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

  it('and yet it is taken for a run: only its timestep is on the CPU, a single number', async () => {
    await using host = startHost();
    const graph = withRandomWeights(MODELS.UNet(TARGETS.portable, 'float32'));
    const path = join(await temporaryFolder(), 'model.onnx');
    await writeFile(path, serializeModel(graph, { producerVersion: 'test' }));
    const session = await loadPlaced(host, path, 'webgpu');
    expect(session.fallback).toBeUndefined();
    expect(cpuNodes(await host.loadingLog(path, 'webgpu'))).toEqual([{ operator: 'Cast', name: 'time_proj/Cast_0' }]);
  });

  it('a package of which a part runs on the CPU is refused, or taken and told of where that is allowed', async () => {
    const family = await writeFamily();
    const folder = join(await temporaryFolder(), 'package');
    const output = { frames: 1, width: 32, height: 32, dtype: 'fp32', targets: ['portable', 'webgpu'] };
    await drain(bake(await plan(family.recipe({ output })), { into: folder }));
    await throughFloat64(join(folder, 'unet', 'model.webgpu.onnx'));
    const pkg = await openPackage(folder);
    vi.mocked(targetFor).mockResolvedValue({ target: 'webgpu' }); // sequences are short here: sound everywhere
    const clip = { prompt: 'a red circle', seed: 3, steps: 1 };
    await expect(drain(sample(pkg, { ...clip, device: 'webgpu' }))).rejects.toThrow(
      /^4 nodes \(2 × Cast, 2 × Neg\) of \S+model\.webgpu\.onnx run on the CPU instead of webgpu/,
    );
    const failing = await drain(verify(folder, { device: 'webgpu' }));
    expect(failing.checks.find(({ id }) => id === 'run')).toMatchObject({ verdict: 'failed' });

    const events: Event[] = [];
    const allowed = { ...clip, device: 'webgpu', allowFallback: true } as const;
    const video = await drain(sample(pkg, allowed), (event) => events.push(event));
    expect(video.fallback).toEqual([expect.stringMatching(/^4 nodes \(2 × Cast, 2 × Neg\) of /)]);
    expect(events).toContainEqual({ type: 'warning', stage: 'run', message: `${video.fallback?.[0]}.` });
    const cpu = await drain(sample(await openPackage(folder), { ...clip, device: 'cpu' }));
    expect(relativeRms(video.latents, cpu.latents)).toBeLessThan(1e-4);
  });

  it('auto measures it, and takes the faster of the two', async () => {
    const { device, trials } = await measureDevices('float32');
    const rates = new Map(trials.map((trial) => [trial.device, trial.products as number]));
    expect([...rates.keys()].sort()).toEqual(['cpu', 'webgpu']);
    if ((rates.get('webgpu') as number) < 0.5 * (rates.get('cpu') as number)) expect(device).toBe('cpu');
    else
      expect(trials.every(({ milliseconds, reason }) => milliseconds !== undefined || reason !== undefined)).toBe(true);
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

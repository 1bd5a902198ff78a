/**
 * All graphs of a component are the same model: each is evaluated once on the device that it is made for and held against the
 * portable one. What a clip showed of one graph says nothing of the others; published are all.
 */
import { relative } from 'node:path';
import { UnavailableError } from '../../errors.ts';
import { type ModelInfo, readModelInfo } from '../../onnx/model-info.ts';
import type { Device } from '../../runtime/device.ts';
import { type HostTensor, type InferenceHost, startHost } from '../../runtime/host.ts';
import { createGenerator } from '../../runtime/noise.ts';
import type { GraphFile, PartName, VideoPackage } from '../../runtime/package-folder.ts';
import { probeDevice } from '../../runtime/probe.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { relativeRms } from '../relative-rms.ts';

/**
 * Largest relative difference of two graphs over the same weights. fp16 against float32 arithmetic was seen to differ by 2e-3,
 * WebGPU's fp16 sums by 2e-2 (onnx.md §0); float32 graphs by 1e-6. A swapped weight or a wrong scale gives 1e-1 and more.
 */
const LIMITS = { FLOAT16: 2e-2, FLOAT: 1e-4, webgpu: 5e-2 } as const;

/** Lengths that a graph leaves open: the smallest that every level of the UNet can halve. */
const OPEN_LENGTHS: Readonly<Record<string, number>> = { frames: 2, height: 8, width: 8 };

export const targets: Check = {
  id: 'targets',
  proves:
    'every graph of the package, run on the device that it is made for, computes what the portable graph computes',
  applies: ({ pkg }) => Object.values(pkg.graphs).some((files) => files.length > 1),
  async run({ pkg, video, signal }) {
    if (video instanceof Error) return unknown('The package does not run, so its graphs were not compared.');
    const devices = await answeringDevices(pkg, video.device, signal);
    const [compared, missing, faults]: [string[], string[], string[]] = [[], [], []];
    let worst = 0;
    await using host = startHost(signal);
    for (const [model, files] of Object.entries(pkg.graphs) as [PartName, readonly GraphFile[]][]) {
      for (const [reference, others] of ofOneSize(files)) {
        const runnable = others.filter(({ target }) => devices.has(target as Device));
        for (const file of others) if (!runnable.includes(file)) missing.push(relative(pkg.folder, file.path));
        if (runnable.length === 0 && reference.size.length === 0) continue; // the clip was made with it
        const wanted = await evaluate(host, pkg, model, reference, video.device);
        for (const file of runnable) {
          const difference = relativeRms(await evaluate(host, pkg, model, file, file.target as Device), wanted);
          const limit = await limitOf(file);
          const name = relative(pkg.folder, file.path);
          compared.push(name);
          worst = Math.max(worst, difference);
          if (!(difference <= limit)) faults.push(`${name} differs by ${difference.toExponential(1)} (limit ${limit})`);
        }
      }
    }
    const figures = { compared: compared.length, largest_difference: worst, not_run: missing.join(', ') };
    if (faults.length > 0) return failed(`${faults.join('; ')} from the portable graph.`, figures);
    if (missing.length > 0)
      return unknown(
        `${missing.join(', ')} could not be run here. Verify on a machine with that device, or bake without that target.`,
        figures,
      );
    return passed(`${compared.length} graphs agree with the portable ones to ${worst.toExponential(1)}.`, figures);
  },
};

/** The portable graph of each size, with the others of that size. */
function ofOneSize(files: readonly GraphFile[]): (readonly [GraphFile, readonly GraphFile[]])[] {
  return files
    .filter(({ target }) => target === 'portable')
    .map((reference) => [
      reference,
      files.filter((file) => file !== reference && file.size.join() === reference.size.join()),
    ]);
}

/** Of the devices that graphs are made for, those that work here. */
async function answeringDevices(
  { graphs }: VideoPackage,
  known: Device,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<Device>> {
  const made = new Set(Object.values(graphs).flatMap((files) => files.map(({ target }) => target)));
  const answering = new Set<Device>([known]);
  for (const target of made) {
    if (target === 'portable' || answering.has(target)) continue;
    const works = await probeDevice(target, signal).then(
      () => true,
      (error: unknown) => {
        if (error instanceof UnavailableError) return false;
        throw error;
      },
    );
    if (works) answering.add(target);
  }
  return answering;
}

/** The output of one evaluation; inputs are the same for all graphs of a model and size. */
async function evaluate(
  host: InferenceHost,
  pkg: VideoPackage,
  model: PartName,
  { path }: GraphFile,
  device: Device,
): Promise<Float32Array> {
  const info = await readModelInfo(path);
  await using session = await host.load(path, device);
  const { outputs } = await session.run(feedsOf(pkg, model, info));
  return outputs[info.outputs[0]?.name ?? '']?.data as Float32Array;
}

function feedsOf(pkg: VideoPackage, model: PartName, { inputs }: ModelInfo): Record<string, HostTensor> {
  const generator = createGenerator(0);
  return Object.fromEntries(
    inputs.map(({ name, type, shape }): [string, HostTensor] => {
      const dims = shape.map((dim) => (typeof dim === 'number' ? dim : (OPEN_LENGTHS[dim] ?? 1)));
      const count = dims.reduce((n, dim) => n * dim, 1);
      const integers = model === 'text_encoder' ? pkg.tokenizer.encodePadded('a red circle') : BigInt64Array.of(999n);
      if (type === 'INT64') {
        return [
          name,
          {
            type: 'int64',
            dims,
            data: BigInt64Array.from({ length: count }, (_, i) => integers[i % integers.length] as bigint),
          },
        ];
      }
      if (name === 'timestep') return [name, { type: 'float32', dims, data: Float32Array.of(Number(integers[0])) }];
      return [name, { type: 'float32', dims, data: generator.randn(count) }];
    }),
  );
}

async function limitOf({ path, target }: GraphFile): Promise<number> {
  if (target === 'webgpu') return LIMITS.webgpu;
  const { initializers } = await readModelInfo(path);
  return initializers.some(({ type }) => type === 'FLOAT16') ? LIMITS.FLOAT16 : LIMITS.FLOAT;
}

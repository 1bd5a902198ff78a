/**
 * All graphs of a component are the same model: each that the clip was not made with is evaluated once on the device that it is
 * made for and held against the portable one. (Those that ran are the check agreement's.) What is published is all of them.
 */
import { LcmMergeError } from '../../errors.ts';
import { type ModelInfo, readModelInfo } from '../../onnx/model-info.ts';
import { lengthOf } from '../../onnx/shapes.ts';
import type { Device } from '../../runtime/device.ts';
import { lengthsFor } from '../../runtime/graph-lengths.ts';
import { targetFor } from '../../runtime/graph-target.ts';
import { type HostTensor, type InferenceHost, startHost } from '../../runtime/host.ts';
import { createGenerator } from '../../runtime/noise.ts';
import { type GraphFile, type PartName, pathInPackage, type VideoPackage } from '../../runtime/package-folder.ts';
import type { Video } from '../../runtime/pipeline.ts';
import { loadPlaced } from '../../runtime/placement.ts';
import { probeDevice } from '../../runtime/probe.ts';
import { relativeRms } from '../../runtime/relative-rms.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { differenceLimit } from '../difference-limits.ts';

/** For what a graph leaves open: the smallest clip that every level of the UNet can halve. */
const SMALL_CLIP = { batch: 1, frames: 2, width: 64, height: 64 } as const;

export const targets: Check = {
  id: 'targets',
  proves:
    'every other graph of the package, run on the device that it is made for, computes what the portable graph computes',
  cost: 'one evaluation per graph',
  from: 'standard',
  applies: ({ pkg, video }) =>
    Object.values(pkg.graphs).some((files) =>
      video instanceof Error ? files.length > 1 : notRun(files, video).length > 0,
    ),
  async run({ pkg, video, signal }) {
    if (video instanceof Error) return unknown('The package does not run, so its graphs were not compared.');
    const devices = await answeringDevices(pkg, video.device, signal);
    const [compared, missing, faults]: [string[], string[], string[]] = [[], [], []];
    let [alone, worst] = [0, 0];
    await using host = startHost(signal);
    for (const [model, files] of Object.entries(pkg.graphs) as [PartName, readonly GraphFile[]][]) {
      for (const [reference, others] of notRun(files, video)) {
        const runnable = others.filter(({ target }) => devices.has(target as Device));
        for (const file of others) if (!runnable.includes(file)) missing.push(pathInPackage(pkg.folder, file.path));
        if (runnable.length === 0 && reference.size.length === 0) continue; // what ran was held against it
        const { output: wanted, info } = await evaluate(host, pkg, model, reference, video.device);
        if (!wanted.every(Number.isFinite)) {
          faults.push(`${pathInPackage(pkg.folder, reference.path)} gives values that are not finite`);
        } else if (runnable.length === 0) alone += 1;
        for (const file of runnable) {
          const { output, fallback } = await evaluate(host, pkg, model, file, file.target as Device);
          const difference = relativeRms(output, wanted);
          const allowed = differenceLimit(info, file.target);
          const name = pathInPackage(pkg.folder, file.path);
          compared.push(name);
          if (fallback !== undefined) faults.push(fallback);
          worst = Math.max(worst, difference);
          if (!(difference <= allowed))
            faults.push(`${name} differs by ${difference.toExponential(1)} (limit ${allowed}) from the portable graph`);
        }
      }
    }
    const figures = {
      compared: compared.length,
      run_alone: alone,
      largest_difference: worst,
      not_run: missing.join(', '),
    };
    if (faults.length > 0) return failed(`${faults.join('; ')}.`, figures);
    if (missing.length > 0)
      return unknown(
        `${missing.join(', ')} could not be run here. Verify on a machine with that device, or bake without that target.`,
        figures,
      );
    const others = alone > 0 ? `; ${alone} that have no other to agree with give finite values` : '';
    return passed(
      `${compared.length} graphs agree with the portable ones to ${worst.toExponential(1)}${others}.`,
      figures,
    );
  },
};

/** The portable graph of each size with the others of that size that the clip was not made with, where there is something to run. */
function notRun(files: readonly GraphFile[], { graphs }: Video): (readonly [GraphFile, readonly GraphFile[]])[] {
  const ran = new Set(Object.values(graphs));
  return files
    .filter(({ target }) => target === 'portable')
    .flatMap((reference) => {
      const others = files.filter((file) => file !== reference && file.size.join() === reference.size.join());
      const left = others.filter(({ path }) => !ran.has(path));
      const isAlone = others.length === 0 && reference.size.length > 0;
      return left.length > 0 || isAlone ? [[reference, left] as const] : [];
    });
}

/** Of the devices that graphs are made for, those that work here and whose kernels compute rightly. */
async function answeringDevices(
  pkg: VideoPackage,
  known: Device,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<Device>> {
  const made = new Set(Object.values(pkg.graphs).flatMap((files) => files.map(({ target }) => target)));
  const answering = new Set<Device>();
  for (const device of made) {
    if (device === 'portable') continue;
    try {
      if (device !== known) await probeDevice(device, signal);
      if ((await targetFor(pkg, device, signal)).target === device) answering.add(device);
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof LcmMergeError)) throw error;
    }
  }
  return answering;
}

/** Inputs are the same for all graphs of a model and size. */
async function evaluate(
  host: InferenceHost,
  pkg: VideoPackage,
  model: PartName,
  { path }: GraphFile,
  device: Device,
): Promise<{
  readonly output: Float32Array;
  readonly info: ModelInfo;
  /** What of it the CPU computed instead of the device. */
  readonly fallback: string | undefined;
}> {
  const info = await readModelInfo(path);
  await using session = await loadPlaced(host, path, device, { allowFallback: true });
  const { outputs } = await session.run(feedsOf(pkg, model, info));
  return { output: outputs[info.outputs[0]?.name ?? '']?.data as Float32Array, info, fallback: session.fallback };
}

function feedsOf(pkg: VideoPackage, model: PartName, { inputs }: ModelInfo): Record<string, HostTensor> {
  const generator = createGenerator(0);
  const lengths = lengthsFor(inputs, SMALL_CLIP);
  const integers = model === 'text_encoder' ? pkg.tokenizer.encodePadded('a red circle') : BigInt64Array.of(999n);
  return Object.fromEntries(
    inputs.map(({ name, type, shape }): [string, HostTensor] => {
      const dims = shape.map((dim) => lengthOf(dim, lengths) ?? 1);
      const count = dims.reduce((n, dim) => n * dim, 1);
      if (type === 'INT64') {
        const data = BigInt64Array.from({ length: count }, (_, i) => integers[i % integers.length] as bigint);
        return [name, { type: 'int64', dims, data }];
      }
      const data = name === 'timestep' ? Float32Array.of(Number(integers[0])) : generator.randn(count);
      return [name, { type: 'float32', dims, data }];
    }),
  );
}

/**
 * Which target's graphs a package runs on a device with: those made for it where there are some and their kernels compute
 * rightly, else the portable ones, and a sentence about it that the user gets to read.
 */
import type { TargetName } from '../recipe/schema.ts';
import { attentionFault } from './attention-probe.ts';
import { type Device, TRAITS } from './device.ts';
import type { VideoPackage } from './package-folder.ts';

export interface GraphTarget {
  readonly target: TargetName;
  readonly warning?: string;
}

/** What this process has found out about devices. */
const faults = new Map<Device, string | undefined>();

/**
 * What is wrong with a device's fused kernels, as the beginning of a sentence; tried once for each process.
 * @throws RuntimeFailure when the device does not compute at all.
 */
export async function kernelFault(device: Device, signal?: AbortSignal): Promise<string | undefined> {
  if (device !== 'webgpu') return undefined; // no other one was found wrong
  if (!faults.has(device)) faults.set(device, await attentionFault(device, signal));
  return faults.get(device);
}

/** @throws RuntimeFailure when the device does not compute at all. */
export async function targetFor(
  { folder, graphs }: Pick<VideoPackage, 'folder' | 'graphs'>,
  device: Device,
  signal?: AbortSignal,
): Promise<GraphTarget> {
  const { target } = TRAITS[device];
  if (device === 'cpu' || target === 'portable') return { target }; // there are no other ones, or all are at home
  if (!graphs.unet.some((graph) => graph.target === target)) {
    return {
      target: 'portable',
      warning:
        `${folder} has no graph made for ${device}; the portable one runs there, slower and with the arithmetic of its shapes on the CPU. ` +
        `Bake with output.targets: [portable, ${target}] for one of its own.`,
    };
  }
  const fault = await kernelFault(device, signal);
  return fault === undefined
    ? { target }
    : { target: 'portable', warning: `${fault}. The portable graphs of ${folder} run on it instead: they do without.` };
}

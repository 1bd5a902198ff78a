/**
 * Which target's graphs a package runs on a device with: those made for it where there are some and their kernels compute
 * rightly, else the portable ones, and a sentence about it that the user gets to read.
 */
import type { TargetName } from '../recipe/schema.ts';
import { attentionFault } from './attention-probe.ts';
import type { Device } from './device.ts';
import type { VideoPackage } from './package-folder.ts';

export interface GraphTarget {
  readonly target: TargetName;
  readonly warning?: string;
}

/** What this process has found out about devices. */
const faults = new Map<Device, string | undefined>();

/** @throws RuntimeFailure when the device does not compute at all. */
export async function targetFor(
  { folder, graphs }: Pick<VideoPackage, 'folder' | 'graphs'>,
  device: Device,
  signal?: AbortSignal,
): Promise<GraphTarget> {
  if (device === 'cpu') return { target: device }; // its own graph or the portable one: both are at home there
  if (!graphs.unet.some(({ target }) => target === device)) {
    return {
      target: 'portable',
      warning:
        `${folder} has no graph made for ${device}; the portable one runs there, slower and with small parts of it on the CPU. ` +
        `Bake with output.targets: [portable, ${device}] for one of its own.`,
    };
  }
  if (device !== 'webgpu') return { target: device };
  if (!faults.has(device)) faults.set(device, await attentionFault(device, signal));
  const fault = faults.get(device);
  return fault === undefined
    ? { target: device }
    : { target: 'portable', warning: `${fault}. The portable graphs of ${folder} run on it instead: they do without.` };
}

/**
 * Devices that a graph can run on, as onnxruntime-node's execution providers, and the choice that `auto` makes.
 * Reference: onnx.md §3 and §4 (what is bundled, what must be installed beside it).
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { listSupportedBackends } from 'onnxruntime-node';
import { UnavailableError } from '../errors.ts';

export const DEVICES = ['cpu', 'webgpu', 'cuda'] as const;
export type Device = (typeof DEVICES)[number];

export interface DeviceInfo {
  readonly device: Device;
  /** Are its libraries there: in the npm package, or put beside it by somebody? */
  readonly installed: boolean;
}

/** onnxruntime's own libraries, where it looks for those of a provider that the npm package does not carry. */
const LIBRARIES = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
  '../bin/napi-v6',
  process.platform,
  process.arch,
);

/** `folder` is where added libraries would lie. */
export function listDevices(folder = LIBRARIES): DeviceInfo[] {
  const backends = new Map(listSupportedBackends().map(({ name, bundled }) => [name, bundled]));
  return DEVICES.filter((device) => backends.has(device)).map((device) => ({
    device,
    installed: backends.get(device) === true || existsSync(join(folder, `libonnxruntime_providers_${device}.so`)),
  }));
}

/**
 * `auto` is cuda where its libraries are installed, else cpu. WebGPU is taken only when it is asked for: a
 * software adapter looks like any other, is slower than the CPU and was seen to give wrong attention (onnx.md §3).
 * @throws UnavailableError when this build has no such device.
 */
export function resolveDevice(wanted: Device | 'auto', known = listDevices()): Device {
  if (wanted === 'auto') return known.some(({ device, installed }) => device === 'cuda' && installed) ? 'cuda' : 'cpu';
  if (!known.some(({ device }) => device === wanted)) {
    throw new UnavailableError(
      `The device ${wanted} is not in onnxruntime-node on ${process.platform}-${process.arch}.`,
      `It has ${known.map((d) => d.device).join(', ')}.`,
    );
  }
  return wanted;
}

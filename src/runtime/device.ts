/**
 * Devices that a graph can run on, as onnxruntime-node's execution providers, and the choice that `auto` makes.
 * Reference: onnx.md §3 and §4 (what is bundled, what must be installed beside it).
 */
import { listSupportedBackends } from 'onnxruntime-node';
import { UnavailableError } from '../errors.ts';

export const DEVICES = ['cpu', 'webgpu', 'cuda'] as const;
export type Device = (typeof DEVICES)[number];

export interface DeviceInfo {
  readonly device: Device;
  /** Does the npm package carry its libraries on this platform? */
  readonly bundled: boolean;
}

export function listDevices(): DeviceInfo[] {
  const backends = new Map(listSupportedBackends().map(({ name, bundled }) => [name, bundled]));
  return DEVICES.filter((device) => backends.has(device)).map((device) => ({
    device,
    bundled: backends.get(device) ?? false,
  }));
}

/**
 * `auto` is cuda where its libraries are bundled or installed, else cpu. WebGPU is taken only when it is asked for: a
 * software adapter looks like any other, is slower than the CPU and was seen to give wrong attention (onnx.md §3).
 * @throws UnavailableError when this build has no such device.
 */
export function resolveDevice(wanted: Device | 'auto'): Device {
  const known = listDevices();
  if (wanted === 'auto') return known.some(({ device, bundled }) => device === 'cuda' && bundled) ? 'cuda' : 'cpu';
  if (!known.some(({ device }) => device === wanted)) {
    throw new UnavailableError(
      `The device ${wanted} is not in onnxruntime-node on ${process.platform}-${process.arch}.`,
      `It has ${known.map((d) => d.device).join(', ')}.`,
    );
  }
  return wanted;
}

/**
 * Devices that a graph can run on, as onnxruntime-node's execution providers: what this build has, and what is installed.
 * Source of truth: listSupportedBackends() of onnxruntime-node (js/node/src/inference_session_wrap.cc); reference: onnx.md §3 and §4.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UnavailableError } from '../errors.ts';
import { listSupportedBackends } from '../onnx/onnxruntime.ts';
import { DEVICE_NAMES, type TargetName } from '../recipe/schema.ts';

export const DEVICES = DEVICE_NAMES;
export type Device = (typeof DEVICES)[number];

export interface DeviceInfo {
  readonly device: Device;
  /** Are its libraries there: in the npm package, or put beside it by somebody? */
  readonly installed: boolean;
}

interface DeviceTraits {
  /** Whose graphs run there. */
  readonly target: TargetName;
  /**
   * What becomes of nodes that the device has no kernel for. `refused`: a graph that computes on the CPU what should be computed there
   * does not load, unless that is allowed. `told`: the provider is made to take the parts that it can and leave the rest.
   */
  readonly fallback: 'refused' | 'told';
}

/**
 * DirectML and CoreML have no graph of their own. DirectML lacks SkipGroupNorm and BiasAdd of CUDA's (onnx.md §1 and §2); CoreML is made to
 * cut a graph in parts: it takes no more than five axes, no whole numbers, and about a third of the operators.
 */
export const TRAITS: Readonly<Record<Device, DeviceTraits>> = {
  cpu: { target: 'cpu', fallback: 'told' },
  webgpu: { target: 'webgpu', fallback: 'refused' },
  cuda: { target: 'cuda', fallback: 'refused' },
  dml: { target: 'portable', fallback: 'refused' },
  coreml: { target: 'portable', fallback: 'told' },
};

/** onnxruntime's own libraries, where it looks for those of a provider that the npm package does not carry. */
export const LIBRARIES = join(
  dirname(createRequire(import.meta.url).resolve('onnxruntime-node')),
  '../bin/napi-v6',
  process.platform,
  process.arch,
);

/** `folder` is where added libraries would lie. */
export function listDevices(folder = LIBRARIES, backends: readonly Backend[] = listSupportedBackends()): DeviceInfo[] {
  const bundled = new Map(backends.map((backend) => [backend.name, backend.bundled]));
  return DEVICES.filter((device) => bundled.has(device)).map((device) => ({
    device,
    installed: bundled.get(device) === true || existsSync(join(folder, `libonnxruntime_providers_${device}.so`)),
  }));
}

type Backend = ReturnType<typeof listSupportedBackends>[number];

/** @throws UnavailableError when this build has no such device. */
export function assertOffered(wanted: Device | 'auto', known = listDevices()): void {
  if (wanted === 'auto' || known.some(({ device }) => device === wanted)) return;
  throw new UnavailableError(
    `The device ${wanted} is not in onnxruntime-node on ${process.platform}-${process.arch}.`,
    `It has ${known.map((d) => d.device).join(', ')}.`,
  );
}

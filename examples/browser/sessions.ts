/**
 * onnxruntime-web: which of its builds runs a package here, and its sessions in the shape that src/runtime/denoise.ts runs.
 * Each build is a module of its own; what is not used is not downloaded.
 */
import type { Env, InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import type { Session } from '../../src/runtime/denoise.ts';
import type { Device, DeviceWish } from './messages.ts';
import { reasonOf } from './package-files.ts';

export interface Ort {
  readonly env: Env;
  readonly InferenceSession: {
    create(graph: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor;
}

const DIST = new URL('./node_modules/onnxruntime-web/dist/', import.meta.url);
const BUILDS: Readonly<Record<Device, string>> = { webgpu: 'ort.webgpu.min.mjs', wasm: 'ort.wasm.min.mjs' };

/** Errors only: shape nodes that stay on the CPU, and casts of fp16, are warned of. */
const LOG_SEVERITY_ERROR = 3;

/** More do not help: the page, the browser and the system want to run, too. */
const MAX_THREADS = 8;

export async function importOrt(device: Device): Promise<Ort> {
  const url = new URL(BUILDS[device], DIST);
  const ort: Ort = await import(url.href).catch((error: unknown) => {
    throw new Error(
      `onnxruntime-web cannot be loaded from ${url.href}: ${reasonOf(error)}. Install it with: npm ci --prefix examples/browser`,
    );
  });
  ort.env.wasm.wasmPaths = DIST.href;
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency) : 1;
  ort.env.logLevel = 'error';
  return ort;
}

/** The few things asked of WebGPU, which not every version of the DOM's types has. */
interface Gpu {
  requestAdapter(): Promise<{
    readonly features: ReadonlySet<string>;
    readonly info?: { readonly isFallbackAdapter?: boolean };
  } | null>;
}

/** The device for `wish`, and where that is not the GPU although it might have been, the reason as a sentence. */
export async function chooseDevice(wish: DeviceWish, dtype: string): Promise<{ device: Device; note?: string }> {
  if (wish === 'wasm') return { device: 'wasm' };
  const gpu = (navigator as { gpu?: Gpu }).gpu;
  const adapter = await gpu?.requestAdapter().catch(() => null);
  const reason = !gpu
    ? 'this browser has no WebGPU'
    : !adapter
      ? 'WebGPU finds no graphics card here'
      : dtype === 'fp16' && !adapter.features.has('shader-f16')
        ? 'the graphics card has no 16-bit numbers (shader-f16)'
        : wish === 'auto' && adapter.info?.isFallbackAdapter
          ? 'WebGPU is only imitated by the CPU here'
          : undefined;
  return reason ? { device: 'wasm', note: `Running on the CPU: ${reason}.` } : { device: 'webgpu' };
}

export async function openSession(
  ort: Ort,
  device: Device,
  { graph, externalData }: { graph: Uint8Array; externalData: readonly { path: string; data: Uint8Array }[] },
): Promise<{ readonly session: Session; readonly inputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata> }> {
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [device],
    graphOptimizationLevel: 'all',
    logSeverityLevel: LOG_SEVERITY_ERROR,
    externalData: [...externalData],
  });
  const inputs = new Map(session.inputMetadata.flatMap((input) => (input.isTensor ? [[input.name, input]] : [])));
  return { session: { run: (feeds) => run(ort, session, inputs, feeds) }, inputs };
}

type Feeds = Parameters<Session['run']>[0];

async function run(
  { Tensor }: Ort,
  session: InferenceSession,
  inputs: ReadonlyMap<string, InferenceSession.TensorValueMetadata>,
  feeds: Feeds,
): ReturnType<Session['run']> {
  const tensors: Record<string, Tensor> = {};
  for (const [name, { data, dims }] of Object.entries(feeds)) {
    // graphs for WebGPU take the timestep as float32: that device has no int64
    const isFloat = inputs.get(name)?.type === 'float32';
    tensors[name] =
      data instanceof Float32Array || isFloat
        ? new Tensor('float32', Float32Array.from(data, Number), dims)
        : new Tensor('int64', data, dims);
  }
  const started = performance.now();
  const results = await session.run(tensors);
  const outputs: Record<string, { type: 'float32'; dims: readonly number[]; data: Float32Array }> = {};
  for (const [name, tensor] of Object.entries(results)) {
    outputs[name] = { type: 'float32', dims: tensor.dims, data: (await tensor.getData()) as Float32Array };
    tensor.dispose();
  }
  const milliseconds = performance.now() - started;
  for (const tensor of Object.values(tensors)) tensor.dispose();
  return { outputs, milliseconds };
}

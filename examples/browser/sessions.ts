/**
 * onnxruntime-web: which of its builds runs a package here, and its sessions in the shape that src/runtime/denoise.ts runs.
 * Each build is a module of its own; what is not used is not downloaded.
 */
import type { Env, InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';
import type { LoadedGraph } from '../../src/runtime/denoise.ts';
import type { Choice } from './device.ts';
import type { Device } from './messages.ts';
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

/** ONNX's names of the types that our graphs take. */
const ONNX_TYPES: Readonly<Record<string, string>> = { float32: 'FLOAT', int64: 'INT64' };

/** A graph, and the shapes of its inputs where it fixes them. */
export interface OpenedGraph extends LoadedGraph {
  readonly shapes: ReadonlyMap<string, readonly (number | undefined)[]>;
}

export async function openGraph(
  ort: Ort,
  { device, gpu }: Choice,
  { graph, externalData }: { graph: Uint8Array; externalData: readonly { path: string; data: Uint8Array }[] },
): Promise<OpenedGraph> {
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: [gpu ? { name: 'webgpu', device: gpu } : device],
    graphOptimizationLevel: 'all',
    logSeverityLevel: LOG_SEVERITY_ERROR,
    externalData: [...externalData],
  });
  const inputs = session.inputMetadata.flatMap((input) => (input.isTensor ? [input] : []));
  const fixed = (dim: number | string) => (typeof dim === 'number' && dim > 0 ? dim : undefined);
  const shapes = new Map(inputs.map(({ name, shape }) => [name, shape.map(fixed)]));
  return {
    session: { run: (feeds) => run(ort, session, feeds) },
    batch: shapes.get(inputs[0]?.name ?? '')?.[0],
    inputs: inputs.map(({ name, type, shape }) => ({ name, type: ONNX_TYPES[type] ?? type, shape })),
    shapes,
  };
}

type Run = LoadedGraph['session']['run'];

async function run({ Tensor }: Ort, session: InferenceSession, feeds: Parameters<Run>[0]): ReturnType<Run> {
  const tensors = Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, dims }]) => [name, new Tensor(type, data, dims) as Tensor]),
  );
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

/**
 * Is a device's fused attention right? onnxruntime 1.30.0's WebGPU kernel for 32 queries and more does not clear its sums between
 * blocks of keys where it exchanges values within subgroups: on Vulkan, with every driver but NVIDIA's. What comes out is some
 * percent wrong and looks well. One small attention, computed here as well, tells (measured on lavapipe and SwiftShader).
 */
import { MultiHeadAttention } from '../onnx/contrib-ops.ts';
import { addInput, addOutput, createGraph, rootScope } from '../onnx/graph.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { Device } from './device.ts';
import { startHost } from './host.ts';
import { relativeRms } from './relative-rms.ts';

/** 64 queries of one head: more than the 31 that another kernel takes, and several blocks of keys on any hardware. */
const [LENGTH, WIDTH] = [64, 8];

/** ‖found − expected‖ / ‖expected‖ in float32: a sound kernel has 2e-7, that one 5e-2 to 5e-1. */
const MAX_ERROR = 1e-3;

/**
 * Resolves to what is wrong with the kernel, as the beginning of a sentence, or undefined when nothing is.
 * @throws RuntimeFailure when the device does not compute at all.
 */
export async function attentionFault(device: Device, signal?: AbortSignal): Promise<string | undefined> {
  await using host = startHost(signal);
  const session = await host.load(attentionModel(), device);
  const [q, k, v] = [wave(0.37), wave(0.71), wave(1.13)];
  const feed = (data: Float32Array) => ({ type: 'float32' as const, dims: [1, LENGTH, WIDTH], data });
  const { outputs } = await session.run({ q: feed(q), k: feed(k), v: feed(v) });
  const [found, expected] = [outputs['y']?.data as Float32Array | undefined, attention(q, k, v)];
  const error = found?.length === expected.length ? relativeRms(found, expected) : Number.POSITIVE_INFINITY;
  return error <= MAX_ERROR
    ? undefined
    : `The driver of ${device} and onnxruntime compute fused attention wrongly here (relative error ${error.toExponential(1)})`;
}

function attentionModel(): Uint8Array {
  const graph = createGraph('attention');
  const scope = rootScope(graph, 'float32');
  const input = (name: string) => addInput(graph, name, 'float32', [1, LENGTH, WIDTH]);
  addOutput(scope, MultiHeadAttention(scope, input('q'), input('k'), input('v'), { num_heads: 1 }), 'y');
  return serializeModel(graph, { producerVersion: VERSION });
}

/** Values between −2 and 2, so that scores differ by some units. */
function wave(frequency: number): Float32Array {
  return Float32Array.from({ length: LENGTH * WIDTH }, (_, i) => 2 * Math.sin(frequency * (i + 1)));
}

/** softmax(q·kᵀ / √d)·v in float64. */
function attention(q: Float32Array, k: Float32Array, v: Float32Array): number[] {
  const row = (matrix: Float32Array, i: number) => matrix.subarray(i * WIDTH, (i + 1) * WIDTH);
  return Array.from({ length: LENGTH }, (_, i) => {
    const exps = Array.from({ length: LENGTH }, (_, j) => Math.exp(dot(row(q, i), row(k, j)) / Math.sqrt(WIDTH)));
    const total = exps.reduce((sum, exp) => sum + exp, 0);
    return Array.from({ length: WIDTH }, (_, c) =>
      exps.reduce((sum, exp, j) => sum + (exp / total) * (v[j * WIDTH + c] as number), 0),
    );
  }).flat();
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}

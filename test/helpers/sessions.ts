/** Runs a graph under construction in onnxruntime, in this process. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Graph } from '../../src/onnx/graph.ts';
import { serializeModel } from '../../src/onnx/proto.ts';

export interface Numbers {
  readonly type: 'float32' | 'int64';
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** `graph` must be without parameters. Gives one entry per output, in the graph's order. */
export async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Numbers>>,
  options: InferenceSession.SessionOptions = {},
): Promise<Numbers[]> {
  const session = await InferenceSession.create(serializeModel(graph, { producerVersion: 'test' }), {
    logSeverityLevel: 3,
    ...options,
  });
  try {
    const results = await session.run(
      Object.fromEntries(Object.entries(feeds).map(([name, value]) => [name, toTensor(value)])),
    );
    return graph.outputs.map(({ name }) => {
      const { type, dims, data } = results[name] as Tensor;
      return { type: type as Numbers['type'], shape: dims, data: Array.from(data as Float32Array, Number) };
    });
  } finally {
    await session.release();
  }
}

function toTensor({ type, data, shape }: Numbers): Tensor {
  return type === 'int64'
    ? new Tensor('int64', BigInt64Array.from(data, BigInt), shape)
    : new Tensor('float32', Float32Array.from(data), shape);
}

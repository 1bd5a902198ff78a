/** Weights for a graph without a weight file: random, spread as trained ones are, the same for equal names. */
import type { Constant, Graph, Parameter } from '../../src/onnx/graph.ts';

/** The graph with its parameters as constants. They are rounded to fp16 whatever their type, so that graphs of both types agree. */
export function withRandomWeights(graph: Graph): Graph {
  const constants = new Map(graph.constants);
  for (const [name, parameter] of graph.parameters) constants.set(name, randomWeight(parameter));
  return { ...graph, constants, parameters: new Map() };
}

function randomWeight(parameter: Parameter): Constant {
  const { name, type, shape, layout } = parameter;
  const length = shape.reduce((n, dim) => n * dim, 1);
  const fanIn = shape.length < 2 ? 400 : layout === 'transposed' ? (shape[0] as number) : length / (shape[0] as number);
  const spread = Math.sqrt(3 / fanIn); // uniform numbers in ±√3 have a deviation of 1
  const mean = shape.length === 1 && /norm[^.]*\.weight$/.test(name) ? 1 : 0;
  let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, 7);
  const half = Float16Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return mean + (state / 2 ** 31) * spread;
  });
  const data = type === 'float16' ? half : Float32Array.from(half);
  return { name, type, shape, data: new Uint8Array(data.buffer) };
}

/**
 * What one run of a graph costs at given lengths: operations, memory traffic and the peak of its activations, node by node.
 * Nodes that hang on weights alone are folded when the graph is loaded and cost nothing then. docs/cost-model.md says what is left out.
 */
import type { Graph, Value } from './graph.ts';
import { type InitializerInfo, type ModelInfo, type NodeInfo, operatorName, type TensorInfo } from './model-info.ts';
import { isView, nodeWork, type SizedTensor } from './node-cost.ts';
import { type Lengths, namesIn, resolveShape } from './shapes.ts';

/** What the cost of a graph is worked out from: a file's or one under construction. */
export type CostedGraph = Pick<ModelInfo, 'inputs' | 'outputs' | 'nodes' | 'values'> & {
  readonly initializers: readonly Pick<InitializerInfo, 'name' | 'type' | 'shape'>[];
};

export interface NodeCost {
  readonly name: string;
  /** `domain:OpType`, without the prefix for ONNX's own. */
  readonly operator: string;
  /** Convolutions, matrix products, attention; a multiplication and an addition count 2. */
  readonly matrix_flops: number;
  readonly other_flops: number;
  readonly activation_bytes_read: number;
  readonly weight_bytes_read: number;
  readonly bytes_written: number;
}

/** Sums over nodes. */
export interface Work extends Omit<NodeCost, 'name' | 'operator'> {
  readonly nodes: number;
}

export interface Peak {
  readonly bytes: number;
  /** The node that runs when it is reached. */
  readonly node: string;
}

export interface GraphCost {
  /** Of the open dimensions. */
  readonly lengths: Lengths;
  readonly total: Work;
  /** By `domain:OpType`. */
  readonly operators: Readonly<Record<string, Work>>;
  readonly nodes: readonly NodeCost[];
  /** Inputs, outputs and intermediate values that are alive at the same time. */
  readonly peak_activations: Peak;
  /** Weights once each, inputs and outputs: what no execution can do without moving. */
  readonly least_bytes: number;
  /** Nodes worked out when the graph is loaded. */
  readonly folded_nodes: number;
  /** Nodes that are not in the sums, because no formula is known: how many of each operator. */
  readonly unknown_operators: Readonly<Record<string, number>>;
  /** Nodes that are not in the sums, because the file does not tell the shapes of what they take or make. */
  readonly unsized_nodes: number;
}

/** Names of the lengths that `graph` leaves open, in the order in which its inputs have them. */
export function openLengths({ inputs }: Pick<CostedGraph, 'inputs'>): string[] {
  return [...new Set(inputs.flatMap(({ shape }) => shape.flatMap(namesIn)))];
}

/** `lengths` must have a number for each of `openLengths`; nodes that depend on others count as unsized. */
export function graphCost(graph: CostedGraph, lengths: Lengths = {}): GraphCost {
  const weights = new Map(graph.initializers.map((one) => [one.name, sized(one.type, one.shape)]));
  const values = new Map(
    [...graph.values, ...graph.inputs, ...graph.outputs].map(({ name, type, shape }) => {
      const known = resolveShape(shape, lengths);
      return [name, known && sized(type, known)];
    }),
  );
  const tensor = (name: string) => weights.get(name) ?? values.get(name);
  const nodes: NodeCost[] = [];
  const unknown: Record<string, number> = {};
  const needed = new Set<string>();
  let [folded, unsized] = [0, 0];
  const running: NodeInfo[] = [];
  for (const node of graph.nodes) {
    const operator = operatorName(node);
    const [inputs, outputs] = [node.inputs.map(tensor), node.outputs.map(tensor)];
    if (node.inputs.every((name) => name === '' || weights.has(name)) && !RANDOM.test(node.opType)) {
      folded += 1;
      for (const [i, name] of node.outputs.entries()) weights.set(name, outputs[i] ?? EMPTY);
      continue;
    }
    running.push(node);
    if ([...node.inputs, ...node.outputs].some((name) => name !== '' && tensor(name) === undefined)) {
      unsized += 1;
      continue;
    }
    const work = nodeWork(node, { attributes: node.attributes, inputs, outputs });
    if (!work) {
      unknown[operator] = (unknown[operator] ?? 0) + 1;
      continue;
    }
    const sumOf = (isWeight: boolean) =>
      work.read.reduce((sum, bytes, i) => sum + (weights.has(node.inputs[i] ?? '') === isWeight ? bytes : 0), 0);
    for (const [i, name] of node.inputs.entries()) if (weights.has(name) && work.read[i] !== 0) needed.add(name);
    nodes.push({
      name: node.name,
      operator,
      matrix_flops: work.matrix_flops,
      other_flops: work.other_flops,
      activation_bytes_read: sumOf(false),
      weight_bytes_read: sumOf(true),
      bytes_written: work.written,
    });
  }
  const bytesOf = (names: Iterable<string>) => [...names].reduce((sum, name) => sum + (tensor(name)?.bytes ?? 0), 0);
  return {
    lengths,
    total: sumUp(nodes),
    operators: byOperator(nodes),
    nodes,
    peak_activations: peakOf(graph, running, (name) => (weights.has(name) ? 0 : (values.get(name)?.bytes ?? 0))),
    least_bytes: bytesOf(needed) + bytesOf([...graph.inputs, ...graph.outputs].map(({ name }) => name)),
    folded_nodes: folded,
    unknown_operators: unknown,
    unsized_nodes: unsized,
  };
}

const EMPTY: SizedTensor = { shape: [], count: 0, bytes: 0 };

/** Operators that give something else each time. */
const RANDOM = /^(Random|Multinomial|Bernoulli|Dropout)/;

/** Bytes per element; types of half a byte are none of a model's here. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  ...{ FLOAT: 4, FLOAT16: 2, BFLOAT16: 2, DOUBLE: 8, BOOL: 1 },
  ...{ INT8: 1, UINT8: 1, INT16: 2, UINT16: 2, INT32: 4, UINT32: 4, INT64: 8, UINT64: 8 },
};

/** Bytes per element of a type by its ONNX name; undefined for texts and the like. */
export function elementBytes(type: string): number | undefined {
  return ELEMENT_BYTES[type];
}

function sized(type: string, shape: readonly number[]): SizedTensor {
  const count = shape.reduce((n, length) => n * length, 1);
  return { shape, count, bytes: count * (ELEMENT_BYTES[type] ?? 0) };
}

export function sumUp(nodes: readonly NodeCost[]): Work {
  const sum = {
    nodes: 0,
    matrix_flops: 0,
    other_flops: 0,
    activation_bytes_read: 0,
    weight_bytes_read: 0,
    bytes_written: 0,
  };
  for (const node of nodes) {
    sum.nodes += 1;
    sum.matrix_flops += node.matrix_flops;
    sum.other_flops += node.other_flops;
    sum.activation_bytes_read += node.activation_bytes_read;
    sum.weight_bytes_read += node.weight_bytes_read;
    sum.bytes_written += node.bytes_written;
  }
  return sum;
}

function byOperator(nodes: readonly NodeCost[]): Record<string, Work> {
  const groups = Map.groupBy(nodes, ({ operator }) => operator);
  return Object.fromEntries([...groups].map(([operator, own]) => [operator, sumUp(own)]));
}

/** Bytes that a node or a sum of them reads and writes. */
export function traffic(work: Pick<Work, 'activation_bytes_read' | 'weight_bytes_read' | 'bytes_written'>): number {
  return work.activation_bytes_read + work.weight_bytes_read + work.bytes_written;
}

/**
 * The most that is alive at a time when `nodes` run in their order: a value lives from the node that makes it to the last one that
 * reads it, inputs and outputs of the graph from beginning to end and from their node to the end. A view keeps alive what it views.
 */
function peakOf(graph: CostedGraph, nodes: readonly NodeInfo[], bytesOf: (name: string) => number): Peak {
  const viewed = new Map<string, string>();
  const rootOf = (name: string) => viewed.get(name) ?? name;
  const lastUse = new Map<string, number>();
  for (const [i, node] of nodes.entries()) {
    for (const name of node.inputs) lastUse.set(rootOf(name), i);
    const [made] = node.outputs;
    if (made !== undefined && isView(node)) viewed.set(made, rootOf(node.inputs[0] ?? ''));
    for (const name of node.outputs) lastUse.set(rootOf(name), i);
  }
  for (const { name } of [...graph.inputs, ...graph.outputs]) lastUse.set(rootOf(name), nodes.length);
  const ending = Map.groupBy(lastUse.keys(), (name) => lastUse.get(name) as number);
  let alive = graph.inputs.reduce((sum, { name }) => sum + bytesOf(name), 0);
  let peak: Peak = { bytes: alive, node: '' };
  for (const [i, node] of nodes.entries()) {
    for (const name of node.outputs) if (!viewed.has(name)) alive += bytesOf(name);
    if (alive > peak.bytes) peak = { bytes: alive, node: node.name };
    for (const name of ending.get(i) ?? []) alive -= bytesOf(name);
  }
  return peak;
}

// ---------------------------------------------------------------------------------------------------- graphs under construction

const ONNX_TYPE = { float64: 'DOUBLE', float32: 'FLOAT', float16: 'FLOAT16', int64: 'INT64' } as const;

/** A graph that no file holds yet. */
export function costedGraph(graph: Graph): CostedGraph {
  const info = <Shape extends Value['shape']>({ name, type, shape }: Value & { readonly shape: Shape }) => ({
    name,
    type: ONNX_TYPE[type],
    shape,
  });
  return {
    inputs: graph.inputs.map(info) satisfies readonly TensorInfo[],
    outputs: graph.outputs.map(info),
    nodes: graph.nodes.map(({ domain = '', attributes, ...node }) => ({
      ...node,
      domain,
      attributes: Object.fromEntries(
        Object.entries(attributes).map(([name, value]) => [
          name,
          typeof value === 'object' && 'float' in value ? value.float : value,
        ]),
      ),
    })),
    values: [...graph.values.values()].map(info),
    initializers: [...graph.parameters.values(), ...graph.constants.values()].map(info),
  };
}

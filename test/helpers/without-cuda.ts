/**
 * A graph made for CUDA, written with ONNX's own operators where onnxruntime has no CPU kernel for one of com.microsoft, so that it can
 * run anywhere. What each stands for is taken from onnxruntime's docs/ContribOperators.md; what its CUDA kernel demands beyond
 * that (contrib_ops/cuda/diffusion, core/providers/cuda/nn/conv.cc) is checked here or makes the written-out form fail.
 */
import type { Attribute, Constant, Graph, Node } from '../../src/onnx/graph.ts';

type Attributes = Readonly<Record<string, Attribute>>;

/** Widths that BiasSplitGelu is compiled for. */
const SPLIT_GELU_WIDTHS = [2560, 5120, 6144, 10240, 12288];

const [FLOAT, FLOAT16] = [1, 10];

/** The written-out graph under construction. */
interface Draft {
  readonly nodes: Node[];
  readonly constants: Map<string, Constant>;
  /** Values that are known when the graph is loaded: parameters, constants, and what is computed from these alone. */
  readonly known: ReadonlySet<string>;
  /** Shape and type of parameters and constants, by the name of whatever is a cast of them. */
  readonly stored: ReadonlyMap<string, { readonly shape: readonly number[]; readonly type: string }>;
  /** Number of `type`, the one that the graph computes in. */
  readonly type: number;
}

export function withoutCuda(graph: Graph, type: 'float16' | 'float32'): Graph {
  const draft: Draft = {
    nodes: [],
    constants: new Map(graph.constants),
    known: knownValues(graph),
    stored: storedValues(graph),
    type: type === 'float16' ? FLOAT16 : FLOAT,
  };
  for (const node of graph.nodes) {
    const write = WRITTEN_OUT[node.opType];
    if (write) write(draft, node);
    else draft.nodes.push(node);
  }
  return { ...graph, nodes: draft.nodes, constants: draft.constants };
}

/** Names of the values that do not depend on the graph's inputs. */
export function knownValues({ parameters, constants, nodes }: Graph): Set<string> {
  const known = new Set([...parameters.keys(), ...constants.keys()]);
  for (const { inputs, outputs } of nodes) {
    if (inputs.every((name) => name === '' || known.has(name))) for (const name of outputs) known.add(name);
  }
  return known;
}

function storedValues({ parameters, constants, nodes }: Graph): Draft['stored'] {
  const stored = new Map<string, { shape: readonly number[]; type: string }>();
  for (const [name, { shape, type }] of [...parameters, ...constants]) stored.set(name, { shape, type });
  for (const { opType, inputs, outputs, attributes } of nodes) {
    const from = stored.get(inputs[0] as string);
    if (opType !== 'Cast' || !from) continue;
    stored.set(outputs[0] as string, { shape: from.shape, type: attributes['to'] === FLOAT ? 'float32' : 'float16' });
  }
  return stored;
}

function demand(condition: boolean, node: Node, what: string): asserts condition {
  if (!condition) throw new Error(`${node.name}: the CUDA kernel of ${node.opType} wants ${what}.`);
}

// ---------------------------------------------------------------------------------------------------- nodes

/** Adds a node and gives the name of its output. */
function add(draft: Draft, opType: string, inputs: readonly string[], attributes: Attributes = {}, output?: string) {
  const name = output ?? `written-out.${draft.nodes.length}`;
  draft.nodes.push({ name: `${opType} ${draft.nodes.length}`, opType, inputs, outputs: [name], attributes });
  return name;
}

function integers(draft: Draft, values: readonly number[]): string {
  const name = `written-out.int64.[${values}]`;
  const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  draft.constants.set(name, { name, type: 'int64', shape: [values.length], data });
  return name;
}

function float(draft: Draft, value: number): string {
  const name = `written-out.float.${value}`;
  draft.constants.set(name, { name, type: 'float32', shape: [], data: new Uint8Array(Float32Array.of(value).buffer) });
  return name;
}

const cast = (draft: Draft, x: string, to: number, output?: string) => add(draft, 'Cast', [x], { to }, output);
const transpose = (draft: Draft, x: string, perm: readonly number[], output?: string) =>
  add(draft, 'Transpose', [x], { perm }, output);

// ---------------------------------------------------------------------------------------------------- operators

const WRITTEN_OUT: Readonly<Record<string, (draft: Draft, node: Node) => void>> = {
  NhwcConv: (draft, node) => {
    const [x, w, b] = node.inputs as [string, string, string?];
    demand(draft.known.has(w), node, 'a weight that is there when the session is made');
    const images = transpose(draft, x, [0, 3, 1, 2]);
    const kernels = transpose(draft, w, [0, 3, 1, 2]);
    const y = add(draft, 'Conv', b ? [images, kernels, b] : [images, kernels], node.attributes);
    transpose(draft, y, [0, 2, 3, 1], node.outputs[0]);
  },
  GroupNorm: (draft, node) => {
    const [x] = node.inputs as [string];
    groupNorm(draft, node, transpose(draft, x, [0, 1, 2, 3])); // four axes, or this fails
  },
  SkipGroupNorm: (draft, node) => {
    const [x, , , skip, bias] = node.inputs as [string, string, string, string, string?];
    const images = transpose(draft, x, [0, 1, 2, 3]);
    const biased = bias ? add(draft, 'Add', [images, bias]) : images;
    // a row per pixel, or one per image: anything else fails
    const rows = [integers(draft, [0]), integers(draft, [1]), integers(draft, [0])] as const;
    const count = add(draft, 'Slice', [add(draft, 'Shape', [images]), ...rows]);
    const channels = channelsOf(draft, node);
    const form = add(draft, 'Concat', [count, integers(draft, [-1, channels])], { axis: 0 });
    const tokens = add(draft, 'Reshape', [biased, form]);
    const sum = add(draft, 'Add', [tokens, add(draft, 'Reshape', [skip, form])]);
    groupNorm(draft, node, add(draft, 'Reshape', [sum, add(draft, 'Shape', [images])], {}, node.outputs[1]));
  },
  BiasSplitGelu: (draft, node) => {
    const [x, bias] = node.inputs as [string, string];
    const width = draft.stored.get(bias)?.shape[0] as number;
    demand(SPLIT_GELU_WIDTHS.includes(width), node, `one of the widths ${SPLIT_GELU_WIDTHS}`);
    const tokens = transpose(draft, x, [0, 1, 2]); // three axes, or this fails
    const whole = cast(draft, add(draft, 'Add', [tokens, bias]), FLOAT);
    const half = (from: number) =>
      add(draft, 'Slice', [whole, ...[from, from + width / 2, 2].map((n) => integers(draft, [n]))]);
    const [left, right] = [half(0), half(width / 2)];
    const erf = add(draft, 'Erf', [add(draft, 'Mul', [right, float(draft, Math.SQRT1_2)])]);
    const gate = add(draft, 'Mul', [right, add(draft, 'Add', [erf, float(draft, 1)])]);
    const product = add(draft, 'Mul', [add(draft, 'Mul', [left, gate]), float(draft, 0.5)]);
    cast(draft, product, draft.type, node.outputs[0]);
  },
  BiasAdd: (draft, node) => {
    const [x, bias, skip] = node.inputs as [string, string, string];
    const biased = add(draft, 'Add', [transpose(draft, x, [0, 1, 2]), bias]);
    // equal shapes, or this fails
    const same = add(draft, 'Reshape', [skip, add(draft, 'Shape', [x])]);
    add(draft, 'Add', [biased, same], {}, node.outputs[0]);
  },
};

function channelsOf(draft: Draft, node: Node): number {
  const [, gamma, beta] = node.inputs as [string, string, string];
  const known = [gamma, beta].map((name) => draft.stored.get(name));
  demand(
    known.every((value) => value?.type === 'float32'),
    node,
    'gamma and beta that are there as float32',
  );
  return known[0]?.shape[0] as number;
}

/** (x − mean) / √(variance + ε) · γ + β in float32, SiLU of that where the activation is 1. */
function groupNorm(draft: Draft, node: Node, x: string): void {
  const [, gamma, beta] = node.inputs as [string, string, string];
  const { groups, epsilon, activation, channels_last } = node.attributes as Record<string, number> & {
    epsilon: { float: number };
  };
  const channels = channelsOf(draft, node);
  const width = channels / (groups as number);
  demand(channels_last === 1, node, 'channels last');
  demand(
    Number.isInteger(width) && width % 2 === 0 && width <= 512,
    node,
    'an even number of at most 512 channels per group',
  );
  const grouped = add(draft, 'Reshape', [cast(draft, x, FLOAT), integers(draft, [0, -1, groups as number, width])]);
  const axes = integers(draft, [1, 3]);
  const centred = add(draft, 'Sub', [grouped, add(draft, 'ReduceMean', [grouped, axes])]);
  const variance = add(draft, 'ReduceMean', [add(draft, 'Mul', [centred, centred]), axes]);
  const deviation = add(draft, 'Sqrt', [add(draft, 'Add', [variance, float(draft, epsilon.float)])]);
  const image = add(draft, 'Reshape', [add(draft, 'Div', [centred, deviation]), add(draft, 'Shape', [x])]);
  const affine = add(draft, 'Add', [add(draft, 'Mul', [image, gamma]), beta]);
  const active = activation === 1 ? add(draft, 'Mul', [affine, add(draft, 'Sigmoid', [affine])]) : affine;
  cast(draft, active, draft.type, node.outputs[0]);
}

/**
 * A graph under construction: values with type and shape, nodes, initializers. It is authored once and never edited;
 * `onnx/ops/` holds one function per ONNX operator, `onnx/proto.ts` turns the result into bytes.
 * A name is the path of the code that makes it (`down_blocks.0.resnets.1.conv1`), so parameters get their diffusers names.
 */
import { FormatError } from '../errors.ts';

/** float64 is for the merge's own arithmetic; no exported graph has it. */
export type ElementType = 'float64' | 'float32' | 'float16' | 'int64';

/** A length that is known, or the name of one that is known only at run time. */
export type Dim = number | string;

export interface Value {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly Dim[];
}

/** How a parameter's bytes lie in the weight file, relative to the PyTorch tensor of the same name. */
export type Layout = 'as-is' | 'transposed';

/** A weight: named by its diffusers parameter, stored in the external data file. */
export interface Parameter extends Value {
  readonly shape: readonly number[];
  readonly layout: Layout;
}

/** Bytes that it takes in the weight file. */
export function parameterBytes({ shape, type }: Parameter): number {
  return shape.reduce((n, dim) => n * dim, type === 'float16' ? 2 : 4);
}

/** A small constant that the graph itself carries. */
export interface Constant extends Value {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

export type Attribute = number | readonly number[] | string | { readonly float: number };

export interface Node {
  readonly name: string;
  readonly opType: string;
  /** Left out for ONNX's own operators. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

export interface Graph {
  readonly name: string;
  readonly inputs: Value[];
  readonly outputs: Value[];
  readonly nodes: Node[];
  readonly parameters: Map<string, Parameter>;
  readonly constants: Map<string, Constant>;
  /** Everything that the nodes make, by name; the model's value_info. */
  readonly values: Map<string, Value>;
  /** Symbolic dimension → the first value that has it, and on which axis: where its length can be read at run time. */
  readonly symbols: Map<string, { readonly value: Value; readonly axis: number }>;
  /** One-element int64 tensors already made for symbolic dimensions, and shape vectors made of them. */
  readonly shapeValues: Map<string, Value>;
}

/** A place in the graph: ops and parameters made through it are named by its path. */
export interface Scope {
  readonly graph: Graph;
  readonly path: string;
  /** Element type of parameters and activations made in this scope. */
  readonly type: 'float32' | 'float16';
  in(...steps: readonly (string | number)[]): Scope;
}

export function createGraph(name: string): Graph {
  return {
    name,
    inputs: [],
    outputs: [],
    nodes: [],
    parameters: new Map(),
    constants: new Map(),
    values: new Map(),
    symbols: new Map(),
    shapeValues: new Map(),
  };
}

export function rootScope(graph: Graph, type: 'float32' | 'float16', path = ''): Scope {
  return {
    graph,
    path,
    type,
    in: (...steps) => rootScope(graph, type, [path, ...steps].filter((step) => step !== '').join('.')),
  };
}

export function addInput(graph: Graph, name: string, type: ElementType, shape: readonly Dim[]): Value {
  const value = { name, type, shape };
  graph.inputs.push(value);
  noteSymbols(graph, value);
  return value;
}

/** Declares `value`, made by the last node, as an output and gives it `name`. */
export function addOutput(scope: Scope, value: Value, name: string): void {
  const output = emit(scope, 'Identity', [value], {}, value.type, value.shape, name);
  scope.graph.outputs.push(output);
}

/** `[out, in]` Linear weights are asked for transposed, `[in, out]`, which is what MatMul takes. */
export function parameter(scope: Scope, leaf: string, shape: readonly number[], layout: Layout = 'as-is'): Parameter {
  const name = scope.path === '' ? leaf : `${scope.path}.${leaf}`;
  const known = scope.graph.parameters.get(name);
  if (known) {
    if (known.layout === layout && known.shape.join() === shape.join()) return known;
    throw new RangeError(`${name} was asked for as [${known.shape}] ${known.layout} and as [${shape}] ${layout}.`);
  }
  const made: Parameter = { name, type: scope.type, shape, layout };
  scope.graph.parameters.set(name, made);
  return made;
}

/** Records a node and returns its one output. */
export function emit(
  scope: Scope,
  opType: string,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  type: ElementType,
  shape: readonly Dim[],
  outputName?: string,
  domain?: string,
): Value {
  return emitMany(scope, opType, inputs, attributes, type, [shape], outputName, domain)[0] as Value;
}

/** Records a node with one output per shape; an optional output that is not wanted has none. */
export function emitMany(
  scope: Scope,
  opType: string,
  inputs: readonly (Value | undefined)[],
  attributes: Readonly<Record<string, Attribute>>,
  type: ElementType,
  shapes: readonly (readonly Dim[] | undefined)[],
  outputName?: string,
  domain?: string,
): readonly (Value | undefined)[] {
  const { graph } = scope;
  const name = `${scope.path === '' ? '' : `${scope.path}/`}${opType}_${graph.nodes.length}`;
  const outputs = shapes.map(
    (shape, i): Value | undefined =>
      shape && { name: outputName ?? (shapes.length === 1 ? name : `${name}:${i}`), type, shape },
  );
  graph.nodes.push({
    name,
    opType,
    ...(domain && { domain }),
    inputs: inputs.map((input) => input?.name ?? ''),
    outputs: outputs.map((output) => output?.name ?? ''),
    attributes,
  });
  for (const output of outputs) {
    if (!output) continue;
    graph.values.set(output.name, output);
    noteSymbols(graph, output);
  }
  return outputs;
}

function noteSymbols(graph: Graph, value: Value): void {
  for (const [axis, dim] of value.shape.entries()) {
    if (typeof dim === 'string' && !graph.symbols.has(dim)) graph.symbols.set(dim, { value, axis });
  }
}

// ---------------------------------------------------------------------------------------------------- constants

/** Equal constants are one initializer: their names say type, shape and value. */
function constant(graph: Graph, name: string, type: ElementType, shape: readonly number[], data: Uint8Array): Constant {
  const known = graph.constants.get(name);
  if (known) return known;
  const made = { name, type, shape, data };
  graph.constants.set(name, made);
  return made;
}

export function int64Constant(graph: Graph, values: readonly number[]): Constant {
  const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return constant(graph, `const.int64.[${values.join(',')}]`, 'int64', [values.length], data);
}

const FLOAT_ARRAYS = { float64: Float64Array, float32: Float32Array, float16: Float16Array } as const;

/** A constant tensor of `type`; `name` must say what it holds when it has more than a handful of elements. */
export function floatConstant(
  graph: Graph,
  type: 'float64' | 'float32' | 'float16',
  values: readonly number[] | Float32Array | Float64Array,
  shape: readonly number[] = [],
  name = `${values.join(',')}`,
): Constant {
  const typed = FLOAT_ARRAYS[type].from(values);
  const data = new Uint8Array(typed.buffer);
  return constant(graph, `const.${type}.[${shape.join(',')}].${name}`, type, shape, data);
}

// ---------------------------------------------------------------------------------------------------- dimensions

/**
 * Product of two dimensions: a number where both are, else a name that equal products share. Names of lengths are Python
 * with spaces between their parts: so optimum evaluates those of an output.
 */
export function times(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  if (a === 1) return b;
  if (b === 1) return a;
  const factor = (dim: Dim) => (String(dim).includes('//') ? `(${dim})` : dim);
  return `${a} * ${factor(b)}`;
}

/**
 * Length after a convolution with kernel 3 and stride 2: ⌈n / 2⌉ with padding 1 on both sides, ⌊n / 2⌋ with it behind alone. The name of
 * the latter is Python, which optimum evaluates for the lengths of an output.
 */
export function halved(a: Dim, rounding: 'ceil' | 'floor' = 'ceil'): Dim {
  if (typeof a === 'number') return Math[rounding](a / 2);
  return rounding === 'ceil' ? `ceil(${a}/2)` : `${a} // 2`;
}

/** Number of elements, or undefined while a dimension is symbolic. */
export function elementCount(shape: readonly Dim[]): number | undefined {
  let count = 1;
  for (const dim of shape) {
    if (typeof dim === 'string') return undefined;
    count *= dim;
  }
  return count;
}

/** A one-element int64 tensor with the length of a symbolic dimension. */
function symbolValue(scope: Scope, symbol: string): Value {
  const { graph } = scope;
  const known = graph.shapeValues.get(symbol);
  if (known) return known;
  const place = graph.symbols.get(symbol);
  if (!place) throw new FormatError(`The graph ${graph.name} has no value with the dimension ${symbol} yet.`);
  const made = emit(scope, 'Shape', [place.value], { start: place.axis, end: place.axis + 1 }, 'int64', [1]);
  graph.shapeValues.set(symbol, made);
  return made;
}

/**
 * An int64 vector that holds `shape` at run time: a constant where every entry is a number (0 and −1 keep the
 * meaning that Reshape gives them), else the pieces put together; equal vectors are made once.
 */
export function shapeVector(scope: Scope, shape: readonly Dim[]): Value {
  const { graph } = scope;
  if (shape.every((dim) => typeof dim === 'number')) return int64Constant(graph, shape as readonly number[]);
  const key = `[${shape.join(',')}]`;
  const known = graph.shapeValues.get(key);
  if (known) return known;
  const pieces = shape.map((dim) => (typeof dim === 'number' ? int64Constant(graph, [dim]) : symbolValue(scope, dim)));
  const made = emit(scope, 'Concat', pieces, { axis: 0 }, 'int64', [shape.length]);
  graph.shapeValues.set(key, made);
  return made;
}

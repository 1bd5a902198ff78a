/** What an ONNX graph is: boundary, operators, weights, and what a run of it costs. */
import { stat } from 'node:fs/promises';
import { elementBytes } from '../../../onnx/graph-cost.ts';
import { type InitializerInfo, type ModelInfo, readModelInfo, type TensorInfo } from '../../../onnx/model-info.ts';
import { type Clip, lengthsFor } from '../../../runtime/graph-lengths.ts';
import { formatBytes, formatCount } from '../../../text/quantity.ts';
import { costRows, costSections, costsAt, costValue, type ShapedCost } from './cost.ts';
import type { Found, Row } from './found.ts';

export interface GraphFound {
  readonly path: string;
  readonly info: ModelInfo;
  readonly costs: readonly ShapedCost[];
  readonly found: Found;
}

/** `clips` are the shapes at which a graph with open lengths is looked at. */
export async function inspectGraph(path: string, clips: readonly Clip[]): Promise<GraphFound> {
  const info = await readModelInfo(path);
  const graphBytes = (await stat(path)).size;
  const costs = costsAt(info, clips);
  const { irVersion, producer, opsets, inputs, outputs, operators, metadata } = info;
  const external = info.initializers.filter((initializer) => initializer.external);
  const weightBytes = external.reduce((sum, { external: place }) => sum + (place?.length ?? 0), 0);
  const locations = [...new Set(external.map(({ external: place }) => place?.location ?? ''))];
  const parameters = parametersOf(info.initializers);
  const value = {
    file: path,
    kind: 'onnx',
    bytes: graphBytes,
    ir_version: irVersion,
    producer,
    opsets,
    inputs,
    outputs,
    operators,
    domains: operatorsByDomain(operators),
    nodes: info.nodes.length,
    initializers: info.initializers.length,
    parameters: parameters.count,
    parameter_bytes: parameters.bytes,
    external: { files: locations, tensors: external.length, bytes: weightBytes },
    metadata,
    costs: costs.map(costValue),
  };
  const rows: Row[] = [
    ['made by', producer || 'unknown'],
    [
      'version',
      `IR ${irVersion}, opset ${Object.entries(opsets)
        .map(([domain, n]) => `${domain || DEFAULT_DOMAIN} ${n}`)
        .join(', ')}`,
    ],
    ...inputs.map((input) => ['input', describeTensor(input)] as const),
    ...outputs.map((output) => ['output', describeTensor(output)] as const),
    ['nodes', String(info.nodes.length)],
    ...operatorRows(info),
    [
      'parameters',
      `${formatCount(parameters.count)} in ${info.initializers.length} tensors, ${formatBytes(parameters.bytes)}; ${external.length} (${formatBytes(weightBytes)}) in ${locations.join(', ') || 'no other file'}`,
    ],
    ['size', formatBytes(graphBytes)],
    ...Object.entries(metadata),
  ];
  const [first, ...others] = costs;
  const sections = [
    ...(first ? costSections(first) : []),
    ...others.map((cost) => ({ title: `One run at ${cost.shape}`, rows: costRows(cost) })),
  ];
  return { path, info, costs, found: { value, title: `${path}: ONNX graph`, rows, sections, open: isOpen(info) } };
}

/** What ONNX's own operators belong to. */
export const DEFAULT_DOMAIN = 'ai.onnx';

/** domain → operator → nodes. */
export function operatorsByDomain(operators: ModelInfo['operators']): Record<string, Record<string, number>> {
  const domains: Record<string, Record<string, number>> = {};
  for (const [operator, nodes] of Object.entries(operators).sort(([, a], [, b]) => b - a)) {
    const [name = '', domain = DEFAULT_DOMAIN] = operator.split(':').reverse();
    const own = (domains[domain] ??= {});
    own[name] = nodes;
  }
  return domains;
}

/** A row for each domain: its operators, the most frequent first. */
export function operatorRows({ operators }: ModelInfo): Row[] {
  return Object.entries(operatorsByDomain(operators)).map(([domain, own]) => [domain, describeOperators(own)]);
}

/** Would another clip have another cost? */
function isOpen({ inputs }: ModelInfo): boolean {
  const at = (length: number) => lengthsFor(inputs, { batch: 1, frames: length, width: length, height: length });
  return JSON.stringify(at(8)) !== JSON.stringify(at(16));
}

function describeOperators(operators: Readonly<Record<string, number>>): string {
  return Object.entries(operators)
    .map(([name, nodes]) => `${nodes}\u00a0${name}`)
    .join(', ');
}

/** Numbers that the graph is given; texts and whole numbers are settings of operators. */
function parametersOf(initializers: readonly InitializerInfo[]): { count: number; bytes: number } {
  let [count, bytes] = [0, 0];
  for (const { type, shape } of initializers) {
    if (!/FLOAT|DOUBLE/.test(type)) continue;
    const elements = shape.reduce((n, dim) => n * dim, 1);
    count += elements;
    bytes += elements * (elementBytes(type) ?? 0);
  }
  return { count, bytes };
}

function describeTensor({ name, type, shape }: TensorInfo): string {
  return `${name} ${type} [${shape.join(', ')}]`;
}

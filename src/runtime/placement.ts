/**
 * Which nodes of a graph onnxruntime leaves to the CPU when it loads it on another device, and whether that may be. Arithmetic of shapes and
 * single numbers belongs there: their results are wanted there. A tensor that is computed there goes to and fro at every step.
 * Source of truth: session.disable_cpu_ep_fallback, and what onnxruntime says of placements in its log (session_state.cc).
 */

import { RuntimeFailure } from '../errors.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import { count } from '../text/quantity.ts';
import { type Device, TRAITS } from './device.ts';
import type { HostedSession, InferenceHost } from './host.ts';

export interface PlacedNode {
  readonly operator: string;
  readonly name: string;
}

export interface PlacedSession extends HostedSession {
  /** What computes on the CPU instead of the device, as the beginning of a sentence; only where that is allowed. */
  readonly fallback?: string;
}

export interface PlacementOptions {
  readonly allowFallback?: boolean | undefined;
}

/**
 * Loads the graph `path` so that the device computes all of it.
 * @throws RuntimeFailure when it does not load, or when a part of it would be computed on the CPU and that is not allowed.
 */
export async function loadPlaced(
  host: InferenceHost,
  path: string,
  device: Device,
  { allowFallback = false }: PlacementOptions = {},
): Promise<PlacedSession> {
  if (device === 'cpu') return host.load(path, device);
  try {
    return await host.load(path, device, { wholly: true });
  } catch (error) {
    if (!(error instanceof RuntimeFailure && REFUSED.test(error.message))) throw error;
  }
  const info = await readModelInfo(path);
  const strays = cpuNodes(await host.loadingLog(path, device)).filter((node) => !isSmall(node, info));
  if (strays.length === 0) return host.load(path, device);
  const fallback = `${describe(strays)} of ${path} run on the CPU instead of ${device}`;
  if (!allowFallback && TRAITS[device].fallback === 'refused') {
    throw new RuntimeFailure(
      `${fallback}, which has no kernels for them: their tensors would go to and fro at every step. ${REMEDIES[device] ?? 'Run with --device cpu.'} ` +
        '--allow-fallback takes it as it is.',
    );
  }
  return { ...(await host.load(path, device)), fallback };
}

/** inference_session.cc, of what session.disable_cpu_ep_fallback refuses. */
const REFUSED = /assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled/;

const REMEDIES: Readonly<Partial<Record<Device, string>>> = {
  webgpu: 'Bake with output.targets: [portable, webgpu] for a graph that is wholly its own.',
  cuda: 'Bake with output.targets: [portable, cuda] for a graph that is wholly its own.',
  dml: 'Run with --device webgpu or cpu.',
};

/**
 * Read off the log of loading; where it says nothing of placements, one nameless node stands for those that there must be.
 * Lines: `… VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [P]. Number of nodes: N`, then `…]   Operator (name)` for each.
 */
export function cpuNodes(log: string): PlacedNode[] {
  const nodes: PlacedNode[] = [];
  let provider: string | undefined;
  for (const [, said = ''] of log.matchAll(/VerifyEachNodeIsAssignedToAnEp\]\s+(.*)/g)) {
    const heading = /^(?:All nodes|Node\(s\)) placed on \[(\w+)\]/.exec(said);
    const node = /^([\w.:]+) \((.*)\)/.exec(said);
    if (heading) provider = heading[1];
    else if (node && provider === 'CPUExecutionProvider')
      nodes.push({ operator: node[1] as string, name: node[2] as string });
  }
  return nodes.length > 0 ? nodes : [{ operator: 'node', name: '' }];
}

/** Where onnxruntime changes the layout of images it permutes the shapes that belong to them (transpose_optimization). */
const PERMUTED_SHAPE = /^Gather(_token_\d+)?$/;

/** Does it make whole numbers or a single number, as far as the file tells? */
function isSmall({ name }: PlacedNode, { nodes, values, outputs }: ModelInfo): boolean {
  const node = name === '' ? undefined : nodes.find((candidate) => candidate.name === name);
  if (!node) return PERMUTED_SHAPE.test(name);
  return node.outputs.every((output) => {
    const made = [...values, ...outputs].find((value) => value.name === output);
    return made !== undefined && (/^U?INT|^BOOL/.test(made.type) || made.shape.every((length) => length === 1));
  });
}

/** `3 nodes (2 × Gelu, 1 × TopK)` */
function describe(nodes: readonly PlacedNode[]): string {
  const counts = new Map<string, number>();
  for (const { operator } of nodes) counts.set(operator, (counts.get(operator) ?? 0) + 1);
  if (nodes[0]?.name === '' && nodes.length === 1) return 'Nodes';
  const kinds = [...counts].sort(([, a], [, b]) => b - a).map(([operator, n]) => `${n} × ${operator}`);
  return `${count(nodes.length, 'node')} (${kinds.join(', ')})`;
}

/** The cost of a graph at one shape, as an object and as figures. docs/cost-model.md says what they mean. */
import {
  type CostedGraph,
  type GraphCost,
  graphCost,
  type NodeCost,
  traffic,
  type Work,
} from '../../../onnx/graph-cost.ts';
import { type Clip, describeClip, lengthsFor } from '../../../runtime/graph-lengths.ts';
import { count, formatBytes, formatCount } from '../../../text/quantity.ts';
import type { Row, Section } from './found.ts';

/** Nodes and operators that are listed one by one. */
const LISTED = 8;

export interface ShapedCost {
  /** Frames, width and height in pixels, or what the first input is. */
  readonly shape: string;
  readonly cost: GraphCost;
}

/** At each of `clips`, shapes that come out alike once; a graph without open lengths has one. */
export function costsAt(graph: CostedGraph, clips: readonly Clip[]): readonly ShapedCost[] {
  const known = new Map<string, ShapedCost>();
  for (const clip of clips) {
    const lengths = lengthsFor(graph.inputs, clip);
    const key = JSON.stringify(lengths);
    if (!known.has(key))
      known.set(key, { shape: describeClip(graph.inputs, lengths), cost: graphCost(graph, lengths) });
  }
  return [...known.values()];
}

/** FLOPs of products for each byte that is read or written. */
const intensity = (work: Work) => work.matrix_flops / Math.max(1, traffic(work));

export function costValue({ shape, cost }: ShapedCost): object {
  const { nodes, operators, total, ...rest } = cost;
  return {
    shape,
    flops: total.matrix_flops + total.other_flops,
    ...total,
    intensity: intensity(total),
    ...rest,
    operators: Object.fromEntries(
      Object.entries(operators).sort(([, a], [, b]) => b.matrix_flops - a.matrix_flops || traffic(b) - traffic(a)),
    ),
    top_nodes: {
      by_flops: top(nodes, ({ matrix_flops, other_flops }) => matrix_flops + other_flops),
      by_bytes: top(nodes, traffic),
    },
  };
}

function top<Item>(items: readonly Item[], of: (item: Item) => number): Item[] {
  return items
    .filter((item) => of(item) > 0)
    .toSorted((a, b) => of(b) - of(a))
    .slice(0, LISTED);
}

/** Rows of figures, then operators by work and by bytes and the nodes that lead both. */
export function costSections(shaped: ShapedCost): Section[] {
  return [{ title: `One run at ${shaped.shape}`, rows: costRows(shaped) }, ...rankings(shaped)];
}

export function costRows({ cost }: ShapedCost): Row[] {
  const { total, peak_activations: peak, least_bytes } = cost;
  const uncounted = [
    ...Object.entries(cost.unknown_operators).map(([operator, n]) => `${n} × ${operator} (no formula)`),
    ...(cost.unsized_nodes > 0
      ? [`${count(cost.unsized_nodes, 'node')} of which the file does not tell the shapes`]
      : []),
  ];
  if (total.nodes === 0) return [['cost', `not known: ${uncounted.join(', ') || 'no node runs'}`]];
  const { activation_bytes_read, weight_bytes_read, bytes_written } = total;
  return [
    [
      'operations',
      `${formatCount(total.matrix_flops, 'FLOP')} of products, ${formatCount(total.other_flops, 'FLOP')} of other arithmetic`,
    ],
    [
      'node by node',
      `reads ${formatBytes(weight_bytes_read)} of weights and ${formatBytes(activation_bytes_read)} of activations, writes ${formatBytes(bytes_written)}`,
    ],
    ['at least', `${formatBytes(least_bytes)}: weights once, inputs and outputs`],
    [
      'intensity',
      `${formatCount(intensity(total))} FLOP per byte node by node, ${formatCount(total.matrix_flops / least_bytes)} at most`,
    ],
    [
      'activations',
      `${formatBytes(peak.bytes)} at a time${peak.node === '' ? '' : `, at ${shortened(peak.node, 60)}`}`,
    ],
    ...(uncounted.length > 0 ? [['not counted', uncounted.join(', ')] as const] : []),
  ];
}

function rankings({ cost }: ShapedCost): Section[] {
  if (cost.total.nodes === 0) return [];
  const operators = Object.entries(cost.operators);
  const heavy = new Map([
    ...top(operators, ([, work]) => work.matrix_flops + work.other_flops),
    ...top(operators, ([, work]) => traffic(work)),
  ]);
  const share = (part: number, whole: number) => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`);
  const whole = { flops: cost.total.matrix_flops + cost.total.other_flops, bytes: traffic(cost.total) };
  const figures = (work: Pick<NodeCost, Exclude<keyof NodeCost, 'name' | 'operator'>>) => {
    const [flops, bytes] = [work.matrix_flops + work.other_flops, traffic(work)];
    return [formatCount(flops), share(flops, whole.flops), formatBytes(bytes), share(bytes, whole.bytes)];
  };
  const nodes = new Set([
    ...top(cost.nodes, (node) => node.matrix_flops + node.other_flops).slice(0, 3),
    ...top(cost.nodes, traffic).slice(0, 3),
  ]);
  return [
    {
      title: 'Operators by work',
      figures: [
        ['operator', 'nodes', 'FLOP', 'share', 'bytes', 'share'],
        ...[...heavy]
          .sort(
            ([, a], [, b]) =>
              b.matrix_flops + b.other_flops - a.matrix_flops - a.other_flops || traffic(b) - traffic(a),
          )
          .map(([operator, work]) => [operator.replace('com.microsoft:', 'ms:'), String(work.nodes), ...figures(work)]),
      ],
    },
    {
      title: 'Nodes with most work and most bytes',
      figures: [
        ['node', 'FLOP', 'share', 'bytes', 'share'],
        ...[...nodes].map((node) => [shortened(node.name), ...figures(node)]),
      ],
    },
  ];
}

/** Columns for the name of a node. */
const LABEL = 38;

/** The end of a path says more than its beginning. */
function shortened(name: string, width = LABEL): string {
  return name.length <= width ? name : `…${name.slice(1 - width)}`;
}

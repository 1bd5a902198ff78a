/** What a package is: its lock and verdict in short, a line for every graph, and the graph of each component at length. */
import { readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { CheckVerdict } from '../../../events.ts';
import { LOCK_FILE, type Lock } from '../../../export/lock.ts';
import { traffic } from '../../../onnx/graph-cost.ts';
import { clipShapes } from '../../../recipe/clip-shapes.ts';
import type { Clip } from '../../../runtime/graph-lengths.ts';
import { readLock } from '../../../runtime/lock-file.ts';
import { formatBytes, formatCount, formatNumber } from '../../../text/quantity.ts';
import { readReport } from '../../../verify/report.ts';
import type { Found, Row, Section } from './found.ts';
import { DEFAULT_DOMAIN, type GraphFound, inspectGraph, operatorRows, operatorsByDomain } from './graph.ts';

/** Graphs of a component: for targets and shapes each its own (export/graph-file-name.ts). */
const GRAPH_FILE = /^model(\..+)?\.onnx$/;

/** What a clip is without a lock that says so: AnimateDiff's own. */
const DEFAULT_CLIP: Clip = { batch: 1, frames: 16, width: 512, height: 512 };

/** `folder/component/model*.onnx`, the portable one of each component first. */
export async function graphFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const names = (await readdir(join(folder, entry.name))).filter((name) => GRAPH_FILE.test(name)).sort(byLength);
    found.push(...names.map((name) => join(folder, entry.name, name)));
  }
  return found.sort((a, b) => rank(a) - rank(b));
}

const byLength = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);
const ORDER = ['unet', 'text_encoder', 'vae_decoder', 'vae_encoder'];
const rank = (path: string) => (ORDER.indexOf(basename(dirname(path))) + ORDER.length) % ORDER.length;

/** A clip as it is asked for; what is left out is the recipe's. */
export type AskedClip = { readonly [Length in Exclude<keyof Clip, 'batch' | 'tokens'>]: number | undefined };

/** The clips that the lock beside the graphs speaks of, and the one that is asked for. */
export function clipsOf(lock: Lock | undefined, asked: AskedClip): readonly Clip[] {
  const batch = lock && lock.recipe.sampler.guidance > 1 ? 2 : 1;
  const baked = lock ? clipShapes(lock.recipe.output).map((shape) => ({ batch, ...shape })) : [DEFAULT_CLIP];
  const said = Object.fromEntries(Object.entries(asked).filter(([, length]) => length !== undefined));
  return Object.keys(said).length === 0 ? baked : [...baked, { ...(baked[0] as Clip), ...said }];
}

export async function inspectPackage(folder: string, asked: AskedClip): Promise<Found[]> {
  const lock = await readLock(folder);
  const report = await readReport(folder);
  const clips = clipsOf(lock, asked);
  const graphs: GraphFound[] = [];
  for (const path of await graphFiles(folder)) graphs.push(await inspectGraph(path, clips));
  const verdict: CheckVerdict | 'not verified' = report?.verdict ?? 'not verified';
  const summary: Found = {
    value: { folder, kind: 'package', verdict, device: report?.device ?? null, lock: lock ?? null },
    title: `${folder}: package`,
    rows: [
      ['verification', report ? `${verdict} on ${report.device}` : verdict],
      ...(lock ? lockRows(lock) : [['lock', `none: it was not baked by lcm-merge, or ${LOCK_FILE} is lost`] as const]),
    ],
    sections: graphs.length > 0 ? [overview(graphs)] : [],
  };
  const portable = (graph: GraphFound) => basename(graph.path) === 'model.onnx';
  const short = ({ info, found }: GraphFound): Found => ({ ...found, rows: operatorRows(info), sections: [] });
  return [summary, ...graphs.map((graph) => (portable(graph) ? graph.found : short(graph)))];
}

/** A line for every graph and shape. */
function overview(graphs: readonly GraphFound[]): Section {
  const lines = graphs.flatMap((graph) =>
    graph.costs.map(({ shape, cost }, i) => {
      const known = cost.total.nodes > 0;
      const figure = (text: string) => (known ? text : '–');
      return [
        i === 0 ? basename(graph.path) : '',
        shape,
        i === 0 ? nodesByDomain(graph) : '',
        figure(formatCount(cost.total.matrix_flops)),
        figure(formatBytes(traffic(cost.total))),
        figure(formatBytes(cost.peak_activations.bytes)),
      ];
    }),
  );
  const folders = graphs.flatMap(({ path, costs }) => costs.map(() => basename(dirname(path))));
  const grouped = lines.flatMap((line, i) =>
    folders[i] === folders[i - 1] ? [indented(line)] : [[`${folders[i]}/`], indented(line)],
  );
  return {
    title: 'Graphs: nodes of ONNX + of com.microsoft; one run at each shape',
    figures: [['', 'shape', 'nodes', 'FLOP', 'traffic', 'peak'], ...grouped],
  };
}

const indented = ([name = '', ...figures]: readonly string[]) => [`  ${name}`, ...figures];

function nodesByDomain({ info }: GraphFound): string {
  const { [DEFAULT_DOMAIN]: own = {}, ...others } = operatorsByDomain(info.operators);
  const count = (operators: Readonly<Record<string, number>>) =>
    Object.values(operators).reduce((sum, n) => sum + n, 0);
  return [own, ...Object.values(others)].map(count).join('+');
}

/** Where an input came from that was not local. */
function fromHub({ origins }: Lock, origin: string | undefined): string {
  const found = origin === undefined ? undefined : origins?.[origin];
  return found ? ` of ${found.reference} at ${found.commit.slice(0, 12)}` : '';
}

function lockRows(lock: Lock): Row[] {
  const { alpha, beta, gamma } = lock.strengths;
  const { steps, guidance, kind } = lock.recipe.sampler;
  const outputs = Object.values(lock.outputs);
  const bytes = outputs.reduce((sum, output) => sum + output.bytes, 0);
  return [
    ['name', lock.name],
    ['made by', `${lock.tool.name} ${lock.tool.version}`],
    ['strengths', `α ${alpha.map(formatNumber).join(', ') || '–'}; β ${formatNumber(beta)}; γ ${formatNumber(gamma)}`],
    ['sampler', `${kind}, ${steps} steps, guidance ${formatNumber(guidance)}`],
    ...lock.inputs.map(
      ({ role, file, origin, sha256, bytes: size }): Row => [
        role,
        `${file}${fromHub(lock, origin)} (${formatBytes(size)}, sha256 ${sha256.slice(0, 12)}…)`,
      ],
    ),
    ...Object.entries(lock.licenses ?? {}).map(
      ([field, { license, from }]): Row => ['licence', `${license} (${field}; stated by the ${from})`],
    ),
    ...Object.entries(lock.rules).flatMap(([component, rules]) =>
      Object.entries(rules).map(([rule, n]): Row => [component, `${n} × ${rule}`]),
    ),
    ['files', `${outputs.length}, ${formatBytes(bytes)}`],
  ];
}

/** `inspect`: says what a file or folder is. Weights are never read, only headers, graphs, locks and reports. */
import { access, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FormatError, InputMissingError } from '../../errors.ts';
import type { CheckVerdict } from '../../events.ts';
import { COMPONENT_EXPORTS } from '../../export/graphs.ts';
import { LOCK_FILE, type Lock } from '../../export/lock.ts';
import { openTensorFile } from '../../formats/tensor-file.ts';
import { type Facts, recognise } from '../../merge/recognise.ts';
import { readModelInfo, type TensorInfo } from '../../onnx/model-info.ts';
import { describeMissing, kindOf } from '../../recipe/input-files.ts';
import { readLock } from '../../runtime/lock-file.ts';
import { quote } from '../../text/quote.ts';
import { readReport } from '../../verify/report.ts';
import type { Command } from '../context.ts';
import { formatBytes, formatNumber, table } from '../format.ts';
import { type Paint, sanitise } from '../terminal.ts';

export const inspect: Command<'inspect'> = async ({ file }, { paint }) => {
  const kind = await kindOf(file);
  if (kind === 'nothing') throw new InputMissingError(await describeMissing(file, 'file or folder'), { file });
  const found = kind === 'folder' ? await inspectFolder(file) : await inspectFile(file);
  return {
    value: found.length === 1 ? (found[0] as Found).value : { folder: file, files: found.map(({ value }) => value) },
    text: render(found, paint),
  };
};

/** One thing found: an object for programs, and titled rows for people. */
interface Found {
  readonly value: object;
  readonly title: string;
  readonly rows: readonly (readonly [name: string, value: string])[];
}

/** Files that may hold weights, by their ending. */
const WEIGHT_FILE = /\.(safetensors|ckpt|pt|pth|bin)$/i;

const inspectFile = async (path: string): Promise<Found[]> => [
  /\.onnx$/i.test(path) ? await inspectGraph(path) : await inspectWeights(path),
];

async function inspectFolder(folder: string): Promise<Found[]> {
  const graphs = COMPONENT_EXPORTS.map((row) => join(folder, row.folder, 'model.onnx'));
  const there: string[] = [];
  for (const graph of graphs) if (await exists(graph)) there.push(graph);
  if (there.length > 0 || (await exists(join(folder, LOCK_FILE)))) {
    return [await inspectPackage(folder), ...(await Promise.all(there.map(inspectGraph)))];
  }
  const names = (await readdir(folder, { recursive: true })).filter((name) => WEIGHT_FILE.test(name)).sort();
  if (names.length === 0) {
    throw new FormatError(
      `${folder} is neither a package (it has no unet/model.onnx) nor a folder with weight files.`,
      { file: folder },
    );
  }
  const found: Found[] = [];
  for (const name of names) found.push(await inspectWeights(join(folder, name)));
  return found;
}

// ---------------------------------------------------------------------------------------------------- weights

async function inspectWeights(path: string): Promise<Found> {
  await using file = await openTensorFile(path);
  const { kind, title, facts } = await recognise(file);
  const dtypes: Record<string, { tensors: number; bytes: number }> = {};
  for (const { dtype, byteLength } of file.tensors.values()) {
    const sum = (dtypes[dtype] ??= { tensors: 0, bytes: 0 });
    sum.tensors += 1;
    sum.bytes += byteLength;
  }
  const { size } = file.source;
  const metadata = Object.entries(file.metadata);
  return {
    value: {
      file: path,
      kind,
      title,
      container: file.kind,
      bytes: size,
      tensors: file.tensors.size,
      dtypes,
      facts,
      metadata: file.metadata,
      ignored_globals: file.ignoredGlobals ?? [],
    },
    title: `${path}: ${title}`,
    rows: [
      ['container', `${file.kind}, ${formatBytes(size)}`],
      [
        'tensors',
        `${file.tensors.size}: ${Object.entries(dtypes)
          .map(([dtype, sum]) => `${sum.tensors} ${dtype} (${formatBytes(sum.bytes)})`)
          .join(', ')}`,
      ],
      ...factRows(facts),
      ...metadata.map(([key, value]) => ['metadata', `${bare(key)} = ${bare(value)}`] as const),
      ...(file.ignoredGlobals?.length ? [['left alone', `objects of ${file.ignoredGlobals.join(', ')}`] as const] : []),
    ],
  };
}

/** Training metadata can be megabytes; so much of it is shown. */
const bare = (text: string) => quote(text, 120).slice(1, -1);

function factRows(facts: Facts): (readonly [string, string])[] {
  const show = (value: string | number) => (typeof value === 'number' ? formatNumber(value) : value);
  return Object.entries(facts).map(([name, fact]) => {
    if (typeof fact === 'boolean') return [name, fact ? 'yes' : 'no'];
    if (typeof fact !== 'object') return [name, show(fact)];
    if (Array.isArray(fact)) return [name, fact.map(show).join(', ') || '–'];
    return [
      name,
      Object.entries(fact)
        .map(([key, value]) => `${value} ${key}`)
        .join(', '),
    ];
  });
}

// ---------------------------------------------------------------------------------------------------- graphs

async function inspectGraph(path: string): Promise<Found> {
  const info = await readModelInfo(path);
  const graphBytes = (await stat(path)).size;
  const external = info.initializers.filter((initializer) => initializer.external);
  const weightBytes = external.reduce((sum, { external: place }) => sum + (place?.length ?? 0), 0);
  const { irVersion, producer, opsets, inputs, outputs, operators, metadata } = info;
  const nodes = Object.values(operators).reduce((sum, n) => sum + n, 0);
  const locations = [...new Set(external.map(({ external: place }) => place?.location ?? ''))];
  return {
    value: {
      file: path,
      kind: 'onnx',
      bytes: graphBytes,
      ir_version: irVersion,
      producer,
      opsets,
      inputs,
      outputs,
      operators,
      nodes,
      initializers: info.initializers.length,
      external: { files: locations, tensors: external.length, bytes: weightBytes },
      metadata,
    },
    title: `${path}: ONNX graph`,
    rows: [
      ['made by', producer],
      [
        'version',
        `IR ${irVersion}, opset ${Object.entries(opsets)
          .map(([domain, n]) => `${domain || 'ai.onnx'} ${n}`)
          .join(', ')}`,
      ],
      ...inputs.map((input) => ['input', describeTensor(input)] as const),
      ...outputs.map((output) => ['output', describeTensor(output)] as const),
      [
        'nodes',
        `${nodes}: ${Object.entries(operators)
          .sort(([, a], [, b]) => b - a)
          .map(([type, n]) => `${n} ${type}`)
          .join(', ')}`,
      ],
      [
        'initializers',
        `${info.initializers.length}, of which ${external.length} (${formatBytes(weightBytes)}) in ${locations.join(', ') || 'no other file'}`,
      ],
      ['size', formatBytes(graphBytes)],
      ...Object.entries(metadata),
    ],
  };
}

function describeTensor({ name, type, shape }: TensorInfo): string {
  return `${name} ${type} [${shape.join(', ')}]`;
}

// ---------------------------------------------------------------------------------------------------- packages

async function inspectPackage(folder: string): Promise<Found> {
  const lock = await readLock(folder);
  const report = await readReport(folder);
  const verdict: CheckVerdict | 'not verified' = report?.verdict ?? 'not verified';
  const outputs = Object.values(lock?.outputs ?? {});
  const bytes = outputs.reduce((sum, output) => sum + output.bytes, 0);
  return {
    value: { folder, kind: 'package', verdict, device: report?.device ?? null, lock: lock ?? null },
    title: `${folder}: package`,
    rows: [
      ['verification', report ? `${verdict} on ${report.device}` : verdict],
      ...(lock
        ? lockRows(lock, outputs.length, bytes)
        : [['lock', `none: it was not baked by lcm-merge, or ${LOCK_FILE} is lost`] as const]),
    ],
  };
}

/** Where an input came from that was not local. */
function fromHub({ origins }: Lock, origin: string | undefined): string {
  const found = origin === undefined ? undefined : origins?.[origin];
  return found ? ` of ${found.reference} at ${found.commit.slice(0, 12)}` : '';
}

function lockRows(
  lock: NonNullable<Awaited<ReturnType<typeof readLock>>>,
  files: number,
  bytes: number,
): (readonly [string, string])[] {
  const { alpha, beta, gamma } = lock.strengths;
  const { steps, guidance, kind } = lock.recipe.sampler;
  return [
    ['name', lock.name],
    ['made by', `${lock.tool.name} ${lock.tool.version}`],
    ['strengths', `α ${alpha.map(formatNumber).join(', ') || '–'}; β ${formatNumber(beta)}; γ ${formatNumber(gamma)}`],
    ['sampler', `${kind}, ${steps} steps, guidance ${formatNumber(guidance)}`],
    ...lock.inputs.map(
      ({ role, file, origin, sha256, bytes: size }) =>
        [role, `${file}${fromHub(lock, origin)} (${formatBytes(size)}, sha256 ${sha256.slice(0, 12)}…)`] as const,
    ),
    ...Object.entries(lock.rules).flatMap(([component, rules]) =>
      Object.entries(rules).map(([rule, n]) => [component, `${n} × ${rule}`] as const),
    ),
    ['files', `${files}, ${formatBytes(bytes)}`],
  ];
}

// ----------------------------------------------------------------------------------------------------

function render(found: readonly Found[], paint: Paint): string {
  return found
    .map(
      ({ title, rows }) =>
        `${paint('bold', sanitise(title))}\n${table(rows.map(([name, value]) => [`  ${name}`, value].map(sanitise)))}`,
    )
    .join('\n\n');
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/**
 * What the graphs of a package promise: names, types and ranks at their boundary, and weights that lie in the files beside them.
 * A graph that breaks it is refused before onnxruntime sees it, whose words name neither file nor remedy.
 */
import { stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { FormatError, InputMissingError } from '../errors.ts';
import { type InitializerInfo, type ModelInfo, readModelInfo, type TensorInfo } from '../onnx/model-info.ts';
import type { GraphFile, ModelName, PartName, VideoPackage } from './package-folder.ts';
import { statesForm } from './prompt/states.ts';

/** name → element type and rank. */
type Side = Readonly<Record<string, readonly [type: string, rank: number]>>;

const BOUNDARY: Readonly<Record<PartName, { readonly inputs: Side; readonly outputs: Side }>> = {
  unet: {
    inputs: { sample: ['FLOAT', 5], timestep: ['INT64', 0], encoder_hidden_states: ['FLOAT', 3] },
    outputs: { out_sample: ['FLOAT', 5] },
  },
  text_encoder: { inputs: { input_ids: ['INT64', 2] }, outputs: { last_hidden_state: ['FLOAT', 3] } },
  vae_decoder: { inputs: { latent_sample: ['FLOAT', 4] }, outputs: { sample: ['FLOAT', 4] } },
  vae_encoder: { inputs: { sample: ['FLOAT', 4] }, outputs: { latent_parameters: ['FLOAT', 4] } },
};

/** What a device without 64-bit integers takes as a number. */
const NUMBERS: Readonly<Partial<Record<GraphFile['target'], Side>>> = { webgpu: { timestep: ['FLOAT', 0] } };

/** Faults named in one message; one file that is cut short has hundreds. */
const LISTED = 3;

/** Bytes per element of the types that weights have. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  ...{ FLOAT: 4, FLOAT16: 2, DOUBLE: 8, BFLOAT16: 2 },
  ...{ INT8: 1, UINT8: 1, INT32: 4, INT64: 8 },
};

/** A graph that a run has chosen, and what it says of itself. */
export interface ChosenGraph extends GraphFile {
  readonly info: ModelInfo;
}

/**
 * Reads the graphs that a run is about to load and holds them to the contract.
 * @throws InputMissingError when a file of weights is not there; FormatError naming the graph, or the tokenizer when it is of
 * another text encoder.
 */
export async function readRunnable(
  { tokenizer, folder }: VideoPackage,
  files: Readonly<Record<ModelName, GraphFile>>,
): Promise<Readonly<Record<ModelName, ChosenGraph>>> {
  const read = async (file: GraphFile) => ({ ...file, info: await readModelInfo(file.path) });
  const graphs = {
    unet: await read(files.unet),
    text_encoder: await read(files.text_encoder),
    vae_decoder: await read(files.vae_decoder),
  };
  for (const [name, { path, target, info }] of Object.entries(graphs) as [ModelName, ChosenGraph][]) {
    for (const location of new Set(info.initializers.flatMap(({ external }) => external?.location ?? []))) {
      const file = join(dirname(path), location);
      if (isBeside(location) && (await sizeOf(file)) === undefined) {
        throw new InputMissingError(`${file} is missing; ${path} keeps its weights there.`, { file });
      }
    }
    const faults = [...boundaryFaults(name, info, target), ...(await externalFaults(path, info))];
    if (faults.length > 0) {
      const rest = faults.length > LISTED ? `; and ${faults.length - LISTED} more` : '';
      throw new FormatError(
        `${path}: ${faults.slice(0, LISTED).join('; ')}${rest}. The package is damaged, or of another kind.`,
        { file: path },
      );
    }
  }
  const { info: textEncoder } = graphs.text_encoder;
  const tokens = textEncoder.inputs.find((input) => input.name === 'input_ids')?.shape[1];
  const rows = textEncoder.initializers.find(({ name }) => name.endsWith('token_embedding.weight'))?.shape[0];
  const mismatch =
    typeof tokens === 'number' && tokens !== tokenizer.maxLength
      ? `tokenizer_config.json has model_max_length ${tokenizer.maxLength}, the text encoder takes ${tokens} tokens`
      : rows !== undefined && tokenizer.highestId >= rows
        ? `vocab.json has ids up to ${tokenizer.highestId}, the text encoder has embeddings for ${rows}`
        : undefined;
  if (mismatch) {
    const file = join(folder, 'tokenizer');
    throw new FormatError(`${file}: ${mismatch}: they do not belong together.`, { file });
  }
  const { tokens: length } = statesForm(graphs.unet.info.inputs);
  if (length !== undefined && length % tokenizer.maxLength !== 0) {
    throw new FormatError(
      `${graphs.unet.path}: encoder_hidden_states takes ${length} tokens, which is no multiple of the ${tokenizer.maxLength} that the text encoder gives for a chunk of a prompt.`,
      { file: graphs.unet.path },
    );
  }
  return graphs;
}

/** What is unexpected, missing or of another kind among inputs and outputs, as ends of sentences. */
export function boundaryFaults(model: PartName, info: ModelInfo, target: GraphFile['target']): string[] {
  const { inputs, outputs } = BOUNDARY[model];
  const own = Object.entries(NUMBERS[target] ?? {}).filter(([name]) => name in inputs);
  const wanted = { ...inputs, ...Object.fromEntries(own) };
  return [...compare(info.inputs, wanted, 'input'), ...compare(info.outputs, outputs, 'output')];
}

function compare(found: readonly TensorInfo[], wanted: Side, what: string): string[] {
  const faults = found
    .filter(({ name }) => !Object.hasOwn(wanted, name))
    .map(({ name }) => `unexpected ${what} ${name}`);
  for (const [name, [type, rank]] of Object.entries(wanted)) {
    const tensor = found.find((candidate) => candidate.name === name);
    if (tensor?.type !== type || tensor.shape.length !== rank) {
      faults.push(
        `${what} ${name} should be ${type} of rank ${rank}, it is ${tensor ? `${tensor.type} [${tensor.shape}]` : 'missing'}`,
      );
    }
  }
  return faults;
}

/** Weights that lie elsewhere than in a file beside the graph, beyond its end, or where another one lies. */
export async function externalFaults(path: string, { initializers }: ModelInfo): Promise<string[]> {
  const faults: string[] = [];
  const spans = new Map<string, { name: string; from: number; to: number }[]>();
  for (const { name, type, shape, external } of initializers) {
    if (!external) continue;
    const { location, offset, length } = external;
    const fault = placeFault({ type, shape, external });
    if (fault) faults.push(`${name} ${fault}`);
    else spans.set(location, [...(spans.get(location) ?? []), { name, from: offset, to: offset + length }]);
  }
  for (const [location, own] of spans) {
    const size = await sizeOf(join(dirname(path), location));
    const inOrder = own.toSorted((a, b) => a.from - b.from);
    for (const [i, span] of inOrder.entries()) {
      if (span.to > (size ?? -1))
        faults.push(
          `${span.name} ends at byte ${span.to} of ${location}, which ${size === undefined ? 'is missing' : `has ${size}`}`,
        );
      const next = inOrder[i + 1];
      if (next && next.from < span.to) faults.push(`${span.name} and ${next.name} share bytes of ${location}`);
    }
  }
  return faults;
}

function placeFault({
  type,
  shape,
  external,
}: Pick<InitializerInfo, 'type' | 'shape'> & { external: NonNullable<InitializerInfo['external']> }) {
  const { location, offset, length } = external;
  if (!isBeside(location)) return `should lie in a file beside the graph, not in ${JSON.stringify(location)}`;
  if (![offset, length].every((n) => Number.isSafeInteger(n) && n >= 0))
    return `has no proper place in ${location} (offset ${offset}, length ${length})`;
  const bytes = ELEMENT_BYTES[type];
  if (bytes === undefined) return undefined;
  const wanted = shape.reduce((n, dim) => n * dim, bytes);
  return wanted === length
    ? undefined
    : `of ${type} [${shape}] takes ${wanted} bytes, its place in ${location} has ${length}`;
}

/** A graph could name any file of the machine: only those below its own folder are read. */
function isBeside(location: string): boolean {
  const path = posix.normalize(location.replaceAll('\\', '/'));
  return location !== '' && !posix.isAbsolute(path) && !/^[a-z]:/i.test(path) && path.split('/')[0] !== '..';
}

function sizeOf(file: string): Promise<number | undefined> {
  return stat(file).then(
    (found) => found.size,
    () => undefined,
  );
}

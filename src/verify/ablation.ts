/**
 * What a package makes without one of its sources: its small graphs, with the weights that the source changes merged anew by a plan
 * that lacks it. They are written to a scratch folder inside the package's unfinished verification folder, where nothing counts as
 * the package's and what a killed process leaves is removed; the package's own weight files are linked into it, for onnxruntime
 * reads external data only from beside the graph.
 */
import { constants, copyFile, link, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { samplerConfig } from '../architecture/sampler-config.ts';
import { RuntimeFailure } from '../errors.ts';
import { mergeAnew } from '../export/merged-anew.ts';
import { openWeightWriter } from '../export/weight-file.ts';
import { writingTo } from '../formats/byte-source.ts';
import { openBake } from '../merge/bake.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import type { Role } from '../merge/plan-files.ts';
import { parameterBytes } from '../onnx/graph.ts';
import { type ExternalLocation, serializeModel } from '../onnx/proto.ts';
import { denoise, type LoadedGraph } from '../runtime/denoise.ts';
import type { Device } from '../runtime/device.ts';
import { type InferenceHost, startHost } from '../runtime/host.ts';
import { createGenerator } from '../runtime/noise.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';
import { encodePrompts, preparePrompts } from '../runtime/prompt/encode.ts';
import { createScheduler } from '../runtime/schedulers/index.ts';
import { VERSION } from '../version.ts';
import { MOTION_GAIN, SMALL_PARTS, type SmallGraph, type SmallGraphs, type SmallPart } from './small-graphs.ts';

/** A source of the recipe that is to be left out. */
export interface Ablation {
  readonly role: Role;
  readonly plan: Plan;
}

export interface SmallModelOptions {
  readonly graphs: SmallGraphs;
  readonly device: Device;
  /** A folder on the package's file system that is not there yet; it is removed again. */
  readonly scratch: string;
  /** Left out, the package as it is. */
  readonly without?: Ablation | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface SmallClipOptions {
  readonly prompt: string;
  /** Are brackets in it weights? */
  readonly promptWeights?: boolean;
  readonly seed: number;
  readonly steps: number;
  /** Multiplies what the motion modules add; 0 takes them out. */
  readonly motion?: number;
}

/** A package at a small clip, loaded. */
export interface SmallModel extends AsyncDisposable {
  /** Final latents, float32 `[1, 4, F, h, w]`, by the LCM sampler without guidance. @throws RuntimeFailure when they are not finite */
  sample(options: SmallClipOptions): Promise<Float32Array>;
}

/** Name of the graphs in the scratch folder, and of what takes the place of the package's weights. */
const [MODEL, REPLACED] = ['model.onnx', 'replaced.onnx_data'];

/**
 * Bytes of weights up to which the CPU takes a graph as it is: onnxruntime's work on 5,600 nodes is a second, what it saves in the ten runs of a
 * model of 17 MB a tenth of that, and grows with the weights, which are then widened and turned in every run.
 */
const UNOPTIMISED_BYTES = 2 ** 26;

/** Loads the small graphs in a process of their own; the scratch folder is gone when this returns, or throws. */
export async function openSmallModel(pkg: VideoPackage, options: SmallModelOptions): Promise<SmallModel> {
  const { graphs, device, scratch, signal } = options;
  await using stack = new AsyncDisposableStack();
  try {
    for (const part of SMALL_PARTS) await writePart(pkg, part, options);
    const host = stack.use(startHost(signal));
    const load = (part: SmallPart) => loadGraph(host, join(scratch, part, MODEL), graphs.parts[part], device);
    const [textEncoder, unet] = [await load('text_encoder'), await load('unet')];
    const resources = stack.move();
    return {
      async sample({ prompt, promptWeights = false, seed, steps, motion = 1 }) {
        const asked = { frames: graphs.shape[2], weighted: promptWeights };
        const states = await encodePrompts(textEncoder, preparePrompts(pkg, unet.inputs, [prompt], asked));
        const gained = withInput(unet, MOTION_GAIN, motion);
        const [scheduler, generator] = [
          createScheduler(samplerConfig(pkg.scheduler, 'lcm'), steps),
          createGenerator(seed),
        ];
        let latents = new Float32Array();
        for await (const step of denoise(gained, { states, shape: graphs.shape, scheduler, generator, guidance: 1 })) {
          signal?.throwIfAborted();
          if (step.kind === 'step') latents = new Float32Array(step.latents);
        }
        if (!latents.every(Number.isFinite))
          throw new RuntimeFailure(
            `A clip of ${steps} steps at ${graphs.shape.slice(2).join('×')} latents ends in values that are not finite.`,
          );
        return latents;
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  } finally {
    await rm(scratch, { recursive: true, force: true }); // sessions that map a file keep it
  }
}

async function writePart(
  pkg: VideoPackage,
  part: SmallPart,
  { graphs, scratch, without, signal }: SmallModelOptions,
): Promise<void> {
  const folder = join(scratch, part);
  await mkdir(folder, { recursive: true });
  const { graph, places } = graphs.parts[part];
  for (const location of new Set([...places.values()].map((place) => place.location)))
    await linkFile(join(pkg.folder, part, location), join(folder, location));
  const replaced = without ? await mergeWithout(without, graphs.parts[part], { part, folder, signal }) : [];
  const model = serializeModel(graph, { external: new Map([...places, ...replaced]), producerVersion: VERSION });
  await writingTo(folder, writeFile(join(folder, MODEL), model));
  signal?.throwIfAborted();
}

/** A hard link where the file system has them, else a copy, which shares blocks where that is possible. */
async function linkFile(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => writingTo(to, copyFile(from, to, constants.COPYFILE_FICLONE)));
}

/** Merges the tensors of a part that the source changes as they would be without it, and says where they lie. */
async function mergeWithout(
  { plan, role }: Ablation,
  { graph }: SmallGraph,
  { part, folder, signal }: { part: SmallPart; folder: string; signal: AbortSignal | undefined },
): Promise<[string, ExternalLocation][]> {
  const tensors = changedBy(plan, role, part).map((tensor) => ({
    ...tensor,
    terms: tensor.terms.filter((term) => term.of !== role),
  }));
  if (tensors.length === 0) return [];
  await using session = await openBake(plan, { measured: false });
  await using writer = openWeightWriter({ passing: true });
  const place = { folder, location: REPLACED };
  const merging = mergeAnew(graph.parameters, tensors, place, { session, writer, signal });
  return await Array.fromAsync(merging, (entry) => [entry.name, entry]);
}

/** The tensors of a part that a source changes. */
export function changedBy(plan: Plan, role: Role, part: SmallPart): readonly PlannedTensor[] {
  return plan.tensors[part].filter(({ terms }) => terms.some((term) => term.of === role && term.scale !== 0));
}

async function loadGraph(
  host: InferenceHost,
  path: string,
  { graph }: SmallGraph,
  device: Device,
): Promise<LoadedGraph> {
  const inputs = graph.inputs.map(({ name, type, shape }) => ({
    name,
    type: type === 'float32' ? 'FLOAT' : 'INT64',
    shape,
  }));
  const weights = [...graph.parameters.values()].reduce((sum, parameter) => sum + parameterBytes(parameter), 0);
  const unoptimised = device === 'cpu' && weights <= UNOPTIMISED_BYTES;
  return { session: await host.load(path, device, { unoptimised }), batch: 1, inputs };
}

/** The graph with one input, float32 [], given once and for all. */
function withInput(graph: LoadedGraph, name: string, value: number): LoadedGraph {
  const given = { type: 'float32', dims: [], data: Float32Array.of(value) } as const;
  return { ...graph, session: { run: (feeds) => graph.session.run({ ...feeds, [name]: given }) } };
}

/**
 * What a package does without one of its strengths: its small graphs with some weights replaced, zeroed or merged anew by a plan
 * that lacks a source. They are written to a scratch folder inside the package's unfinished verification folder, where
 * nothing counts as the package's and what a killed process leaves is removed; the package's weight files are linked into it, for
 * onnxruntime reads external data only from beside the graph.
 */
import { constants, copyFile, link, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writingTo } from '../formats/byte-source.ts';
import { layOutWeights, openWeightWriter, type WeightEntry } from '../export/weight-file.ts';
import { openBake, type TensorRequest } from '../merge/bake.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import type { Role } from '../merge/plan-files.ts';
import { parameterBytes } from '../onnx/graph.ts';
import { type ExternalLocation, serializeModel } from '../onnx/proto.ts';
import { denoise, encodePrompts, type LoadedGraph } from '../runtime/denoise.ts';
import type { Device } from '../runtime/device.ts';
import { type InferenceHost, startHost } from '../runtime/host.ts';
import { createGenerator } from '../runtime/noise.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';
import { createLcmScheduler } from '../runtime/schedulers/lcm.ts';
import { VERSION } from '../version.ts';
import { SMALL_PARTS, type SmallGraph, type SmallGraphs, type SmallPart } from './small-graphs.ts';

/** What is taken out of a package. */
export type Ablation =
  | { readonly kind: 'nothing' }
  /** The motion modules' residuals: weight and bias of every proj_out are zero. */
  | { readonly kind: 'motion' }
  /** One source of the recipe: what it changes is merged anew without it. */
  | { readonly kind: 'source'; readonly role: Role; readonly plan: Plan };

/** A short clip as the sampler went through it, all of them float32 `[1, 4, F, h, w]`. */
export interface SmallClip {
  readonly latents: Float32Array;
  /** The clean latents as each step estimates them. */
  readonly denoised: readonly Float32Array[];
}

export interface SmallRun {
  readonly pkg: VideoPackage;
  readonly graphs: SmallGraphs;
  readonly device: Device;
  /** An empty folder, on the package's file system, that is removed again. */
  readonly scratch: string;
  readonly prompt: string;
  readonly seed: number;
  readonly steps: number;
  readonly signal: AbortSignal | undefined;
}

/** Names in the scratch folder. */
const [MODEL, REPLACED] = ['model.onnx', 'replaced.bin'];

/** Samples a small clip from the package without what `ablation` takes out; nothing of it stays on the disk. */
export async function sampleWithout(ablation: Ablation, run: SmallRun): Promise<SmallClip> {
  const { pkg, scratch, signal } = run;
  try {
    for (const part of SMALL_PARTS) {
      const folder = join(scratch, part);
      await mkdir(folder, { recursive: true });
      const { graph, places } = run.graphs.parts[part];
      for (const location of new Set([...places.values()].map((place) => place.location)))
        await linkFile(join(pkg.folder, part, location), join(folder, location));
      const replaced = await writeReplaced(ablation, part, { ...run, folder });
      const external = new Map([...places, ...replaced]);
      await writingTo(folder, writeFile(join(folder, MODEL), serializeModel(graph, { external, producerVersion: VERSION })));
    }
    signal?.throwIfAborted();
    return await sampleSmall(run);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A hard link where the file system has them, else a copy (which shares blocks where that is possible). */
async function linkFile(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => writingTo(to, copyFile(from, to, constants.COPYFILE_FICLONE)));
}

/** Writes what takes the place of the package's weights, and says where it lies. */
async function writeReplaced(
  ablation: Ablation,
  part: SmallPart,
  { graphs, folder, signal }: SmallRun & { readonly folder: string },
): Promise<ReadonlyMap<string, ExternalLocation>> {
  const { graph } = graphs.parts[part];
  const path = join(folder, REPLACED);
  if (ablation.kind === 'nothing') return new Map();
  if (ablation.kind === 'motion') {
    const silenced = [...graph.parameters.values()].filter(({ name }) => MOTION_OUTPUT.test(name));
    const places = silenced.map((parameter) => ({ name: parameter.name, length: parameterBytes(parameter) }));
    if (places.length === 0) return new Map();
    // they may all lie in the same zeros
    await writingTo(path, writeFile(path, new Uint8Array(Math.max(...places.map(({ length }) => length)))));
    return new Map(places.map(({ name, length }) => [name, { location: REPLACED, offset: 0, length }]));
  }
  const { plan, role } = ablation;
  const tensors = new Map(touchedBy(plan, role, part).map((tensor) => [tensor.name, tensor]));
  if (tensors.size === 0) return new Map();
  const parameters = new Map([...graph.parameters].filter(([name]) => tensors.has(name)));
  const { entries } = layOutWeights({ ...graph, parameters });
  const requests = entries.map(({ name, layout }): TensorRequest => {
    const tensor = tensors.get(name) as PlannedTensor;
    return { tensor: without(tensor, role), transposed: layout === 'transposed' };
  });
  await using session = await openBake(plan);
  await using writer = openWeightWriter();
  for await (const _ of writer.write(path, { entries }, session.tensors(requests, signal)));
  return new Map(entries.map((entry: WeightEntry) => [entry.name, { ...entry, location: REPLACED }]));
}

/** What a motion module adds to its input passes through here last (diffusers: out = proj_out(h) + residual). */
const MOTION_OUTPUT = /\.motion_modules\.\d+\.proj_out\.(weight|bias)$/;

/** The tensors of a part that a source changes. */
export function touchedBy(plan: Plan, role: Role, part: SmallPart): readonly PlannedTensor[] {
  return plan.tensors[part].filter(({ terms }) => terms.some((term) => term.of === role && term.scale !== 0));
}

function without(tensor: PlannedTensor, role: Role): PlannedTensor {
  return { ...tensor, terms: tensor.terms.filter((term) => term.of !== role) };
}

/** Runs what lies in the scratch folder, in a process of its own whose memory is free again afterwards. */
async function sampleSmall({ pkg, graphs, device, scratch, prompt, seed, steps, signal }: SmallRun): Promise<SmallClip> {
  await using host = startHost(signal);
  const load = (part: SmallPart) => loadGraph(host, join(scratch, part, MODEL), graphs.parts[part], device);
  const states = await encodePrompts(pkg, await load('text_encoder'), [prompt]);
  const unet = await load('unet');
  const { shape } = graphs;
  const scheduler = createLcmScheduler(pkg.scheduler, steps);
  const denoised: Float32Array[] = [];
  let latents = new Float32Array();
  const denoising = denoise(unet, { states, shape, scheduler, generator: createGenerator(seed), guidance: 1 });
  for await (const step of denoising) {
    denoised.push(step.denoised);
    latents = step.latents as Float32Array<ArrayBuffer>;
  }
  return { latents, denoised };
}

async function loadGraph(
  host: InferenceHost,
  path: string,
  { graph }: SmallGraph,
  device: Device,
): Promise<LoadedGraph> {
  const inputs = graph.inputs.map(({ name, type }) => ({ name, type: type === 'float32' ? 'FLOAT' : 'INT64' }));
  return { session: await host.load(path, device), batch: 1, inputs };
}

/**
 * From a prompt to moving frames: text encoder → sampler over the UNet → VAE decoder, as diffusers' AnimateDiffPipeline
 * does it. The sampler's state is float32 whatever the graph's type: 1/√ᾱ amplifies an error in ε some 25-fold.
 */
import { basename } from 'node:path';
import { type SamplerKind, samplerConfig } from '../architecture/sampler-config.ts';
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { RuntimeFailure, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { MAX_CLIP_PIXELS, type TargetName } from '../recipe/schema.ts';
import { type DenoisingStep, decode, denoise, encodePrompts, type LoadedGraph, type Tensor } from './denoise.ts';
import { type Device, resolveDevice } from './device.ts';
import { type Frames, framesFromDecoder } from './frames.ts';
import type { ChosenGraph } from './graph-contract.ts';
import { type GraphSessions, openGraphs } from './graph-sessions.ts';
import { type GraphTarget, targetFor } from './graph-target.ts';
import type { HostedSession } from './host.ts';
import { createGenerator } from './noise.ts';
import { type GraphFile, graphFor, type ModelName, type VideoPackage } from './package-folder.ts';
import { probeDevice } from './probe.ts';
import { createScheduler } from './schedulers/index.ts';

export interface SampleOptions {
  readonly prompt: string;
  readonly negative?: string;
  readonly seed?: number;
  readonly steps?: number;
  /** In place of the package's own: what `from_config` of diffusers makes of the package's scheduler_config.json. */
  readonly sampler?: SamplerKind;
  /** Classifier-free guidance; at 1 or below the negative prompt is never evaluated. */
  readonly guidance?: number;
  /** Frames and pixels; what the graph fixes need not be said. */
  readonly frames?: number;
  readonly width?: number;
  readonly height?: number;
  readonly device?: Device | 'auto';
  readonly signal?: AbortSignal | undefined;
}

/** What a clip is, wherever it is made. */
export type ClipOptions = Omit<SampleOptions, 'device'>;

export interface Timing {
  /** Starting the process and loading the graphs, where a loaded package does not have them already, and encoding the prompt. */
  readonly load_ms: number;
  /** All steps, sampler included, VAE excluded. */
  readonly denoise_ms: number;
  /** The UNet's runs of each step. */
  readonly step_ms: readonly number[];
  readonly decode_ms: number;
  readonly peak_bytes: number;
}

export interface Video {
  /** float32 `[1, 4, F, h, w]`. */
  readonly latents: Float32Array;
  readonly shape: LatentShape;
  /** After each step; the last is `latents`. */
  readonly trajectory: readonly Float32Array[];
  /** The clean latents as each step estimates them. */
  readonly estimates: readonly Float32Array[];
  readonly first: FirstStep;
  readonly frames: Frames;
  /** What the decoder gave before it was rounded to 8 bits: its range and whether all of it is finite. */
  readonly decoded: { readonly min: number; readonly max: number; readonly finite: boolean };
  readonly device: Device;
  /** The files that ran. */
  readonly graphs: Readonly<Record<ModelName, string>>;
  readonly timing: Timing;
}

/** What the UNet was given in the first step, and what it made of it: enough to have another graph do the same. */
export interface FirstStep extends Pick<DenoisingStep, 'timestep' | 'before' | 'given' | 'noise'> {
  /** `[tokens, D]` of each prompt, the negative one first where guidance asks for it. */
  readonly states: readonly Tensor[];
}

/** What a package without a lock is sampled with. */
const DEFAULTS = { steps: 4, frames: 16, side: 512 };

/**
 * Samples one clip in a process that is ended afterwards; loadPackage (loaded-package.ts) keeps one for many clips.
 * @throws UsageError when the graph cannot do what is asked, FormatError when it is not what a package promises, UnavailableError when the device does not work, RuntimeFailure
 * when it fails on the way.
 */
export async function* sample(pkg: VideoPackage, options: SampleOptions): Stage<Video> {
  await using sessions = openGraphs(pkg, resolveDevice(options.device ?? 'auto'));
  return yield* sampleOn(sessions, options);
}

/** Samples one clip with graphs that may be loaded already; after a failure their process is replaced. */
export async function* sampleOn(sessions: GraphSessions, options: ClipOptions): Stage<Video> {
  try {
    return yield* sampleClip(sessions, options);
  } catch (error) {
    if (!(error instanceof UsageError)) await sessions.restart();
    throw error;
  }
}

/** Loads what a clip of these lengths needs, before it is asked for. */
export async function loadGraphs(sessions: GraphSessions, lengths: ClipLengths): Promise<void> {
  const { target } = await graphTarget(sessions);
  const graphs = await readGraphs(sessions, target, latentShape(sessions.pkg, lengths));
  for (const model of ['text_encoder', 'unet', 'vae_decoder'] as const)
    await sessions.session(model, graphs[model].path);
}

async function* sampleClip(sessions: GraphSessions, options: ClipOptions): Stage<Video> {
  const started = performance.now();
  const { pkg, device } = sessions;
  const shape = latentShape(pkg, options);
  const steps = options.steps ?? pkg.lock?.recipe.sampler.steps ?? DEFAULTS.steps;
  const guidance = options.guidance ?? pkg.lock?.recipe.sampler.guidance ?? 1;
  if (!Number.isFinite(guidance)) throw new UsageError(`The guidance ${guidance} is no finite number.`);
  const scheduler = createScheduler(samplerConfig(pkg.scheduler, options.sampler), steps);
  const generator = createGenerator(options.seed ?? 0);
  yield { type: 'stage-started', stage: 'run', subject: `${pkg.folder} on ${device}` };

  using _ending = sessions.endOn(options.signal);
  const { target, warning } = await graphTarget(sessions, options.signal);
  if (warning !== undefined) yield { type: 'warning', stage: 'run', message: warning };
  const graphs = await readGraphs(sessions, target, shape);
  const load = async (model: ModelName) => loaded(graphs[model], await sessions.session(model, graphs[model].path));
  const textEncoder = await load('text_encoder');
  const unet = await load('unet');
  const prompts = guidance > 1 ? [options.negative ?? '', options.prompt] : [options.prompt];
  const states = await encodePrompts(pkg, textEncoder, prompts);
  let load_ms = performance.now() - started;

  const trajectory: Float32Array[] = [];
  const estimates: Float32Array[] = [];
  let first: FirstStep | undefined;
  const step_ms: number[] = [];
  const denoiseStarted = performance.now();
  const denoising = denoise(unet, { states, shape, scheduler, generator, guidance });
  for await (const { index: i, timestep, before, given, noise, latents, denoised, milliseconds } of denoising) {
    options.signal?.throwIfAborted();
    step_ms.push(milliseconds);
    first ??= { timestep, before, given, noise, states };
    const broken = latents.find((x) => !Number.isFinite(x));
    if (broken !== undefined) {
      throw new RuntimeFailure(
        `After step ${i + 1} of ${steps} the latents hold ${broken}: ${graphs.unet.path} overflowed or holds broken weights. ` +
          `lcm-merge verify ${pkg.folder} looks at all of them.`,
      );
    }
    trajectory.push(latents);
    estimates.push(denoised);
    yield { type: 'latents', stage: 'run', step: i, shape, data: latents };
    yield { type: 'progress', stage: 'run', done: i + 1, total: steps, unit: 'steps', detail: `t = ${timestep}` };
  }
  const denoise_ms = performance.now() - denoiseStarted;
  const latents = trajectory.at(-1) as Float32Array;

  const loadStarted = performance.now();
  const { session: decoder } = await load('vae_decoder');
  load_ms += performance.now() - loadStarted;
  const decodeStarted = performance.now();
  const decoded = await decode(pkg, decoder, latents, shape);
  const decode_ms = performance.now() - decodeStarted;
  const peak_bytes = await sessions.peakBytes();
  const milliseconds = performance.now() - started;
  const [, , frameCount, h, w] = shape;
  const frames = framesFromDecoder(decoded, [frameCount, 3, h * VAE_SCALE, w * VAE_SCALE]);
  yield {
    type: 'stage-finished',
    stage: 'run',
    milliseconds,
    summary: `${frameCount} frames in ${Math.round(denoise_ms)} ms on ${device}, by ${basename(graphs.unet.path)}`,
  };
  return {
    latents,
    shape,
    trajectory,
    estimates,
    first: first as FirstStep,
    frames,
    decoded: rangeOf(decoded),
    device,
    graphs: { unet: graphs.unet.path, text_encoder: graphs.text_encoder.path, vae_decoder: graphs.vae_decoder.path },
    timing: { load_ms, denoise_ms, step_ms, decode_ms, peak_bytes },
  };
}

/** @throws UnavailableError when the device does not work. */
function graphTarget({ pkg, device }: GraphSessions, signal?: AbortSignal): Promise<GraphTarget> {
  return targetFor(pkg, device, signal).catch(async (error: unknown) => {
    await probeDevice(device, signal); // is it the graph, or the device?
    throw error;
  });
}

/** `[1, 4, F, h, w]`: what a graph fixes, else what is asked for, else what the recipe had. */
function latentShape(pkg: VideoPackage, options: ClipLengths): LatentShape {
  const { lock, folder, max_frames } = pkg;
  const asked = [
    checked('frame count', options.frames, 1),
    checked('height', options.height, VAE_SCALE),
    checked('width', options.width, VAE_SCALE),
  ] as const;
  const made = fixedShapes(pkg);
  const fixed = made.find((lengths) => lengths.every((n, i) => (n ?? asked[i]) === (asked[i] ?? n)));
  if (!fixed) {
    const known = made.map(describeLengths).join(', or ');
    throw new UsageError(
      `${folder} is made for ${known}, not for ${describeLengths(asked)}. ` +
        'Bake with output.shapes: dynamic to choose at run time, or with a list of shapes.',
    );
  }
  const {
    frames: f = DEFAULTS.frames,
    height: h = DEFAULTS.side,
    width: w = DEFAULTS.side,
  } = lock?.recipe.output ?? {};
  const [frames, height, width] = [f, h / VAE_SCALE, w / VAE_SCALE].map((n, i) => fixed[i] ?? asked[i] ?? n) as [
    number,
    number,
    number,
  ];
  if (max_frames !== undefined && frames > max_frames) {
    throw new UsageError(
      `${frames} frames were asked for; the motion module of ${folder} has positional encodings for ${max_frames}.`,
    );
  }
  const pixels = frames * height * width * VAE_SCALE ** 2;
  if (pixels > MAX_CLIP_PIXELS) {
    throw new UsageError(
      `${frames} frames of ${width * VAE_SCALE}×${height * VAE_SCALE} are ${pixels} pixels; ${MAX_CLIP_PIXELS} at most can be sampled.`,
    );
  }
  return [1, 4, frames, height, width];
}

/** The lengths that a clip is asked for with. */
export type ClipLengths = Pick<SampleOptions, 'frames' | 'width' | 'height'>;

type LatentShape = readonly [1, 4, frames: number, height: number, width: number];

/** Frames, and height and width of the latents; undefined is open. */
type Lengths = readonly [frames: number | undefined, height: number | undefined, width: number | undefined];

/** What the package has graphs for, the default first. */
function fixedShapes({ graph, graphs }: VideoPackage): readonly Lengths[] {
  const listed = graphs.unet.flatMap(({ target, size }): Lengths[] => {
    const [frames, width, height] = size as [number, number, number];
    return target === 'portable' && size.length === 3 ? [[frames, height / VAE_SCALE, width / VAE_SCALE]] : [];
  });
  return [[graph.frames, graph.height, graph.width], ...listed];
}

/** In latents. @throws UsageError for what is no positive multiple of `unit` */
function checked(what: string, asked: number | undefined, unit: number): number | undefined {
  if (asked !== undefined && !(Number.isInteger(asked) && asked > 0 && asked % unit === 0)) {
    throw new UsageError(`The ${what} ${asked} is no positive ${unit === 1 ? 'whole number' : `multiple of ${unit}`}.`);
  }
  return asked === undefined ? undefined : asked / unit;
}

function describeLengths([frames, height, width]: Lengths): string {
  const parts = [
    frames === undefined ? undefined : `${frames} frames`,
    width === undefined ? undefined : `a width of ${width * VAE_SCALE}`,
    height === undefined ? undefined : `a height of ${height * VAE_SCALE}`,
  ];
  return parts.filter((part) => part !== undefined).join(' and ');
}

function readGraphs(sessions: GraphSessions, target: TargetName, shape: LatentShape) {
  return sessions.read(chooseGraphs(sessions.pkg, target, shape));
}

/** The graphs for a target and a clip: of a listed shape, or else the default's. */
function chooseGraphs(
  { graph, graphs }: VideoPackage,
  target: TargetName,
  [, , frames, h, w]: LatentShape,
): Readonly<Record<ModelName, GraphFile>> {
  const isDefault = [graph.frames ?? frames, graph.height ?? h, graph.width ?? w].join() === [frames, h, w].join();
  const [width, height] = [w * VAE_SCALE, h * VAE_SCALE];
  const choose = (name: ModelName, size: readonly number[]): GraphFile =>
    (graphFor(graphs[name], target, isDefault ? [] : size) ?? graphFor(graphs[name], target)) as GraphFile;
  return {
    unet: choose('unet', [frames, width, height]),
    text_encoder: choose('text_encoder', []),
    vae_decoder: choose('vae_decoder', [width, height]),
  };
}

/** A graph with what running it needs to know of it. */
export function loaded({ info }: Pick<ChosenGraph, 'info'>, session: HostedSession): LoadedGraph {
  const batch = info.inputs[0]?.shape[0];
  return { session, batch: typeof batch === 'number' ? batch : undefined, inputs: info.inputs };
}

function rangeOf(values: Float32Array): Video['decoded'] {
  let [min, max, finite] = [Infinity, -Infinity, true];
  for (const value of values) {
    if (value < min) min = value;
    if (value > max) max = value;
    if (!Number.isFinite(value)) finite = false;
  }
  return { min, max, finite };
}

/**
 * From a prompt to moving frames: text encoder → sampler over the UNet → VAE decoder, as diffusers' AnimateDiffPipeline
 * does it. The sampler's state is float32 whatever the graph's type: 1/√ᾱ amplifies an error in ε some 25-fold.
 */
import { basename } from 'node:path';
import { type SamplerKind, samplerConfig, type TimestepSpacing } from '../architecture/sampler-config.ts';
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import { RuntimeFailure, UsageError } from '../errors.ts';
import type { Event, Preview, Stage } from '../events.ts';
import type { TargetName } from '../recipe/schema.ts';
import { chooseDevice, describeChoice } from './choose-device.ts';
import { type ClipLengths, clipShape, type LatentShape } from './clip-shape.ts';
import { bordersOf, describeWindows } from './context-windows.ts';
import { type DenoisingStep, decode, denoise, type LoadedGraph, type Tensor } from './denoise.ts';
import type { Device } from './device.ts';
import { type Frames, framesFromDecoder } from './frames.ts';
import { type GraphSessions, openGraphs } from './graph-sessions.ts';
import { type GraphTarget, targetFor } from './graph-target.ts';
import { initialNoise, type NoiseType } from './initial-noise.ts';
import { loadedGraph } from './loaded-graph.ts';
import { createGenerator } from './noise.ts';
import { type GraphFile, graphFor, type ModelName, type VideoPackage, weightType } from './package-folder.ts';
import { previewOf } from './preview.ts';
import { probeDevice } from './probe.ts';
import { encodePrompts, preparePrompts } from './prompt/encode.ts';
import type { Prompt } from './prompt/travel.ts';
import { createScheduler } from './schedulers/index.ts';
import { describeSeam, measureSeam, type Seam } from './seam.ts';

export interface SampleOptions extends ClipLengths {
  /** Keyframes, between which the prompt changes, want a graph baked with `output.prompt.per_frame`. */
  readonly prompt: Prompt;
  readonly negative?: Prompt;
  /** Read `(word:1.2)`, `(word)` and `[word]` in both as weights; brackets are text otherwise. */
  readonly promptWeights?: boolean;
  readonly seed?: number;
  readonly steps?: number;
  /** In place of the package's own: what `from_config` of diffusers makes of the package's scheduler_config.json. */
  readonly sampler?: SamplerKind;
  /** In place of the package's own, for every sampler but LCM, whose timesteps are those that it was distilled on. */
  readonly timestep_spacing?: TimestepSpacing;
  /** Classifier-free guidance; at 1 or below the negative prompt is never evaluated. */
  readonly guidance?: number;
  /** What a clip of several windows starts from; `random` if not said. */
  readonly noise?: NoiseType;
  readonly device?: Device | 'auto';
  /** Decodes the middle frame of every step's clean estimate, and yields it as an event. */
  readonly preview?: boolean;
  /** Take a graph of which parts are computed on the CPU because the device has no kernels for them. */
  readonly allowFallback?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a clip is, wherever it is made. */
export type ClipOptions = Omit<SampleOptions, 'device' | 'allowFallback'>;

export interface Timing {
  /** Starting the process and loading the graphs, where a loaded package does not have them already, and encoding the prompt. */
  readonly load_ms: number;
  /** All steps, sampler included; the VAE, previews, and the time that events take whoever reads them are not in it. */
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
  /** Of the steps, where previews were asked for. */
  readonly previews: readonly Preview[];
  readonly frames: Frames;
  /** Length of the text states. */
  readonly tokens: number;
  /** What the decoder gave before it was rounded to 8 bits: its range and whether all of it is finite. */
  readonly decoded: { readonly min: number; readonly max: number; readonly finite: boolean };
  /** How visible the borders of windows are, where the clip was made in windows. */
  readonly seam?: Seam | undefined;
  readonly device: Device;
  /** Of each graph that is computed on the CPU in part, what and how much; left out where there is none. */
  readonly fallback?: readonly string[];
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
const DEFAULTS = { steps: 4 };

/**
 * Samples one clip in a process that is ended afterwards; loadPackage (loaded-package.ts) keeps one for many clips.
 * @throws UsageError when the graph cannot do what is asked, FormatError when it is not what a package promises, UnavailableError when the device does not work, RuntimeFailure
 * when it fails on the way.
 */
export async function* sample(pkg: VideoPackage, options: SampleOptions): Stage<Video> {
  const choice = await chooseDevice(options.device ?? 'auto', weightType(pkg), options.signal);
  await using sessions = openGraphs(pkg, choice, options);
  return yield* sampleOn(sessions, options);
}

/**
 * Samples one clip with graphs that may be loaded already; after a failure their process is replaced. Where the memory is not
 * enough for both prompts of guidance at once, they are evaluated one after the other.
 */
export async function* sampleOn(sessions: GraphSessions, options: ClipOptions): Stage<Video> {
  try {
    return yield* sampleClip(sessions, options, { together: true });
  } catch (error) {
    if (error instanceof UsageError) throw error;
    await sessions.restart();
    const isSplit = !(
      error instanceof RuntimeFailure &&
      error.blame === 'memory' &&
      evaluatesTogether(sessions.pkg, options)
    );
    if (isSplit) throw error;
    const message = `${error.message} Once more, with the prompt and the negative prompt one after the other.`;
    yield { type: 'warning', stage: 'run', message };
  }
  try {
    return yield* sampleClip(sessions, options, { together: false });
  } catch (error) {
    if (!(error instanceof UsageError)) await sessions.restart();
    throw error;
  }
}

/** Guidance on a graph whose batch is open: two prompts in one run. */
function evaluatesTogether(pkg: VideoPackage, options: ClipOptions): boolean {
  return pkg.graph.batch === undefined && guidanceOf(pkg, options) > 1;
}

function guidanceOf({ lock }: VideoPackage, { guidance }: ClipOptions): number {
  return guidance ?? lock?.recipe.sampler.guidance ?? 1;
}

/** Loads what a clip of these lengths needs, before it is asked for. */
export async function loadGraphs(sessions: GraphSessions, lengths: ClipLengths): Promise<void> {
  const { target } = await graphTarget(sessions);
  const graphs = await readGraphs(sessions, target, clipShape(sessions.pkg, lengths).graphShape);
  for (const model of ['text_encoder', 'unet', 'vae_decoder'] as const)
    await sessions.session(model, graphs[model].path);
}

async function* sampleClip(
  sessions: GraphSessions,
  options: ClipOptions,
  { together }: { readonly together: boolean },
): Stage<Video> {
  const started = performance.now();
  const { pkg, device } = sessions;
  const { shape, graphShape, windows } = clipShape(pkg, options);
  const steps = options.steps ?? pkg.lock?.recipe.sampler.steps ?? DEFAULTS.steps;
  const guidance = guidanceOf(pkg, options);
  if (!Number.isFinite(guidance)) throw new UsageError(`The guidance ${guidance} is no finite number.`);
  const config = samplerConfig(pkg.scheduler, options.sampler);
  const scheduler = createScheduler(
    { ...config, timestep_spacing: options.timestep_spacing ?? config.timestep_spacing },
    steps,
  );
  const generator = createGenerator(options.seed ?? 0);
  const inWindows = windows && describeWindows(windows, steps);
  yield {
    type: 'stage-started',
    stage: 'run',
    subject: [`${pkg.folder} on ${describeDevice(sessions)}`, ...(inWindows ? [inWindows] : [])].join(': '),
  };

  using _ending = sessions.endOn(options.signal);
  const { target, warning } = await graphTarget(sessions, options.signal);
  if (warning !== undefined) yield { type: 'warning', stage: 'run', message: warning };
  const graphs = await readGraphs(sessions, target, graphShape);
  const prompts = guidance > 1 ? [options.negative ?? '', options.prompt] : [options.prompt];
  const weighted = options.promptWeights ?? false;
  const prepared = preparePrompts(pkg, graphs.unet.info.inputs, prompts, { frames: shape[2], weighted });
  for (const message of prepared.warnings) yield { type: 'warning', stage: 'run', message };
  const fallback: string[] = [];
  const load = async function* (model: ModelName): AsyncGenerator<Event, LoadedGraph> {
    const session = await sessions.session(model, graphs[model].path);
    if (session.fallback !== undefined) {
      fallback.push(session.fallback);
      yield { type: 'warning', stage: 'run', message: `${session.fallback}.` };
    }
    const graph = loadedGraph(graphs[model].info, session, graphShape);
    return together ? graph : { ...graph, batch: graph.batch ?? 1 };
  };
  const textEncoder = yield* load('text_encoder');
  const unet = yield* load('unet');
  const states = await encodePrompts(textEncoder, prepared);
  const decoder = options.preview ? yield* load('vae_decoder') : undefined;
  let load_ms = performance.now() - started;

  const trajectory: Float32Array[] = [];
  const estimates: Float32Array[] = [];
  let first: FirstStep | undefined;
  const previews: Preview[] = [];
  const step_ms: number[] = [];
  let denoise_ms = 0;
  let resumed = performance.now();
  const start = windows && initialNoise(options.noise ?? 'random', generator, shape, windows);
  const denoising = denoise(unet, { states, shape, scheduler, generator, guidance, windows, initialNoise: start });
  for await (const event of denoising) {
    denoise_ms += performance.now() - resumed;
    options.signal?.throwIfAborted();
    const progress = { type: 'progress', stage: 'run', total: steps, unit: 'steps' } as const;
    if (event.kind === 'window') {
      const detail = `t = ${event.timestep}, window ${event.window + 1} of ${event.windows}`;
      yield { ...progress, done: event.index, detail };
      resumed = performance.now();
      continue;
    }
    const { index: i, timestep, before, given, noise, latents, denoised, milliseconds } = event;
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
    yield { ...progress, done: i + 1, detail: `t = ${timestep}`, milliseconds };
    const preview = decoder && (await previewOf({ index: i, denoised }, steps, shape, { pkg, decoder }));
    if (preview) {
      previews.push(preview);
      yield { type: 'preview', stage: 'run', ...preview };
    }
    resumed = performance.now();
  }
  const latents = trajectory.at(-1) as Float32Array;

  const loadStarted = performance.now();
  const vae = decoder ?? (yield* load('vae_decoder'));
  load_ms += performance.now() - loadStarted;
  const decodeStarted = performance.now();
  const decoded = await decode(pkg, vae, latents, shape);
  const decode_ms = performance.now() - decodeStarted;
  const peak_bytes = await sessions.peakBytes();
  const milliseconds = performance.now() - started;
  const [, , frameCount, h, w] = shape;
  const frames = framesFromDecoder(decoded, [frameCount, 3, h * VAE_SCALE, w * VAE_SCALE]);
  const seam = windows && measureSeam(frames, bordersOf(windows, steps));
  yield {
    type: 'stage-finished',
    stage: 'run',
    milliseconds,
    summary: [
      `${frameCount} frames in ${Math.round(denoise_ms)} ms on ${device}, by ${basename(graphs.unet.path)}`,
      ...(inWindows ? [inWindows] : []),
      ...(seam ? [describeSeam(seam)] : []),
    ].join('; '),
  };
  return {
    latents,
    shape,
    trajectory,
    estimates,
    first: first as FirstStep,
    previews,
    frames,
    tokens: states[0]?.dims.at(-2) as number,
    decoded: rangeOf(decoded),
    seam,
    device,
    ...(fallback.length > 0 && { fallback }),
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

function describeDevice({ device, choice }: GraphSessions): string {
  const why = describeChoice(choice);
  return why === undefined ? device : `${device} (${why})`;
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

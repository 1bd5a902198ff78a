/**
 * From a prompt to moving frames: text encoder → sampler over the UNet → VAE decoder, as diffusers' AnimateDiffPipeline
 * does it. The sampler's state is float32 whatever the graph's type: 1/√ᾱ amplifies an error in ε some 25-fold.
 */
import { basename } from 'node:path';
import { RuntimeFailure, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { VAE_SCALE } from '../export/graphs.ts';
import { MAX_CLIP_PIXELS, type TargetName } from '../recipe/schema.ts';
import { type Device, resolveDevice } from './device.ts';
import { type Frames, framesFromDecoder } from './frames.ts';
import { type ChosenGraph, readRunnable } from './graph-contract.ts';
import { targetFor } from './graph-target.ts';
import { type HostedSession, type HostTensor, startHost } from './host.ts';
import { createGenerator } from './noise.ts';
import { type GraphFile, graphFor, type ModelName, type VideoPackage } from './package-folder.ts';
import { probeDevice } from './probe.ts';
import { createLcmScheduler } from './schedulers/lcm.ts';

export interface SampleOptions {
  readonly prompt: string;
  readonly negative?: string;
  readonly seed?: number;
  readonly steps?: number;
  /** Classifier-free guidance; at 1 or below the negative prompt is never evaluated. */
  readonly guidance?: number;
  /** Frames and pixels; what the graph fixes need not be said. */
  readonly frames?: number;
  readonly width?: number;
  readonly height?: number;
  readonly device?: Device | 'auto';
  readonly signal?: AbortSignal | undefined;
}

export interface Timing {
  /** Starting the process and loading the three graphs. */
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
  readonly frames: Frames;
  /** What the decoder gave before it was rounded to 8 bits: its range and whether all of it is finite. */
  readonly decoded: { readonly min: number; readonly max: number; readonly finite: boolean };
  readonly device: Device;
  /** The files that ran. */
  readonly graphs: Readonly<Record<ModelName, string>>;
  readonly timing: Timing;
}

/** Pixels decoded at a time: two frames of 512², a few GB of activations on the CPU. */
const DECODE_PIXELS = 2 * 512 * 512;

/** What a package without a lock is sampled with. */
const DEFAULTS = { steps: 4, frames: 16, side: 512 };

/**
 * Samples one clip.
 * @throws UsageError when the graph cannot do what is asked, FormatError when it is not what a package promises, UnavailableError when the device does not work, RuntimeFailure
 * when it fails on the way.
 */
export async function* sample(pkg: VideoPackage, options: SampleOptions): Stage<Video> {
  const started = performance.now();
  const device = resolveDevice(options.device ?? 'auto');
  const shape = latentShape(pkg, options);
  const steps = options.steps ?? pkg.lock?.recipe.sampler.steps ?? DEFAULTS.steps;
  const guidance = options.guidance ?? pkg.lock?.recipe.sampler.guidance ?? 1;
  if (!Number.isFinite(guidance)) throw new UsageError(`The guidance ${guidance} is no finite number.`);
  const scheduler = createLcmScheduler(pkg.scheduler, steps);
  const generator = createGenerator(options.seed ?? 0);
  yield { type: 'stage-started', stage: 'run', subject: `${pkg.folder} on ${device}` };

  const { target, warning } = await onDevice(device, options.signal, () => targetFor(pkg, device, options.signal));
  if (warning !== undefined) yield { type: 'warning', stage: 'run', message: warning };
  const graphs = await readRunnable(pkg, chooseGraphs(pkg, target, shape));
  await using host = startHost(options.signal);
  const load = async (graph: ChosenGraph) => loaded(graph, await host.load(graph.path, device));
  const textEncoder = await onDevice(device, options.signal, () => load(graphs.text_encoder));
  const unet = await load(graphs.unet);
  const prompts = guidance > 1 ? [options.negative ?? '', options.prompt] : [options.prompt];
  const states = await encodePrompts(pkg, textEncoder, prompts);
  let load_ms = performance.now() - started;

  const count = shape.reduce<number>((n, dim) => n * dim, 1);
  let latents = generator.randn(count);
  if (scheduler.initNoiseSigma !== 1) latents = latents.map((x) => x * scheduler.initNoiseSigma);
  const trajectory: Float32Array[] = [];
  const step_ms: number[] = [];
  const denoiseStarted = performance.now();
  for (const [i, timestep] of scheduler.timesteps.entries()) {
    options.signal?.throwIfAborted();
    const answer = await predictNoise(unet, { latents, shape, timestep, states });
    step_ms.push(answer.milliseconds);
    latents = scheduler.step(guide(answer.noise, guidance), i, latents, () => generator.randn(count)).prevSample;
    const broken = latents.find((x) => !Number.isFinite(x));
    if (broken !== undefined) {
      throw new RuntimeFailure(
        `After step ${i + 1} of ${steps} the latents hold ${broken}: ${graphs.unet.path} overflowed or holds broken weights. ` +
          `lcm-merge verify ${pkg.folder} looks at all of them.`,
      );
    }
    trajectory.push(latents);
    yield { type: 'latents', stage: 'run', step: i, shape, data: latents };
    yield { type: 'progress', stage: 'run', done: i + 1, total: steps, unit: 'steps', detail: `t = ${timestep}` };
  }
  const denoise_ms = performance.now() - denoiseStarted;

  const loadStarted = performance.now();
  const decoder = await host.load(graphs.vae_decoder.path, device);
  load_ms += performance.now() - loadStarted;
  const decodeStarted = performance.now();
  const decoded = await decode(pkg, decoder, latents, shape);
  const decode_ms = performance.now() - decodeStarted;
  const peak_bytes = await host.peakBytes();
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
    frames,
    decoded: rangeOf(decoded),
    device,
    graphs: { unet: graphs.unet.path, text_encoder: graphs.text_encoder.path, vae_decoder: graphs.vae_decoder.path },
    timing: { load_ms, denoise_ms, step_ms, decode_ms, peak_bytes },
  };
}

/** @throws UnavailableError where what fails does so because the device does not work. */
function onDevice<Value>(device: Device, signal: AbortSignal | undefined, work: () => Promise<Value>): Promise<Value> {
  return work().catch(async (error: unknown) => {
    await probeDevice(device, signal); // is it the graph, or the device?
    throw error;
  });
}

/** `[1, 4, F, h, w]`: what a graph fixes, else what is asked for, else what the recipe had. */
function latentShape(pkg: VideoPackage, options: SampleOptions): LatentShape {
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

type LatentShape = readonly [1, 4, frames: number, height: number, width: number];

/** Frames, and height and width of the latents; undefined is open. */
type Lengths = readonly [frames: number | undefined, height: number | undefined, width: number | undefined];

/** What the package has graphs for, the default first. */
function fixedShapes({ graph, graphs }: VideoPackage): readonly Lengths[] {
  const listed = graphs.unet.flatMap(({ size }): Lengths[] => {
    const [frames, width, height] = size as [number, number, number];
    return size.length === 3 ? [[frames, height / VAE_SCALE, width / VAE_SCALE]] : [];
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

/** Text states `[tokens, D]` of each prompt. */
async function encodePrompts(
  { tokenizer }: VideoPackage,
  textEncoder: LoadedGraph,
  prompts: readonly string[],
): Promise<Tensor[]> {
  const rows = prompts.map((prompt) => ({ input_ids: tokenizer.encodePadded(prompt) }));
  const { outputs } = await runRows(textEncoder, rows, (batch) => ({
    input_ids: {
      type: 'int64',
      dims: [batch.length, tokenizer.maxLength],
      data: joined(
        BigInt64Array,
        batch.map((row) => row.input_ids),
      ),
    },
  }));
  return outputs('last_hidden_state');
}

/** A graph in the inference process, and what its inputs want. */
interface LoadedGraph {
  readonly session: HostedSession;
  /** Fixed by the graph, or undefined. */
  readonly batch: number | undefined;
  readonly inputs: ChosenGraph['info']['inputs'];
}

function loaded({ info }: ChosenGraph, session: HostedSession): LoadedGraph {
  const batch = info.inputs[0]?.shape[0];
  return { session, batch: typeof batch === 'number' ? batch : undefined, inputs: info.inputs };
}

interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

interface Denoising {
  readonly latents: Float32Array;
  readonly shape: readonly number[];
  readonly timestep: number;
  readonly states: readonly Tensor[];
}

/** A device without 64-bit integers takes the timestep as a number. */
function timestepTensor({ inputs }: LoadedGraph, timestep: number): HostTensor {
  return inputs.find(({ name }) => name === 'timestep')?.type === 'FLOAT'
    ? { type: 'float32', dims: [], data: Float32Array.of(timestep) }
    : { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(timestep)) };
}

/** The noise prediction under each of the text states. */
async function predictNoise(unet: LoadedGraph, { latents, shape, timestep, states }: Denoising) {
  const answer = await runRows(unet, states, (batch) => ({
    sample: {
      type: 'float32',
      dims: [batch.length, ...shape.slice(1)],
      data: joined(
        Float32Array,
        batch.map(() => latents),
      ),
    },
    timestep: timestepTensor(unet, timestep),
    encoder_hidden_states: {
      type: 'float32',
      dims: [batch.length, ...(batch[0] as Tensor).dims],
      data: joined(
        Float32Array,
        batch.map((state) => state.data),
      ),
    },
  }));
  return { noise: answer.outputs('out_sample').map((tensor) => tensor.data), milliseconds: answer.milliseconds };
}

/**
 * Evaluates rows (batch items) as the graph allows: all at once where its batch is open, else in groups of its size, the last
 * one filled up with a repetition that is thrown away.
 */
async function runRows<Row>(
  { session, batch: size }: LoadedGraph,
  rows: readonly Row[],
  feeds: (batch: readonly Row[]) => Record<string, HostTensor>,
): Promise<{ outputs: (name: string) => Tensor[]; milliseconds: number }> {
  const step = size ?? rows.length;
  const results: Record<string, Tensor[]> = {};
  let milliseconds = 0;
  for (let at = 0; at < rows.length; at += step) {
    const wanted = rows.slice(at, at + step);
    const batch = Array.from({ length: step }, (_, i) => wanted[Math.min(i, wanted.length - 1)] as Row);
    const reply = await session.run(feeds(batch));
    milliseconds += reply.milliseconds;
    for (const [name, { dims, data }] of Object.entries(reply.outputs)) {
      const length = data.length / step;
      const parts = wanted.map((_, i) => ({
        dims: dims.slice(1),
        data: (data as Float32Array).slice(i * length, (i + 1) * length),
      }));
      results[name] = [...(results[name] ?? []), ...parts];
    }
  }
  return { outputs: (name) => results[name] ?? [], milliseconds };
}

/** uncond + g·(cond − uncond); with one prediction there is nothing to guide. */
function guide([first, conditional]: readonly Float32Array[], guidance: number): Float32Array {
  const unconditional = first as Float32Array;
  if (!conditional) return unconditional;
  const g = Math.fround(guidance);
  return unconditional.map((u, i) => u + Math.fround(g * Math.fround((conditional[i] as number) - u)));
}

/** Latents `[1, 4, F, h, w]` → pixels `[F, 3, 8h, 8w]`, a few frames at a time. */
async function decode(
  pkg: VideoPackage,
  decoder: HostedSession,
  latents: Float32Array,
  shape: readonly number[],
): Promise<Float32Array> {
  const [, channels, frames, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  const pixels = area * VAE_SCALE * VAE_SCALE;
  const images = Float32Array.from({ length: latents.length }, (_, i) => {
    const [frame, channel, at] = [Math.floor(i / (channels * area)), Math.floor(i / area) % channels, i % area];
    return (latents[(channel * frames + frame) * area + at] as number) / pkg.scaling_factor;
  });
  const group = Math.max(1, Math.min(frames, Math.floor(DECODE_PIXELS / pixels)));
  const decoded = new Float32Array(frames * 3 * pixels);
  for (let at = 0; at < frames; at += group) {
    const n = Math.min(group, frames - at);
    const data = images.slice(at * channels * area, (at + n) * channels * area);
    const { outputs } = await decoder.run({ latent_sample: { type: 'float32', dims: [n, channels, h, w], data } });
    decoded.set(outputs['sample']?.data as Float32Array, at * 3 * pixels);
  }
  return decoded;
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

function joined<Data extends Float32Array | BigInt64Array>(
  type: new (length: number) => Data,
  parts: readonly Data[],
): Data {
  if (parts.length === 1) return parts[0] as Data;
  const all = new type(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    (all as { set(source: ArrayLike<unknown>, offset: number): void }).set(part as ArrayLike<unknown>, at);
    at += part.length;
  }
  return all;
}

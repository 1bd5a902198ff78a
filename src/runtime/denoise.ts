/**
 * The numbers of a run: noise predictions under text states (prompt/encode.ts), guidance, latents to pixels, over sessions that may be anywhere.
 * Needs nothing of Node, so that it runs in browsers too (examples/browser). Source of truth: diffusers' AnimateDiffPipeline.
 */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import type { TensorInfo } from '../onnx/model-info.ts';
import { addFrames, type ContextWindows, sharesOf, takeFrames, type Window, windowsAt } from './context-windows.ts';
import type { HostedSession, HostTensor } from './host.ts';
import type { Generator } from './noise.ts';
import type { VideoPackage } from './package-folder.ts';
import { statesInput } from './prompt/states.ts';
import { joined, runRows } from './rows.ts';
import type { Scheduler } from './schedulers/scheduler.ts';

/** Pixels decoded at a time: two frames of 512², a few GB of activations on the CPU. */
const DECODE_PIXELS = 2 * 512 * 512;

/** A graph that is ready to run. */
export type Session = Pick<HostedSession, 'run'>;

/** A graph that is ready to run, and what its inputs want. */
export interface LoadedGraph {
  readonly session: Session;
  /** Fixed by the graph, or undefined. */
  readonly batch: number | undefined;
  readonly inputs: readonly Pick<TensorInfo, 'name' | 'type' | 'shape'>[];
}

export interface Tensor {
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

export interface Denoising {
  /** Of the unconditional prompt, where guidance asks for one, and of the prompt: `[T, D]`, or `[F, T, D]` where each frame has its own. */
  readonly states: readonly Tensor[];
  /** `[1, 4, F, h, w]` */
  readonly shape: readonly number[];
  readonly scheduler: Scheduler;
  readonly generator: Generator;
  readonly guidance: number;
  /** How a clip of more frames than the graph takes is cut; without them it is evaluated as a whole. */
  readonly windows?: ContextWindows | undefined;
  /** Standard normal values of the clip's shape to start from; drawn from the generator where left out. */
  readonly initialNoise?: Float32Array | undefined;
}

/** A window of a step is evaluated. */
export interface DenoisedWindow {
  readonly kind: 'window';
  readonly timestep: number;
  /** Of the step and of the window in it, from 0. */
  readonly index: number;
  readonly window: number;
  /** Of the step. */
  readonly windows: number;
}

export interface DenoisingStep {
  readonly kind: 'step';
  /** From 0. */
  readonly index: number;
  readonly timestep: number;
  /** The latents that the step began with. */
  readonly before: Float32Array;
  /** What the UNet was given, scaled as the sampler wants it … */
  readonly given: Float32Array;
  /** … and what it predicted under each of the text states. */
  readonly noise: readonly Float32Array[];
  readonly latents: Float32Array;
  /** The clean latents as this step estimates them. */
  readonly denoised: Float32Array;
  /** Of the UNet's runs. */
  readonly milliseconds: number;
}

/** From noise to latents, step by step; the last step's latents are the result. */
export async function* denoise(
  unet: LoadedGraph,
  { states, shape, scheduler, generator, guidance, windows, initialNoise }: Denoising,
): AsyncGenerator<DenoisedWindow | DenoisingStep, void> {
  const count = shape.reduce((n, dim) => n * dim, 1);
  let latents = initialNoise ?? generator.randn(count);
  if (scheduler.initNoiseSigma !== 1) latents = latents.map((x) => x * scheduler.initNoiseSigma);
  for (const [index, timestep] of scheduler.timesteps.entries()) {
    const before = latents;
    const given = scheduler.scaleModelInput?.(before, index) ?? before;
    const evaluation = { latents: given, shape, timestep, states };
    const { noise, milliseconds } = windows
      ? yield* predictInWindows(unet, evaluation, windows, index)
      : await predictNoise(unet, evaluation);
    const step = scheduler.step(guide(noise, guidance), index, before, () => generator.randn(count));
    latents = step.prevSample;
    const { denoised } = step;
    yield { kind: 'step', index, timestep, before, given, noise, latents, denoised, milliseconds };
  }
}

/** The noise prediction under each of the text states: of each frame the weighted mean over the windows that it is in. */
async function* predictInWindows(
  unet: LoadedGraph,
  evaluation: Evaluation,
  context: ContextWindows,
  index: number,
): AsyncGenerator<DenoisedWindow, Prediction> {
  const { latents, shape, timestep, states } = evaluation;
  const windows = windowsAt(context, index);
  const shares = sharesOf(context, windows);
  const noise = states.map(() => new Float32Array(latents.length));
  let milliseconds = 0;
  for (const [w, window] of windows.entries()) {
    const part = await predictNoise(unet, {
      latents: takeFrames(latents, shape, window),
      shape: shape.with(-3, window.length),
      timestep,
      states: states.map((state) => statesOf(state, window)),
    });
    for (const [i, values] of part.noise.entries())
      addFrames(noise[i] as Float32Array, shape, { window, shares: shares[w] as Float64Array, values });
    milliseconds += part.milliseconds;
    yield { kind: 'window', timestep, index, window: w, windows: windows.length };
  }
  return { noise, milliseconds };
}

/** Of text states `[F, T, D]` those of a window; `[T, D]` are every frame's. */
function statesOf(states: Tensor, window: Window): Tensor {
  if (states.dims.length < 3) return states;
  const size = states.data.length / (states.dims[0] as number);
  const parts = window.map((frame) => states.data.subarray(frame * size, (frame + 1) * size));
  return { dims: states.dims.with(0, window.length), data: joined(Float32Array, parts) };
}

export interface Evaluation extends Pick<Denoising, 'shape' | 'states'> {
  readonly latents: Float32Array;
  readonly timestep: number;
}

/** A device without 64-bit integers takes the timestep as a number. */
function timestepTensor({ inputs }: LoadedGraph, timestep: number): HostTensor {
  return inputs.find(({ name }) => name === 'timestep')?.type === 'FLOAT'
    ? { type: 'float32', dims: [], data: Float32Array.of(timestep) }
    : { type: 'int64', dims: [], data: BigInt64Array.of(BigInt(timestep)) };
}

interface Prediction {
  /** One per text states. */
  readonly noise: readonly Float32Array[];
  readonly milliseconds: number;
}

/** The noise prediction under each of the text states. */
export async function predictNoise(
  unet: LoadedGraph,
  { latents, shape, timestep, states }: Evaluation,
): Promise<Prediction> {
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
    encoder_hidden_states: statesInput(unet.inputs, batch, shape[2] as number),
  }));
  return { noise: answer.outputs('out_sample').map((tensor) => tensor.data), milliseconds: answer.milliseconds };
}

/** uncond + g·(cond − uncond); with one prediction there is nothing to guide. */
function guide([first, conditional]: readonly Float32Array[], guidance: number): Float32Array {
  const unconditional = first as Float32Array;
  if (!conditional) return unconditional;
  const g = Math.fround(guidance);
  return unconditional.map((u, i) => u + Math.fround(g * Math.fround((conditional[i] as number) - u)));
}

/** Of latents `[1, 4, F, h, w]` the frame in the middle, `[1, 4, 1, h, w]`. */
export function middleFrame(latents: Float32Array, shape: readonly number[]): Float32Array<ArrayBuffer> {
  const [, channels, frames, h, w] = shape as [number, number, number, number, number];
  const [middle, area] = [Math.floor(frames / 2), h * w];
  return Float32Array.from({ length: channels * area }, (_, i) => {
    const channel = Math.floor(i / area);
    return latents[(channel * frames + middle) * area + (i % area)] as number;
  });
}

/** Latents `[1, 4, F, h, w]` → pixels `[F, 3, 8h, 8w]`, a few frames at a time. */
export async function decode(
  { scaling_factor }: Pick<VideoPackage, 'scaling_factor'>,
  decoder: LoadedGraph,
  latents: Float32Array,
  shape: readonly number[],
): Promise<Float32Array> {
  const [, channels, frames, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  const pixels = area * VAE_SCALE * VAE_SCALE;
  const images = Float32Array.from({ length: latents.length }, (_, i) => {
    const [frame, channel, at] = [Math.floor(i / (channels * area)), Math.floor(i / area) % channels, i % area];
    return (latents[(channel * frames + frame) * area + at] as number) / scaling_factor;
  });
  const group = Math.max(1, Math.min(frames, Math.floor(DECODE_PIXELS / pixels)));
  const decoded = new Float32Array(frames * 3 * pixels);
  for (let at = 0; at < frames; at += group) {
    const rows = Array.from({ length: Math.min(group, frames - at) }, (_, i) =>
      images.subarray((at + i) * channels * area, (at + i + 1) * channels * area),
    );
    const { outputs } = await runRows(decoder, rows, (batch) => ({
      latent_sample: { type: 'float32', dims: [batch.length, channels, h, w], data: joined(Float32Array, batch) },
    }));
    for (const [i, { data }] of outputs('sample').entries()) decoded.set(data, (at + i) * 3 * pixels);
  }
  return decoded;
}

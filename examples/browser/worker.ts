/**
 * Loads a package and makes clips of it, in a worker. Tokenizer, noise, sampler and everything around the graphs are lcm-merge's own
 * modules, so that a seed gives what `lcm-merge run` gives.
 */
import { readSavedScheduler, type SamplerConfig, samplerConfig } from '../../src/architecture/sampler-config.ts';
import { VAE_SCALE } from '../../src/architecture/vae-scale.ts';
import { decode, denoise, middleFrame } from '../../src/runtime/denoise.ts';
import { framesFromDecoder } from '../../src/runtime/frames.ts';
import { createGenerator } from '../../src/runtime/noise.ts';
import { encodePrompts, preparePrompts } from '../../src/runtime/prompt/encode.ts';
import { createScheduler } from '../../src/runtime/schedulers/index.ts';
import { createTokenizer, type Tokenizer } from '../../src/runtime/tokenizer.ts';
import { type Choice, chooseDevice } from './device.ts';
import type { Clip, Device, DeviceWish, Loaded, Reply, Request } from './messages.ts';
import {
  downloadGraph,
  fetchBytes,
  fetchIfThere,
  fetchJson,
  fetchLock,
  findGraph,
  type GraphFiles,
  type Lock,
  reasonOf,
} from './package-files.ts';
import { importOrt, type OpenedGraph, openGraph } from './sessions.ts';

type GraphName = 'text_encoder' | 'unet' | 'vae_decoder';

/** In the order in which they are needed. */
const GRAPHS: readonly GraphName[] = ['text_encoder', 'unet', 'vae_decoder'];
const TOKENIZER_FILES = {
  'vocab.json': true,
  'merges.txt': true,
  'tokenizer_config.json': false,
  'special_tokens_map.json': false,
};

/** Made for the device, over the same weights; a package has them if its recipe asked for them. */
const TARGET_GRAPHS: Readonly<Record<Device, string>> = { webgpu: 'model.webgpu.onnx', wasm: 'model.cpu.onnx' };

/** What a package without a lock is sampled with: the defaults of `lcm-merge run`. */
const DEFAULTS = { frames: 16, side: 512, steps: 4 };
/** As diffusers has it where a VAE's config says nothing. */
const SCALING_FACTOR = 0.18215;

/** On the CPU a preview of more pixels would take longer than a step. */
const PREVIEW_PIXELS = 128 ** 2;

interface Opened {
  readonly tokenizer: Tokenizer;
  readonly scaling_factor: number;
  readonly graphs: OpenedGraphs['graphs'];
  readonly scheduler: SamplerConfig;
  /** `[1, 4, F, h, w]` */
  readonly shape: readonly [1, 4, number, number, number];
  readonly guidance: number;
  /** The prompt that guidance leads away from. */
  readonly negative: string;
  /** Are brackets in prompts weights? As the recipe says. */
  readonly weighted: boolean;
  readonly device: Device;
}

const say = (reply: Reply, transfer: Transferable[] = []) => self.postMessage(reply, { transfer });

let opened: Opened | undefined;
let stopped = false;

self.onmessage = async ({ data: request }: MessageEvent<Request>) => {
  try {
    if (request.type === 'load') await load(request);
    else if (request.type === 'make') await make(request);
    else stopped = true;
  } catch (error) {
    say({ type: 'failed', sentence: `${reasonOf(error)}.` });
  }
};

// ---------------------------------------------------------------------------------------------------- load

async function load({ base, device: wish }: { readonly base: string; readonly device: DeviceWish }): Promise<void> {
  say({ type: 'preparing', what: 'Reading the package' });
  const lock = await fetchLock(base);
  const tokenizer = createTokenizer(await fetchTokenizer(base), (name) => `tokenizer/${name}`);
  const schedulerFile = 'scheduler/scheduler_config.json';
  const scheduler = samplerConfig(readSavedScheduler(await fetchJson(base, schedulerFile), schedulerFile));
  const { scaling_factor = SCALING_FACTOR } = await fetchJson(base, 'vae_decoder/config.json');
  const choice = await chooseDevice(wish, lock.recipe?.output?.dtype ?? 'fp16');
  const { device, note, graphs, bytes } = await openGraphs(base, lock, choice);

  const output = lock.recipe?.output ?? {};
  const [, , frames, h, w] = graphs.unet.shapes.get('sample') ?? [];
  const shape = [
    1,
    4,
    frames ?? output.frames ?? DEFAULTS.frames,
    h ?? (output.height ?? DEFAULTS.side) / VAE_SCALE,
    w ?? (output.width ?? DEFAULTS.side) / VAE_SCALE,
  ] as const;
  const guidance = lock.recipe?.sampler?.guidance ?? 1;
  const negative = lock.recipe?.verify?.negative ?? '';
  const weighted = lock.recipe?.verify?.prompt_weights ?? false;
  opened = {
    tokenizer,
    scaling_factor: Number(scaling_factor),
    graphs,
    scheduler,
    shape,
    guidance,
    negative,
    weighted,
    device,
  };
  const loaded: Loaded = {
    name: lock.name ?? 'package',
    device,
    ...(note !== undefined && { note }),
    frames: shape[2],
    height: shape[3] * VAE_SCALE,
    width: shape[4] * VAE_SCALE,
    prompt: lock.recipe?.verify?.prompt ?? '',
    seed: lock.recipe?.verify?.seed ?? 0,
    steps: lock.recipe?.sampler?.steps ?? DEFAULTS.steps,
    maxSteps: scheduler.kind === 'lcm' ? scheduler.original_inference_steps : scheduler.num_train_timesteps,
    bytes,
  };
  say({ type: 'loaded', ...loaded });
}

async function fetchTokenizer(base: string): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  for (const [name, isNeeded] of Object.entries(TOKENIZER_FILES)) {
    const path = `tokenizer/${name}`;
    const bytes = isNeeded ? await fetchBytes(base, path) : await fetchIfThere(base, path);
    if (bytes) files.set(name, bytes);
  }
  return files;
}

interface OpenedGraphs {
  readonly device: Device;
  readonly note?: string;
  readonly graphs: Readonly<Record<GraphName, OpenedGraph>>;
  /** Downloaded. */
  readonly bytes: number;
}

/** On the CPU where the graphics card refuses the first and smallest graph; one that refuses a later one lacks memory. */
async function openGraphs(base: string, lock: Lock, choice: Choice): Promise<OpenedGraphs> {
  const { device, note } = choice;
  const opened = await openGraphsOn(choice, base, lock);
  if (!('refused' in opened)) return { ...opened, device, ...(note !== undefined && { note }) };
  return openGraphs(base, lock, {
    device: 'wasm',
    note: `Running on the CPU: the graphics card was refused (${opened.refused}).`,
  });
}

/** Downloads and opens one graph after the other, so that no more than one is in memory twice. */
async function openGraphsOn(choice: Choice, base: string, lock: Lock) {
  const { device } = choice;
  const ort = await importOrt(device);
  const found = await Promise.all(
    GRAPHS.map(
      async (name) => [name, await findGraph(base, name, [TARGET_GRAPHS[device], 'model.onnx'], lock)] as const,
    ),
  );
  const bytes = found
    .flatMap(([, { graph, weights }]) => [graph, ...weights])
    .reduce((sum, part) => sum + part.bytes, 0);
  let done = 0;
  const onBytes = (file: string, n: number) => {
    done += n;
    say({ type: 'downloading', file, done, total: bytes });
  };
  const graphs: Partial<Record<GraphName, OpenedGraph>> = {};
  for (const [name, files] of found) {
    const data = await downloadGraph(base, files, onBytes);
    say({ type: 'preparing', what: `Preparing ${name}` });
    try {
      graphs[name] = await openGraph(ort, choice, data);
    } catch (error) {
      if (device === 'webgpu' && name === GRAPHS[0]) return { refused: reasonOf(error) };
      throw explain(error, name, files, device);
    }
  }
  return { graphs: graphs as OpenedGraphs['graphs'], bytes };
}

/** WebAssembly has 4 GB, in which a model of half that size does not fit once its numbers are widened. */
function explain(error: unknown, name: string, { weights }: GraphFiles, device: Device): Error {
  const bytes = weights.reduce((sum, part) => sum + part.bytes, 0);
  const isMemory = /alloc|memory|RangeError/i.test(reasonOf(error)) || /^\d+$/.test(reasonOf(error));
  return new Error(
    isMemory
      ? `The ${(bytes / 1e9).toFixed(2)} GB of ${name} do not fit into the memory that a page may use on the ${device === 'wasm' ? 'CPU (4 GB); a graphics card with WebGPU is needed' : 'graphics card'}`
      : `${name} cannot be loaded: ${reasonOf(error)}`,
  );
}

// ---------------------------------------------------------------------------------------------------- make

async function make({ prompt, seed, steps }: Extract<Request, { type: 'make' }>): Promise<void> {
  if (!opened) throw new Error('The package is not loaded yet');
  const { graphs, shape, guidance, negative, weighted, device } = opened;
  stopped = false;
  const started = performance.now();
  const scheduler = createScheduler(opened.scheduler, steps);
  const generator = createGenerator(seed);
  const prompts = guidance > 1 ? [negative, prompt] : [prompt];
  const prepared = preparePrompts(opened, graphs.unet.inputs, prompts, { frames: shape[2], weighted });
  const states = await encodePrompts(graphs.text_encoder, prepared);
  let latents = new Float32Array();
  const denoising = denoise(graphs.unet, { states, shape, scheduler, generator, guidance });
  for await (const step of denoising) {
    if (step.kind === 'window') continue;
    ({ latents } = step as { latents: Float32Array<ArrayBuffer> });
    if (!latents.every(Number.isFinite)) {
      throw new Error(
        `After step ${step.index + 1} of ${steps} the latents are not finite: the ${device} device computed nonsense. Choose another device`,
      );
    }
    const preview = step.index + 1 < steps ? await previewOf(opened, step.denoised) : undefined;
    say({
      type: 'step',
      done: step.index + 1,
      total: steps,
      milliseconds: step.milliseconds,
      ...(preview && { preview }),
    });
    await new Promise((resume) => setTimeout(resume)); // a run blocks the worker: now it hears what was said meanwhile
    if (stopped) return say({ type: 'stopped' });
  }
  say({ type: 'decoding' });
  const clip = await toClip(opened, latents, shape);
  const milliseconds = performance.now() - started;
  say({ type: 'made', clip, latents, milliseconds, warnings: prepared.warnings }, [
    clip.data.buffer,
    latents.buffer,
  ] as ArrayBuffer[]);
}

/** The frame in the middle, as the step estimates it. */
async function previewOf(opened: Opened, denoised: Float32Array): Promise<Clip | undefined> {
  const [, channels, , h, w] = opened.shape;
  if (opened.device === 'wasm' && h * w * VAE_SCALE ** 2 > PREVIEW_PIXELS) return undefined;
  return toClip(opened, middleFrame(denoised, opened.shape), [1, channels, 1, h, w]);
}

async function toClip(opened: Opened, latents: Float32Array, shape: readonly number[]): Promise<Clip> {
  const [, , frames, h, w] = shape as [number, number, number, number, number];
  const pixels = await decode(opened, opened.graphs.vae_decoder, latents, shape);
  return framesFromDecoder(pixels, [frames, 3, h * VAE_SCALE, w * VAE_SCALE]);
}

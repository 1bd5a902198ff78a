/**
 * Files of SD1.5's true size and layout, with random weights, in a few seconds and a few MB of memory: a diffusers folder, a motion
 * module, an LCM LoRA of rank 64 over 278 modules, a style LoRA of rank 32 over the attention of UNet and text encoder, recipes of several
 * clip sizes.
 *
 *     node bench/full-size.ts [out/full] [--motion F16|F32]
 *
 * Every weight is normally distributed with the spread that its fan-in calls for, so that merging them stays finite as it does with
 * real ones. Shapes come from src/architecture; the sizes of the real files stand in their model cards (859.5 M parameters of UNet,
 * 453.2 M of motion without positional encodings, 134.6 MB of LCM LoRA).
 */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { readClipTextConfig } from '../src/architecture/clip-config.ts';
import { animateDiffName } from '../src/architecture/names.ts';
import {
  clipTextParameters,
  type ModelParameter,
  unetParameters,
  vaeDecoderParameters,
  vaeEncoderParameters,
} from '../src/architecture/parameters.ts';
import { readUNetConfig } from '../src/architecture/unet-config.ts';
import { unetStructure } from '../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../src/architecture/vae-config.ts';
import { createGenerator } from '../src/runtime/noise.ts';

type DType = 'F16' | 'F32';

/** A tensor to be written: its numbers are `mean` plus a normal deviate times `spread`. */
interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly mean?: number;
  readonly spread: number;
}

const UNET = {
  _class_name: 'UNet2DConditionModel',
  sample_size: 64,
  in_channels: 4,
  out_channels: 4,
  layers_per_block: 2,
  block_out_channels: [320, 640, 1280, 1280],
  attention_head_dim: 8,
  cross_attention_dim: 768,
  down_block_types: ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
  up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
};
const TEXT_ENCODER = {
  architectures: ['CLIPTextModel'],
  model_type: 'clip_text_model',
  vocab_size: 49408,
  hidden_size: 768,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  max_position_embeddings: 77,
  hidden_act: 'quick_gelu',
  projection_dim: 768,
};
const VAE = {
  _class_name: 'AutoencoderKL',
  in_channels: 3,
  out_channels: 3,
  latent_channels: 4,
  layers_per_block: 2,
  block_out_channels: [128, 256, 512, 512],
  down_block_types: Array<string>(4).fill('DownEncoderBlock2D'),
  up_block_types: Array<string>(4).fill('UpDecoderBlock2D'),
  scaling_factor: 0.18215,
};
const SCHEDULER = {
  _class_name: 'PNDMScheduler',
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: 'scaled_linear',
  num_train_timesteps: 1000,
  skip_prk_steps: true,
  steps_offset: 1,
  set_alpha_to_one: false,
};

/** What is made of the weights, by recipe; `weights` is for those who load them into PyTorch (test/oracle/compare_full.py). */
const RECIPES = {
  'recipe.yaml': { frames: 16, width: 512, height: 512 },
  '4x128.yaml': { frames: 4, width: 128, height: 128, weights: true },
  '4x128-fp32.yaml': { frames: 4, width: 128, height: 128, dtype: 'fp32', weights: true },
  '16x256.yaml': { frames: 16, width: 256, height: 256 },
  '16x256-fp32.yaml': { frames: 16, width: 256, height: 256, dtype: 'fp32' },
  '1x512.yaml': { frames: 1, width: 512, height: 512 },
  '2x512.yaml': { frames: 2, width: 512, height: 512 },
};

const count = (shape: readonly number[]) => shape.reduce((n, dim) => n * dim, 1);

/** What a trained parameter looks like: norms about one, biases about zero, weights by their fan-in. */
function asTrained({ name, shape }: Pick<ModelParameter, 'name' | 'shape'>): Tensor {
  if (shape.length > 1) return { name, shape, spread: 1 / Math.sqrt(count(shape.slice(1))) };
  return { name, shape, spread: 0.05, mean: name.endsWith('.weight') ? 1 : 0 };
}

/** A kohya module whose product has about a tenth of the spread of the weight it changes. */
function* loraModule(key: string, shape: readonly number[], rank: number, alpha: number): Generator<Tensor> {
  const [out, ...into] = shape as [number, ...number[]];
  const spread = 1 / Math.sqrt(count(into));
  yield { name: `${key}.alpha`, shape: [], mean: alpha, spread: 0 };
  yield { name: `${key}.lora_down.weight`, shape: [rank, ...into], spread };
  yield {
    name: `${key}.lora_up.weight`,
    shape: [out, rank, ...into.slice(1).map(() => 1)],
    spread: (0.1 * Math.sqrt(rank)) / alpha,
  };
}

function lora(
  modules: readonly (readonly [prefix: string, parameter: ModelParameter])[],
  rank: number,
  alpha: number,
): Tensor[] {
  return modules.flatMap(([prefix, { name, shape }]) => [
    ...loraModule(prefix + name.replace(/\.weight$/, '').replaceAll('.', '_'), shape, rank, alpha),
  ]);
}

/** Normal deviates that all tensors share, each from a place of its own; a prime number, so that no row repeats another. */
const DEVIATES = createGenerator(0).randn(1_048_573);

/** The deviates in a file's type at the spreads met so far. */
const tiles = new Map<string, Uint8Array>();

function tileOf(dtype: DType, spread: number, mean: number): Uint8Array {
  const key = `${dtype} ${spread} ${mean}`;
  const known = tiles.get(key);
  if (known) return known;
  const numbers = dtype === 'F16' ? new Float16Array(DEVIATES.length) : new Float32Array(DEVIATES.length);
  for (const [i, deviate] of DEVIATES.entries()) numbers[i] = mean + spread * deviate;
  const tile = new Uint8Array(numbers.buffer);
  tiles.set(key, tile);
  return tile;
}

/** Streams a safetensors file; only its header and the tiles are in memory. */
async function writeTensors(path: string, tensors: readonly Tensor[], dtype: DType = 'F16'): Promise<void> {
  const bytes = dtype === 'F16' ? 2 : 4;
  let end = 0;
  const entries = tensors.map(({ name, shape }) => {
    const begin = end;
    end += count(shape) * bytes;
    return [name, { dtype, shape, data_offsets: [begin, end] }];
  });
  const json = JSON.stringify(Object.fromEntries([['__metadata__', { format: 'pt' }], ...entries]));
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, 'w');
  await file.appendFile(length);
  await file.appendFile(header);
  for (const [i, { shape, spread, mean = 0 }] of tensors.entries()) {
    const tile = tileOf(dtype, spread, mean);
    let at = (((i + 1) * 40503) % DEVIATES.length) * bytes;
    for (let left = count(shape) * bytes; left > 0; at = 0) {
      const piece = tile.subarray(at, Math.min(at + left, tile.length));
      await file.appendFile(piece);
      left -= piece.length;
    }
  }
  tiles.clear();
  await file.sync();
}

/** Printable letters, all pairs of them and enough triples to make CLIP's 49,408 entries: BPE that works and means nothing. */
function tokenizer(size: number): { vocab: Record<string, number>; merges: string[] } {
  const letters = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));
  const vocab: Record<string, number> = {};
  const merges: string[] = [];
  const push = (token: string) => {
    if (!(token in vocab)) vocab[token] = Object.keys(vocab).length;
  };
  const symbols = [...letters, ...letters.map((letter) => `${letter}</w>`)];
  let used = 0;
  for (const symbol of symbols) {
    push(symbol);
    used += 1;
  }
  const room = size - 2;
  const pairs = letters.flatMap((a) => symbols.map((b) => [a, b] as const));
  const triples = letters.flatMap((a) => letters.flatMap((b) => letters.map((c) => [a + b, c] as const)));
  for (const [left, right] of [...pairs, ...triples]) {
    if (used === room) break;
    const token = left + right;
    if (Object.hasOwn(vocab, token)) continue;
    vocab[token] = used;
    merges.push(`${left} ${right}`);
    used += 1;
  }
  vocab['<|startoftext|>'] = used;
  vocab['<|endoftext|>'] = used + 1;
  return { vocab, merges };
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { motion: { type: 'string', default: 'F16' } },
});
const out = positionals[0] ?? 'out/full';
const base = join(out, 'base');
const put = async (file: string, content: string | object) => {
  await mkdir(dirname(join(out, file)), { recursive: true });
  await writeFile(join(out, file), typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`);
};

await put('base/unet/config.json', UNET);
await put('base/text_encoder/config.json', TEXT_ENCODER);
await put('base/vae/config.json', VAE);
await put('base/scheduler/scheduler_config.json', SCHEDULER);
await put('base/model_index.json', {
  _class_name: 'StableDiffusionPipeline',
  feature_extractor: [null, null],
  safety_checker: [null, null],
  scheduler: ['diffusers', 'PNDMScheduler'],
  text_encoder: ['transformers', 'CLIPTextModel'],
  tokenizer: ['transformers', 'CLIPTokenizer'],
  unet: ['diffusers', 'UNet2DConditionModel'],
  vae: ['diffusers', 'AutoencoderKL'],
});
const { vocab, merges } = tokenizer(TEXT_ENCODER.vocab_size);
await put('base/tokenizer/vocab.json', JSON.stringify(vocab));
await put('base/tokenizer/merges.txt', `#version: 0.2\n${merges.join('\n')}\n`);
await put('base/tokenizer/tokenizer_config.json', {
  tokenizer_class: 'CLIPTokenizer',
  bos_token: '<|startoftext|>',
  eos_token: '<|endoftext|>',
  unk_token: '<|endoftext|>',
  pad_token: '<|endoftext|>',
  model_max_length: TEXT_ENCODER.max_position_embeddings,
});

const structure = unetStructure(await readUNetConfig(join(base, 'unet/config.json')), { mid: true });
const unet = unetParameters(structure, 64).filter(({ kind }) => kind !== 'positional-encoding');
const spatial = unet.filter(({ motion }) => !motion);
const temporal = unet.filter(({ motion }) => motion);
const text = clipTextParameters(await readClipTextConfig(join(base, 'text_encoder/config.json')));
const vaeConfig = await readVaeConfig(join(base, 'vae/config.json'));
const vae = [...vaeEncoderParameters(vaeConfig), ...vaeDecoderParameters(vaeConfig)];

const weights = (parameters: readonly ModelParameter[]) =>
  parameters.filter(({ kind }) => kind === 'linear' || kind === 'conv');
/** All but the first and last convolution and the time embedding. */
const lcmModules = weights(spatial).filter(({ name }) => !/^(conv_in|conv_out|time_embedding)\./.test(name));
const styleModules = weights(spatial).filter(({ name }) => name.includes('.attentions.'));

await writeTensors(join(base, 'unet/diffusion_pytorch_model.safetensors'), spatial.map(asTrained));
await writeTensors(join(base, 'text_encoder/model.safetensors'), text.map(asTrained));
await writeTensors(join(base, 'vae/diffusion_pytorch_model.safetensors'), vae.map(asTrained));
await writeTensors(
  join(out, 'motion.safetensors'),
  temporal.map((parameter) => asTrained({ ...parameter, name: animateDiffName(parameter.name) })),
  values.motion as DType,
);
await writeTensors(
  join(out, 'lcm.safetensors'),
  lora(
    lcmModules.map((parameter) => ['lora_unet_', parameter]),
    64,
    8,
  ),
);
await writeTensors(
  join(out, 'style.safetensors'),
  lora(
    [
      ...styleModules.map((parameter) => ['lora_unet_', parameter] as const),
      ...weights(text).map((parameter) => ['lora_te_', parameter] as const),
    ],
    32,
    16,
  ),
);
for (const [file, output] of Object.entries(RECIPES)) {
  await put(file, {
    name: 'full-size',
    base: 'base',
    personalized: [{ lora: 'style.safetensors', alpha: 0.8 }],
    lcm: { lora: 'lcm.safetensors', beta: 1, expect: { modules: lcmModules.length } },
    motion: { module: 'motion.safetensors' },
    sampler: { steps: 4 },
    output,
  });
}

const millions = (parameters: readonly { readonly shape: readonly number[] }[]) =>
  `${(parameters.reduce((n, { shape }) => n + count(shape), 0) / 1e6).toFixed(1)} M`;
console.log(
  `${join(out, 'recipe.yaml')}: UNet ${millions(spatial)}, motion ${millions(temporal)}, text encoder ${millions(text)}, VAE ${millions(vae)}; ` +
    `LoRAs of ${lcmModules.length} and ${styleModules.length + weights(text).length} modules`,
);

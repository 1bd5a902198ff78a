/**
 * A family of files as small as SD1.5's structure allows, made of the tool's own parameter tables, for tests that need a
 * file with something wrong or unusual in it. Its numbers mean nothing; what merging gives is checked on models/tiny.
 */
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { animateDiffName } from '../../src/architecture/names.ts';
import {
  clipTextParameters,
  type ModelParameter,
  unetParameters,
  vaeDecoderParameters,
} from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { fromFloat32 } from '../../src/formats/dtype.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { positionalEncoding } from '../../src/merge/positions.ts';
import type { Recipe } from '../../src/recipe/schema.ts';
import { temporaryFolder } from './temporary.ts';
import { recipeIn, type Section } from './tiny.ts';

export interface StoredTensor {
  readonly shape: readonly number[];
  /** float32 */
  readonly data: Float32Array;
}

export type FloatDType = 'F16' | 'BF16' | 'F32' | 'F64';

/** The tensors of one file, by name. */
export type Tensors = Map<string, StoredTensor>;

export const CONFIGS = {
  unet: {
    block_out_channels: [8, 16],
    layers_per_block: 1,
    cross_attention_dim: 8,
    attention_head_dim: 2,
    norm_num_groups: 4,
    down_block_types: ['CrossAttnDownBlock2D', 'DownBlock2D'],
    up_block_types: ['UpBlock2D', 'CrossAttnUpBlock2D'],
  },
  text_encoder: {
    vocab_size: 645,
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
  },
  vae: { block_out_channels: [8, 8, 8, 8], norm_num_groups: 4 },
};

export interface FamilyOptions {
  readonly unet?: object;
  readonly vae?: object;
  readonly text_encoder?: object;
  /** Does the motion file have a module for the middle block? */
  readonly mid?: boolean;
  /** Rows of the positional encodings in the motion file; left out, it has none. */
  readonly positions?: number;
  /** Of all files; float32 when left out. */
  readonly dtype?: FloatDType;
  /** Changes to the tensors of a file before it is written. */
  readonly alter?: Readonly<Partial<Record<'unet' | 'text_encoder' | 'vae' | 'motion', (tensors: Tensors) => void>>>;
}

export interface Family {
  readonly folder: string;
  recipe(changes?: Readonly<Record<string, Section>>): Recipe;
}

export async function writeFamily(options: FamilyOptions = {}): Promise<Family> {
  const folder = await temporaryFolder();
  const config = async (part: 'unet' | 'text_encoder' | 'vae') => {
    await mkdir(join(folder, 'base', part), { recursive: true });
    const path = join(folder, 'base', part, 'config.json');
    await writeFile(path, JSON.stringify({ ...CONFIGS[part], ...options[part] }));
    return path;
  };
  const structure = unetStructure(await readUNetConfig(await config('unet')), { mid: options.mid ?? true });
  const unet = unetParameters(structure, options.positions ?? 64);
  const write = (part: 'unet' | 'text_encoder' | 'vae' | 'motion', file: string, tensors: Tensors) => {
    options.alter?.[part]?.(tensors);
    return writeTensors(join(folder, file), tensors, options.dtype);
  };
  const plain = (parameters: readonly ModelParameter[]): Tensors =>
    new Map(
      parameters.filter(({ kind }) => kind !== 'positional-encoding').map(({ name, shape }) => [name, filled(shape)]),
    );
  await write('unet', 'base/unet/diffusion_pytorch_model.safetensors', plain(unet.filter(({ motion }) => !motion)));
  const clip = await readClipTextConfig(await config('text_encoder'));
  await write('text_encoder', 'base/text_encoder/model.safetensors', plain(clipTextParameters(clip)));
  const vae = await readVaeConfig(await config('vae'));
  await write('vae', 'base/vae/diffusion_pytorch_model.safetensors', plain(vaeDecoderParameters(vae)));
  const motion = unet.filter((parameter) => parameter.motion);
  await write(
    'motion',
    'motion.safetensors',
    new Map([...motionTensors(plain(motion)), ...encodings(motion, options.positions)]),
  );
  await cp('models/tiny/base/tokenizer', join(folder, 'base', 'tokenizer'), { recursive: true });
  const document = {
    name: 'small',
    base: 'base',
    motion: { module: 'motion.safetensors' },
    output: { frames: 4, width: 64, height: 64, dtype: 'fp32' },
  };
  return { folder, recipe: (changes) => recipeIn(folder, document, changes) };
}

function motionTensors(tensors: Tensors): Tensors {
  return new Map([...tensors].map(([name, tensor]) => [animateDiffName(name), tensor]));
}

/** As AnimateDiff stores them: one for each of a module's two attentions. */
function* encodings(
  motion: readonly ModelParameter[],
  positions: number | undefined,
): Generator<[string, StoredTensor]> {
  for (const { name, kind, shape } of motion) {
    if (kind !== 'positional-encoding' || positions === undefined) continue;
    for (const attention of [0, 1]) {
      const stored = animateDiffName(name).replace('pos_embed.pe', `attention_blocks.${attention}.pos_encoder.pe`);
      yield [stored, { shape, data: positionalEncoding(positions, shape.at(-1) as number) }];
    }
  }
}

/** Sixty-fourths between −1/8 and 1/8: exact in every float type. */
export function filled(shape: readonly number[]): StoredTensor {
  const length = shape.reduce((n, dim) => n * dim, 1);
  return { shape, data: Float32Array.from({ length }, (_, i) => (((i * 7) % 17) - 8) / 64) };
}

export async function writeTensors(path: string, tensors: Tensors, dtype: FloatDType = 'F32'): Promise<void> {
  const list = [...tensors].map(([name, { shape, data }]) => ({ name, dtype, shape, data: bytesOf(data, dtype) }));
  await writeSafetensors(path, list);
}

function bytesOf(data: Float32Array, dtype: FloatDType): Uint8Array {
  return dtype === 'F64' ? new Uint8Array(new Float64Array(data).buffer) : fromFloat32(data, dtype);
}

/** One module of a kohya LoRA for a weight of `shape`; without `alpha` the file has none. */
export function loraModule(
  prefix: string,
  shape: readonly number[],
  { rank = 2, alpha }: { rank?: number; alpha?: number } = {},
): Tensors {
  const [out, ...into] = shape as [number, ...number[]];
  const tensors: Tensors = new Map([
    [`${prefix}.lora_down.weight`, filled([rank, ...into])],
    [`${prefix}.lora_up.weight`, filled([out, rank, ...into.slice(1).map(() => 1)])],
  ]);
  return alpha === undefined ? tensors : tensors.set(`${prefix}.alpha`, { shape: [], data: Float32Array.of(alpha) });
}

/**
 * models/tiny/base as the single files that people download: LDM names as diffusers' own converters know them (never our map), EMA
 * weights, training buffers and old names beside them, in safetensors or as torch.save writes it.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { inflateSync } from 'node:zlib';
import { fromFloat32 } from '../../src/formats/dtype.ts';
import { writeSafetensors } from '../../src/formats/safetensors.ts';
import { openTensorFile, readTensor, type TensorEntry } from '../../src/formats/tensor-file.ts';
import { checkpoint, concat, op, pickle, tensor } from '../formats/build.ts';

interface Packed<Names> {
  readonly layers: number;
  readonly widths: readonly number[];
  /** diffusers' name → LDM's. */
  readonly names: Names;
}

interface Golden<Names> {
  readonly unets: readonly (Packed<Names> & { readonly attention: readonly boolean[] })[];
  readonly vaes: readonly Packed<Names>[];
}

/** Made by `python test/oracle/bases.py`; each table is deflated lines `diffusers ldm` in base64. */
const packed = JSON.parse(await readFile('test/golden/ldm-names.json', 'utf8')) as Golden<string>;

const unpack = <Row extends Packed<string>>(row: Row) => {
  const lines = inflateSync(Buffer.from(row.names, 'base64')).toString().split('\n');
  return { ...row, names: new Map(lines.map((line) => line.split(' ') as [string, string])) };
};

export const ldmGolden: Golden<ReadonlyMap<string, string>> = {
  unets: packed.unets.map(unpack),
  vaes: packed.vaes.map(unpack),
};

export type Stored = Pick<TensorEntry, 'name' | 'dtype' | 'shape'> & { readonly data: Uint8Array };

export async function readAll(path: string): Promise<Stored[]> {
  await using file = await openTensorFile(path);
  const all: Stored[] = [];
  for (const entry of file.tensors.values()) {
    all.push({ name: entry.name, dtype: entry.dtype, shape: entry.shape, data: await readTensor(file, entry) });
  }
  return all;
}

export interface LdmOptions {
  /** Do the text encoder's names have `text_model.`? NovelAI's leak and models made from it have not. */
  readonly textModel?: boolean;
  /** Prefix of the VAE's names. */
  readonly vae?: string;
  /** proj_in and proj_out of the UNet's transformers as Linear. */
  readonly linear?: boolean;
}

/** The base of models/tiny, tensor by tensor, as a training checkpoint holds it. */
export async function tinyLdm(options: LdmOptions = {}): Promise<Stored[]> {
  const { textModel = true, vae = 'first_stage_model.', linear = false } = options;
  const [unetNames, vaeNames] = [ldmGolden.unets[0]?.names, ldmGolden.vaes[1]?.names];
  const unet = (await readAll('models/tiny/base/unet/diffusion_pytorch_model.safetensors')).map((stored) => ({
    ...stored,
    name: `model.diffusion_model.${unetNames?.get(stored.name)}`,
    shape: linear && /\.proj_(in|out)\.weight$/.test(stored.name) ? stored.shape.slice(0, 2) : stored.shape,
  }));
  const autoencoder = (await readAll('models/tiny/base/vae/diffusion_pytorch_model.safetensors')).map((stored) => ({
    ...stored,
    name: vae + vaeNames?.get(stored.name),
    // LDM's attention is made of 1×1 convolutions
    shape: /\.attentions\.0\.to_\w+(\.0)?\.weight$/.test(stored.name) ? [...stored.shape, 1, 1] : stored.shape,
  }));
  const text = (await readAll('models/tiny/base/text_encoder/model.safetensors')).map((stored) => ({
    ...stored,
    name: `cond_stage_model.transformer.${textModel ? stored.name : stored.name.replace(/^text_model\./, '')}`,
  }));
  const ema = unet.map((stored) => ({
    ...stored,
    name: `model_ema.${stored.name.replace(/^model\./, '').replaceAll('.', '')}`,
    data: new Uint8Array(stored.data.length), // whoever takes them makes a black picture
  }));
  const half = (name: string, values: readonly number[], shape: readonly number[] = [values.length]): Stored => ({
    name,
    dtype: 'F16',
    shape,
    data: fromFloat32(Float32Array.from(values), 'F16'),
  });
  const positions = `cond_stage_model.transformer.${textModel ? 'text_model.' : ''}embeddings.position_ids`;
  return [
    ...unet,
    ...autoencoder,
    ...text,
    ...ema,
    half('model_ema.decay', [0.5]),
    half('betas', [0.5, 0.25]),
    half('sqrt_alphas_cumprod', [1, 0.5]),
    half('posterior_mean_coef1', [1, 0.5]),
    half('cond_stage_model.logit_scale', [4.6], []),
    half('cond_stage_model.text_projection', [1, 0, 0, 1], [2, 2]),
    half(
      positions,
      Array.from({ length: 77 }, (_, i) => i),
      [1, 77],
    ),
  ];
}

/** What `tinyLdm` holds beside the base, by the rule that puts it aside. */
export const TINY_LDM_IGNORED = {
  'vae-encoder': 78,
  ema: 687,
  'training-buffers': 3,
  'text-projection': 2,
  'position-ids': 1,
};

export async function writeLdm(
  path: string,
  tensors: readonly Stored[],
  metadata?: Readonly<Record<string, string>>,
): Promise<string> {
  await writeSafetensors(path, tensors, ...(metadata ? [metadata] : []));
  return path;
}

const STORAGES: Readonly<Record<string, readonly [type: string, bytes: number]>> = {
  F16: ['HalfStorage', 2],
  F32: ['FloatStorage', 4],
  BF16: ['BFloat16Storage', 2],
};

/** As torch.save writes a state dict; `wrapped` puts it under `state_dict`, beside a step counter, as Lightning does. */
export async function writeTorch(
  path: string,
  tensors: readonly Stored[],
  { wrapped = false }: { wrapped?: boolean } = {},
): Promise<string> {
  const entries = tensors.map(({ name, dtype, shape }, key) => {
    const [storage, bytes] = STORAGES[dtype] as readonly [string, number];
    const count = (tensors[key] as Stored).data.length / bytes;
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((n, dim) => n * dim, 1));
    return [name, tensor({ storage, key: `${key}`, count, shape, strides })] as const;
  });
  const dict = op.dict(...entries.map(([name, value]) => [op.str(name), value] as const));
  const root = wrapped ? op.dict([op.str('global_step'), op.int(7)], [op.str('state_dict'), dict]) : dict;
  const parts = [
    ...tensors.map(({ data }, key) => ({ name: `archive/data/${key}`, data })),
    { name: 'archive/version', data: Buffer.from('3\n') },
  ];
  await writeFile(path, checkpoint(pickle(concat(root)), parts));
  return path;
}

/**
 * The names of CompVis' latent-diffusion code, which single-file checkpoints carry: where a diffusers parameter stands in
 * `UNetModel` and in the autoencoder. There the UNet is three flat lists of blocks, and the decoder counts its blocks from the
 * output inwards.
 * Sources: latent-diffusion ldm/modules/diffusionmodules/{openaimodel,model}.py; reference: formats.md §1a.
 */
import type { UNetStructure } from './unet-structure.ts';
import type { VaeConfig } from './vae-config.ts';

/** diffusers' name of a piece → LDM's. */
type Pieces = Readonly<Record<string, string>>;

/** Modules that stand alone. */
const UNET_ENDS: Pieces = {
  'time_embedding.linear_1': 'time_embed.0',
  'time_embedding.linear_2': 'time_embed.2',
  conv_in: 'input_blocks.0.0',
  conv_norm_out: 'out.0',
  conv_out: 'out.2',
};

const UNET_RESNET: Pieces = {
  norm1: 'in_layers.0',
  conv1: 'in_layers.2',
  time_emb_proj: 'emb_layers.1',
  norm2: 'out_layers.0',
  conv2: 'out_layers.3',
  conv_shortcut: 'skip_connection',
};

/** Places in a block's list: a resnet comes first, the transformer behind it, and in an up block an upsampler last. */
const [RESNET, ATTENTION] = [0, 1];

/**
 * The LDM name of a parameter (or module) of the UNet: `input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight`.
 * Names within a transformer are the same on both sides.
 * @throws RangeError for what LDM's UNet does not have: motion modules.
 */
export function ldmUNetName(name: string, { config, up }: Pick<UNetStructure, 'config' | 'up'>): string {
  const end = Object.entries(UNET_ENDS).find(([module]) => name === module || name.startsWith(`${module}.`));
  if (end) return end[1] + name.slice(end[0].length);
  const [, block, kind, index, rest] = /^(\w+(?:\.\d+)?)\.(\w+)\.(\d+)\.(.+)$/.exec(name) ?? [];
  const [way, number] = (block ?? '').split('.');
  const [i, j] = [Number(number), Number(index)];
  const stride = config.layers_per_block + 1;
  const inner = kind === 'resnets' ? renamed(rest as string, UNET_RESNET) : rest;
  const place = kind === 'resnets' ? RESNET : ATTENTION;
  switch (`${way}.${kind}`) {
    case 'down_blocks.resnets':
    case 'down_blocks.attentions':
      return `input_blocks.${1 + stride * i + j}.${place}.${inner}`;
    case 'down_blocks.downsamplers':
      return `input_blocks.${stride * (i + 1)}.0.${renamed(rest as string, { conv: 'op' })}`;
    case 'mid_block.resnets':
      return `middle_block.${2 * j}.${inner}`;
    case 'mid_block.attentions':
      return `middle_block.1.${inner}`;
    case 'up_blocks.resnets':
    case 'up_blocks.attentions':
      return `output_blocks.${stride * i + j}.${place}.${inner}`;
    case 'up_blocks.upsamplers':
      // behind the transformer where the block has one, in its place where not
      return `output_blocks.${stride * i + stride - 1}.${up[i]?.attention ? ATTENTION + 1 : ATTENTION}.${inner}`;
    default:
      throw new RangeError(`LDM's UNet has no ${name}.`);
  }
}

const VAE_RESNET: Pieces = { conv_shortcut: 'nin_shortcut' };

const VAE_ATTENTION: Pieces = { group_norm: 'norm', to_q: 'q', to_k: 'k', to_v: 'v', 'to_out.0': 'proj_out' };

/** The LDM name of a parameter of the VAE: `decoder.up.3.block.0.conv1.weight`, `encoder.down.0.downsample.conv.weight`. */
export function ldmVaeName(name: string, { block_out_channels }: Pick<VaeConfig, 'block_out_channels'>): string {
  const last = block_out_channels.length - 1;
  return name
    .replace(/^(encoder|decoder)\.conv_norm_out\./, '$1.norm_out.')
    .replace(/\.mid_block\.attentions\.0\.(.+)$/, (_, rest: string) => `.mid.attn_1.${renamed(rest, VAE_ATTENTION)}`)
    .replace(
      /\.mid_block\.resnets\.(\d+)\.(.+)$/,
      (_, j: string, rest: string) => `.mid.block_${Number(j) + 1}.${renamed(rest, VAE_RESNET)}`,
    )
    .replace(
      /\.up_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (_, i: string, j: string, rest: string) => `.up.${last - Number(i)}.block.${j}.${renamed(rest, VAE_RESNET)}`,
    )
    .replace(/\.up_blocks\.(\d+)\.upsamplers\.0\./, (_, i: string) => `.up.${last - Number(i)}.upsample.`)
    .replace(
      /\.down_blocks\.(\d+)\.resnets\.(\d+)\.(.+)$/,
      (_, i: string, j: string, rest: string) => `.down.${i}.block.${j}.${renamed(rest, VAE_RESNET)}`,
    )
    .replace(/\.down_blocks\.(\d+)\.downsamplers\.0\./, '.down.$1.downsample.');
}

/** `rest` with the module it begins with renamed, if the table has it. */
function renamed(rest: string, pieces: Pieces): string {
  const found = Object.entries(pieces).find(([ours]) => rest === ours || rest.startsWith(`${ours}.`));
  return found ? found[1] + rest.slice(found[0].length) : rest;
}

/**
 * Tables of parameters: what diffusers and transformers call each tensor of the models and its PyTorch shape.
 * Everything that merging needs to know of the architecture; the exported graphs must ask for exactly these.
 * Sources: diffusers models/resnet.py, transformers/transformer_2d.py, unets/unet_motion_model.py, autoencoders/vae.py;
 * transformers models/clip.
 */
import type { ClipTextConfig } from './clip-config.ts';
import type { UNetBlock, UNetStructure } from './unet-structure.ts';
import type { VaeConfig } from './vae-config.ts';

/** `linear` weights are `[out, in]` and stored transposed; the others are stored as they are. */
export type ParameterKind = 'linear' | 'conv' | 'embedding' | 'vector' | 'positional-encoding';

export interface ModelParameter {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly shape: readonly number[];
  /** Does it belong to a motion module? */
  readonly motion: boolean;
}

type Leaf = readonly [path: string, kind: ParameterKind, ...shape: number[]];

const vector = (path: string, n: number): Leaf => [path, 'vector', n];
const norm = (path: string, n: number) => [vector(`${path}.weight`, n), vector(`${path}.bias`, n)];
const linear = (path: string, out: number, into: number, bias = true): Leaf[] => [
  [`${path}.weight`, 'linear', out, into],
  ...(bias ? [vector(`${path}.bias`, out)] : []),
];
const conv = (path: string, out: number, into: number, kernel: 1 | 3): Leaf[] => [
  [`${path}.weight`, 'conv', out, into, kernel, kernel],
  vector(`${path}.bias`, out),
];

const attention = (path: string, channels: number, context: number, qkvBias = false) => [
  ...linear(`${path}.to_q`, channels, channels, qkvBias),
  ...linear(`${path}.to_k`, channels, context, qkvBias),
  ...linear(`${path}.to_v`, channels, context, qkvBias),
  ...linear(`${path}.to_out.0`, channels, channels),
];

/** Self attention, second attention over `context`, GEGLU feed-forward, a LayerNorm before each. */
const transformerBlock = (path: string, channels: number, context: number) => [
  ...norm(`${path}.norm1`, channels),
  ...attention(`${path}.attn1`, channels, channels),
  ...norm(`${path}.norm2`, channels),
  ...attention(`${path}.attn2`, channels, context),
  ...norm(`${path}.norm3`, channels),
  ...linear(`${path}.ff.net.0.proj`, channels * 8, channels),
  ...linear(`${path}.ff.net.2`, channels, channels * 4),
];

const resnet = (path: string, into: number, out: number, temb: number | undefined) => [
  ...norm(`${path}.norm1`, into),
  ...conv(`${path}.conv1`, out, into, 3),
  ...(temb === undefined ? [] : linear(`${path}.time_emb_proj`, out, temb)),
  ...norm(`${path}.norm2`, out),
  ...conv(`${path}.conv2`, out, out, 3),
  ...(into === out ? [] : conv(`${path}.conv_shortcut`, out, into, 1)),
];

/** Every parameter of UNetMotionModel, in the order in which the weight file holds them. `positions` is the length of the positional encoding. */
export function unetParameters(structure: UNetStructure, positions: number): ModelParameter[] {
  const { config, time_embed_dim: temb } = structure;
  const projection = (path: string, c: number) =>
    config.use_linear_projection ? linear(path, c, c) : conv(path, c, c, 1);
  const spatial = (path: string, c: number) => [
    ...norm(`${path}.norm`, c),
    ...projection(`${path}.proj_in`, c),
    ...transformerBlock(`${path}.transformer_blocks.0`, c, config.cross_attention_dim),
    ...projection(`${path}.proj_out`, c),
  ];
  const block = (
    path: string,
    { resnets, channels, attention: cross, motion, resample }: UNetBlock,
    sampler: string,
  ) => {
    const layers = path === 'mid_block' ? 1 : resnets.length;
    const each = (count: number, wanted: boolean, leaves: (i: number) => Leaf[]) =>
      wanted ? Array.from({ length: count }, (_, i) => leaves(i)).flat() : [];
    return [
      ...resnets.flatMap((shape, i) => resnet(`${path}.resnets.${i}`, shape.in, shape.out, temb)),
      ...each(layers, cross, (i) => spatial(`${path}.attentions.${i}`, channels)),
      ...each(layers, motion, (i) => motionModule(`${path}.motion_modules.${i}`, channels, positions)),
      ...(resample ? conv(`${path}.${sampler}.0.conv`, channels, channels, 3) : []),
    ];
  };
  const first = config.block_out_channels[0] as number;
  return named([
    ...conv('conv_in', first, config.in_channels, 3),
    ...linear('time_embedding.linear_1', temb, first),
    ...linear('time_embedding.linear_2', temb, temb),
    ...structure.down.flatMap((b, i) => block(`down_blocks.${i}`, b, 'downsamplers')),
    ...block('mid_block', structure.mid, ''),
    ...structure.up.flatMap((b, i) => block(`up_blocks.${i}`, b, 'upsamplers')),
    ...norm('conv_norm_out', first),
    ...conv('conv_out', config.out_channels, first, 3),
  ]);
}

function motionModule(path: string, channels: number, positions: number): Leaf[] {
  const inner = `${path}.transformer_blocks.0`;
  return [
    ...norm(`${path}.norm`, channels),
    ...linear(`${path}.proj_in`, channels, channels),
    [`${inner}.pos_embed.pe`, 'positional-encoding', 1, positions, channels],
    ...transformerBlock(inner, channels, channels),
    ...linear(`${path}.proj_out`, channels, channels),
  ];
}

/** Every parameter of CLIPTextModel that its last hidden state depends on. */
export function clipTextParameters(config: ClipTextConfig): ModelParameter[] {
  const width = config.hidden_size;
  const layer = (path: string) => [
    ...norm(`${path}.layer_norm1`, width),
    ...['q_proj', 'k_proj', 'v_proj', 'out_proj'].flatMap((p) => linear(`${path}.self_attn.${p}`, width, width)),
    ...norm(`${path}.layer_norm2`, width),
    ...linear(`${path}.mlp.fc1`, config.intermediate_size, width),
    ...linear(`${path}.mlp.fc2`, width, config.intermediate_size),
  ];
  return named([
    ['text_model.embeddings.token_embedding.weight', 'embedding', config.vocab_size, width],
    ['text_model.embeddings.position_embedding.weight', 'embedding', config.max_position_embeddings, width],
    ...Array.from({ length: config.num_hidden_layers }, (_, i) => layer(`text_model.encoder.layers.${i}`)).flat(),
    ...norm('text_model.final_layer_norm', width),
  ]);
}

/** Every parameter of AutoencoderKL's decoder. */
export function vaeDecoderParameters(config: VaeConfig): ModelParameter[] {
  const widths = config.block_out_channels.toReversed();
  const top = widths[0] as number;
  const up = widths.flatMap((width, i) => [
    ...Array.from({ length: config.layers_per_block + 1 }, (_, j) =>
      resnet(
        `decoder.up_blocks.${i}.resnets.${j}`,
        j === 0 ? (widths[Math.max(i - 1, 0)] as number) : width,
        width,
        undefined,
      ),
    ).flat(),
    ...(i < widths.length - 1 ? conv(`decoder.up_blocks.${i}.upsamplers.0.conv`, width, width, 3) : []),
  ]);
  return named([
    ...(config.use_post_quant_conv ? conv('post_quant_conv', config.latent_channels, config.latent_channels, 1) : []),
    ...conv('decoder.conv_in', top, config.latent_channels, 3),
    ...vaeMidBlock('decoder.mid_block', top, config),
    ...up,
    ...norm('decoder.conv_norm_out', widths.at(-1) as number),
    ...conv('decoder.conv_out', config.out_channels, widths.at(-1) as number, 3),
  ]);
}

/** Every parameter of AutoencoderKL's encoder, which makes mean and log-variance of each latent. */
export function vaeEncoderParameters(config: VaeConfig): ModelParameter[] {
  const widths = config.block_out_channels;
  const [first, top] = [widths[0] as number, widths.at(-1) as number];
  const moments = 2 * config.latent_channels;
  const down = widths.flatMap((width, i) => [
    ...Array.from({ length: config.layers_per_block }, (_, j) =>
      resnet(
        `encoder.down_blocks.${i}.resnets.${j}`,
        j === 0 ? (widths[Math.max(i - 1, 0)] as number) : width,
        width,
        undefined,
      ),
    ).flat(),
    ...(i < widths.length - 1 ? conv(`encoder.down_blocks.${i}.downsamplers.0.conv`, width, width, 3) : []),
  ]);
  return named([
    ...conv('encoder.conv_in', first, config.in_channels, 3),
    ...down,
    ...vaeMidBlock('encoder.mid_block', top, config),
    ...norm('encoder.conv_norm_out', top),
    ...conv('encoder.conv_out', moments, top, 3),
    ...(config.use_quant_conv ? conv('quant_conv', moments, moments, 1) : []),
  ]);
}

function vaeMidBlock(path: string, channels: number, config: VaeConfig): Leaf[] {
  return [
    ...resnet(`${path}.resnets.0`, channels, channels, undefined),
    ...(config.mid_block_add_attention
      ? [
          ...norm(`${path}.attentions.0.group_norm`, channels),
          ...attention(`${path}.attentions.0`, channels, channels, true),
        ]
      : []),
    ...resnet(`${path}.resnets.1`, channels, channels, undefined),
  ];
}

function named(leaves: readonly Leaf[]): ModelParameter[] {
  return leaves.map(([name, kind, ...shape]) => ({ name, kind, shape, motion: name.includes('.motion_modules.') }));
}

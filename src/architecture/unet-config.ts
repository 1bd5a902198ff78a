/**
 * The part of a diffusers UNet2DConditionModel config.json that decides the graph, checked: what SD1.5's structure allows
 * (any widths, heads, groups, layers per block) is accepted, everything else is refused by name.
 * Source: diffusers models/unets/unet_2d_condition.py and unet_motion_model.py.
 */
import { z } from 'zod';
import { layerCount, positive, readConfig } from './config-file.ts';

export interface UNetConfig {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly cross_attention_dim: number;
  /** Number of heads in each block (SD1.5 calls it attention_head_dim). */
  readonly num_attention_heads: readonly number[];
  readonly norm_num_groups: number;
  readonly norm_eps: number;
  readonly flip_sin_to_cos: boolean;
  readonly freq_shift: number;
  readonly use_linear_projection: boolean;
  /** For each down block: does it have cross attention? Up blocks mirror it. */
  readonly cross_attention: readonly boolean[];
  readonly sample_size: number;
}

const perBlock = z.union([positive, z.array(positive)]);

/** Fields that must have SD1.5's value; a config that says otherwise is another architecture. */
const FIXED: Readonly<Record<string, readonly unknown[]>> = {
  act_fn: ['silu', 'swish'],
  downsample_padding: [1],
  mid_block_scale_factor: [1],
  dual_cross_attention: [false, null],
  only_cross_attention: [false, null],
  mid_block_only_cross_attention: [false, null],
  cross_attention_norm: [null],
  attention_type: ['default'],
  class_embed_type: [null],
  addition_embed_type: [null],
  time_embedding_type: ['positional'],
  time_embedding_dim: [null],
  time_embedding_act_fn: [null],
  timestep_post_act: [null],
  resnet_time_scale_shift: ['default'],
  resnet_skip_time_act: [false, null],
  resnet_out_scale_factor: [1],
  encoder_hid_dim_type: [null],
  time_cond_proj_dim: [null],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  center_input_sample: [false, null],
  mid_block_type: ['UNetMidBlock2DCrossAttn'],
  transformer_layers_per_block: [1],
  num_class_embeds: [null],
};

/** Fields by which the config of a well-known other model gives itself away, best looked at before the rest. */
const OTHERS: readonly (readonly [field: string, is: (value: unknown) => boolean, what: string])[] = [
  ['addition_embed_type', (value) => value === 'text_time', 'this is an SDXL UNet'],
  ['cross_attention_dim', (value) => value === 1024, 'this is an SD2 UNet, which reads another text encoder'],
  ['time_cond_proj_dim', (value) => typeof value === 'number', 'this is a full LCM; take its base and an LCM LoRA'],
  ['in_channels', (value) => value === 9, 'this is an inpainting model, whose UNet takes a mask as well'],
  ['in_channels', (value) => value === 8, 'this is an InstructPix2Pix model, whose UNet takes an image as well'],
];

const schema = z.looseObject({
  in_channels: positive.default(4),
  out_channels: positive.default(4),
  block_out_channels: z.array(positive).min(2).max(8),
  layers_per_block: layerCount.default(2),
  cross_attention_dim: positive.default(768),
  attention_head_dim: perBlock.nullish(),
  num_attention_heads: perBlock.nullish(),
  norm_num_groups: positive.default(32),
  norm_eps: z.number().positive().default(1e-5),
  flip_sin_to_cos: z.boolean().default(true),
  freq_shift: z.number().default(0),
  use_linear_projection: z.boolean().default(false),
  down_block_types: z.array(z.string()),
  up_block_types: z.array(z.string()),
  sample_size: positive.nullish(),
});

/** A base is the first; what a package holds, base and motion module in one, the second. */
type UNetClass = 'UNet2DConditionModel' | 'UNetMotionModel';

/** How a class ends the names of its blocks. */
const BLOCK_ENDINGS: Readonly<Record<UNetClass, string>> = { UNet2DConditionModel: '2D', UNetMotionModel: 'Motion' };

/**
 * Reads `unet/config.json`.
 * @throws FormatError naming file and field when the structure is not SD1.5's.
 */
export async function readUNetConfig(file: string, kind: UNetClass = 'UNet2DConditionModel'): Promise<UNetConfig> {
  const crossAttention = (way: 'Down' | 'Up') =>
    new Map([
      [`CrossAttn${way}Block${BLOCK_ENDINGS[kind]}`, true],
      [`${way}Block${BLOCK_ENDINGS[kind]}`, false],
    ]);
  const [downTypes, upTypes] = [crossAttention('Down'), crossAttention('Up')];
  return readConfig(file, schema.extend({ _class_name: z.literal(kind).optional() }), (raw, refuse) => {
    for (const [field, is, what] of OTHERS)
      if (is(raw[field])) refuse(`${field} is ${JSON.stringify(raw[field])}: ${what}`);
    for (const [field, allowed] of Object.entries(FIXED)) {
      const value = raw[field];
      if (value === undefined || allowed.some((a) => a === value)) continue;
      refuse(
        `${field} is ${JSON.stringify(value)}; SD1.5's structure has ${allowed.map((a) => JSON.stringify(a)).join(' or ')}`,
      );
    }
    const widths = raw.block_out_channels;
    const cross = raw.down_block_types.map(
      (type) => downTypes.get(type) ?? refuse(`down block type ${type} is not supported`),
    );
    const up = raw.up_block_types.map((type) => upTypes.get(type) ?? refuse(`up block type ${type} is not supported`));
    if (cross.length !== widths.length || up.length !== widths.length) {
      refuse(
        `block_out_channels has ${widths.length} entries, down_block_types ${cross.length}, up_block_types ${up.length}`,
      );
    }
    if (up.toReversed().some((value, i) => value !== cross[i])) refuse('up_block_types do not mirror down_block_types');
    const given = raw.num_attention_heads ?? raw.attention_head_dim ?? 8;
    const heads = typeof given === 'number' ? widths.map(() => given) : given;
    if (heads.length !== widths.length) refuse(`${heads.length} head counts are given for ${widths.length} blocks`);
    for (const [i, width] of widths.entries()) {
      if (width % raw.norm_num_groups !== 0)
        refuse(`width ${width} is not a multiple of norm_num_groups ${raw.norm_num_groups}`);
      if (width % (heads[i] as number) !== 0)
        refuse(`width ${width} is not a multiple of its ${heads[i]} attention heads`);
    }
    if (raw.in_channels !== 4 || raw.out_channels !== 4)
      refuse(`in_channels ${raw.in_channels} and out_channels ${raw.out_channels} should be 4`);
    return {
      in_channels: raw.in_channels,
      out_channels: raw.out_channels,
      block_out_channels: widths,
      layers_per_block: raw.layers_per_block,
      cross_attention_dim: raw.cross_attention_dim,
      num_attention_heads: heads,
      norm_num_groups: raw.norm_num_groups,
      norm_eps: raw.norm_eps,
      flip_sin_to_cos: raw.flip_sin_to_cos,
      freq_shift: raw.freq_shift,
      use_linear_projection: raw.use_linear_projection,
      cross_attention: cross,
      sample_size: raw.sample_size ?? 64,
    };
  });
}

/**
 * config.json of a diffusers MotionAdapter folder: what its motion modules were made for.
 * Source: diffusers models/unets/unet_motion_model.py, MotionAdapter.__init__; reference: formats.md §1b.
 */
import { z } from 'zod';
import { layerCount, positive, readConfig } from './config-file.ts';
import type { UNetConfig } from './unet-config.ts';

export interface MotionConfig {
  readonly block_out_channels: readonly number[];
  /** Motion modules of a down block, for each block. */
  readonly motion_layers_per_block: readonly number[];
  readonly motion_num_attention_heads: readonly number[];
  readonly motion_norm_num_groups: number;
  /** Rows of the positional encoding. */
  readonly motion_max_seq_length: number;
  readonly use_motion_mid_block: boolean;
}

const each = <Item extends z.ZodType>(item: Item) => z.union([item, z.array(item)]);
const one = z.literal(1).default(1);

const schema = z.looseObject({
  _class_name: z.literal('MotionAdapter').optional(),
  block_out_channels: z.array(positive).min(2).max(8).default([320, 640, 1280, 1280]),
  motion_layers_per_block: each(layerCount).default(2),
  motion_transformer_layers_per_block: z.unknown().optional(),
  motion_mid_block_layers_per_block: one,
  motion_transformer_layers_per_mid_block: each(z.literal(1)).default(1),
  motion_num_attention_heads: each(positive).default(8),
  motion_norm_num_groups: positive.default(32),
  motion_max_seq_length: positive.default(32),
  use_motion_mid_block: z.boolean().default(true),
  conv_in_channels: positive.nullish(),
});

/** @throws InputMissingError, FormatError naming file and field, also for PIA's adapters. */
export async function readMotionConfig(file: string): Promise<MotionConfig> {
  return readConfig(file, schema, (raw, refuse) => {
    if (typeof raw.conv_in_channels === 'number') {
      refuse(
        `conv_in_channels is ${raw.conv_in_channels}: this is PIA, whose UNet takes a first frame beside the noise, ` +
          'and the graph has no input for one',
      );
    }
    const transformers = [raw.motion_transformer_layers_per_block ?? 1].flat(2);
    if (transformers.some((layers) => layers !== 1))
      refuse(
        'motion_transformer_layers_per_block should be 1: motion modules of SD1.5 have one transformer block each',
      );
    const perBlock = (value: number | readonly number[]) =>
      typeof value === 'number' ? raw.block_out_channels.map(() => value) : value;
    return {
      block_out_channels: raw.block_out_channels,
      motion_layers_per_block: perBlock(raw.motion_layers_per_block),
      motion_num_attention_heads: perBlock(raw.motion_num_attention_heads),
      motion_norm_num_groups: raw.motion_norm_num_groups,
      motion_max_seq_length: raw.motion_max_seq_length,
      use_motion_mid_block: raw.use_motion_mid_block,
    };
  });
}

/** What the base's UNet has otherwise than the config says, as a sentence's beginning; undefined where they agree. */
export function motionMismatch(motion: MotionConfig, unet: UNetConfig): string | undefined {
  const pairs: readonly (readonly [keyof MotionConfig, unknown, unknown])[] = [
    ['block_out_channels', motion.block_out_channels, unet.block_out_channels],
    [
      'motion_layers_per_block',
      motion.motion_layers_per_block,
      unet.block_out_channels.map(() => unet.layers_per_block),
    ],
    ['motion_num_attention_heads', motion.motion_num_attention_heads, unet.num_attention_heads],
    ['motion_norm_num_groups', motion.motion_norm_num_groups, unet.norm_num_groups],
  ];
  const differing = pairs.find(([, ours, theirs]) => String(ours) !== String(theirs));
  return differing && `${differing[0]} is ${differing[1]}, but the base's UNet calls for ${differing[2]}`;
}

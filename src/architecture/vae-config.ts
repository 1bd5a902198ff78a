/** The part of a diffusers AutoencoderKL config.json that decides the graphs of its decoder and encoder. */
import { z } from 'zod';
import { layerCount, positive, readConfig } from './config-file.ts';

export interface VaeConfig {
  readonly in_channels: number;
  readonly latent_channels: number;
  readonly out_channels: number;
  readonly block_out_channels: readonly number[];
  readonly layers_per_block: number;
  readonly norm_num_groups: number;
  readonly scaling_factor: number;
  readonly use_quant_conv: boolean;
  readonly use_post_quant_conv: boolean;
  readonly mid_block_add_attention: boolean;
}

const schema = z.looseObject({
  in_channels: positive.default(3),
  latent_channels: positive.default(4),
  out_channels: positive.default(3),
  block_out_channels: z.array(positive).min(1).max(8),
  layers_per_block: layerCount.default(1),
  norm_num_groups: positive.default(32),
  scaling_factor: z.number().positive().default(0.18215),
  shift_factor: z.number().nullish(),
  latents_mean: z.unknown().optional(),
  act_fn: z.enum(['silu', 'swish']).default('silu'),
  down_block_types: z.array(z.string()).optional(),
  up_block_types: z.array(z.string()).optional(),
  use_quant_conv: z.boolean().default(true),
  use_post_quant_conv: z.boolean().default(true),
  mid_block_add_attention: z.boolean().default(true),
});

/**
 * Holds the decoder to what is supported, and the encoder where it is wanted.
 * @throws FormatError naming file and field.
 */
export async function readVaeConfig(file: string, { encoder = false } = {}): Promise<VaeConfig> {
  return readConfig(file, schema, (raw, refuse) => {
    if (raw.shift_factor) refuse(`shift_factor is ${raw.shift_factor}; SD1.5's VAE has none`);
    if (raw.latents_mean != null) refuse('latents_mean is set; SD1.5 latents are only scaled');
    if (raw.latent_channels !== 4 || raw.out_channels !== 3) {
      refuse(`latent_channels ${raw.latent_channels} and out_channels ${raw.out_channels} should be 4 and 3`);
    }
    const blocks = raw.block_out_channels.length;
    if (blocks !== 4)
      refuse(`block_out_channels has ${blocks} entries; SD1.5's VAE has 4, which makes 8 pixels of a latent`);
    const strange = raw.up_block_types?.find((type) => type !== 'UpDecoderBlock2D');
    if (strange) refuse(`up block type ${strange} is not supported`);
    const unknown = encoder && raw.down_block_types?.find((type) => type !== 'DownEncoderBlock2D');
    if (unknown) refuse(`down block type ${unknown} is not supported in an encoder`);
    if (encoder && raw.in_channels !== 3)
      refuse(`in_channels ${raw.in_channels} should be 3, the colours of a picture`);
    for (const width of raw.block_out_channels) {
      if (width % raw.norm_num_groups !== 0)
        refuse(`width ${width} is not a multiple of norm_num_groups ${raw.norm_num_groups}`);
    }
    return raw;
  });
}

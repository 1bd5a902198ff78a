/**
 * What UNetMotionModel consists of, as data: which modules each block has and how many channels go in and out.
 * Parameter tables (parameters.ts), name maps and the exported graph are all read off this one description.
 * Source: diffusers models/unets/unet_motion_model.py; reference: formats.md §2.
 */
import type { UNetConfig } from './unet-config.ts';

export interface ResnetShape {
  readonly in: number;
  readonly out: number;
}

export interface UNetBlock {
  readonly resnets: readonly ResnetShape[];
  /** Channels of its transformers and motion modules. */
  readonly channels: number;
  readonly heads: number;
  readonly attention: boolean;
  readonly motion: boolean;
  /** A 3×3 convolution at the end that halves (down) or doubles (up) height and width. */
  readonly resample: boolean;
}

export interface UNetStructure {
  readonly config: UNetConfig;
  readonly time_embed_dim: number;
  readonly down: readonly UNetBlock[];
  readonly mid: UNetBlock;
  readonly up: readonly UNetBlock[];
}

/** `motion.mid` says whether the motion module has a part in the middle block (AnimateDiff v2, AnimateLCM: yes; v1, v3: no). */
export function unetStructure(config: UNetConfig, motion: { readonly mid: boolean }): UNetStructure {
  const widths = config.block_out_channels;
  const last = widths.length - 1;
  const layers = config.layers_per_block;
  const width = (i: number) => widths[Math.max(i, 0)] as number;
  const heads = (i: number) => config.num_attention_heads[i] as number;
  const down = widths.map((channels, i) => ({
    resnets: Array.from({ length: layers }, (_, j) => ({ in: j === 0 ? width(i - 1) : channels, out: channels })),
    channels,
    heads: heads(i),
    attention: config.cross_attention[i] as boolean,
    motion: true,
    resample: i < last,
  }));
  const skips = [
    width(0),
    ...down.flatMap((block) => [...block.resnets.map((r) => r.out), ...(block.resample ? [block.channels] : [])]),
  ];
  let current = width(last);
  const up = widths.map((_, i) => {
    const level = last - i;
    const channels = width(level);
    const resnets = Array.from({ length: layers + 1 }, () => {
      const shape = { in: current + (skips.pop() as number), out: channels };
      current = channels;
      return shape;
    });
    return {
      resnets,
      channels,
      heads: heads(level),
      attention: config.cross_attention[level] as boolean,
      motion: true,
      resample: i < last,
    };
  });
  const mid = {
    resnets: Array.from({ length: 2 }, () => ({ in: width(last), out: width(last) })),
    channels: width(last),
    heads: heads(last),
    attention: true,
    motion: motion.mid,
    resample: false,
  };
  return { config, time_embed_dim: width(0) * 4, down, mid, up };
}

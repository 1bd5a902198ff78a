/** AutoencoderKL's decoder and encoder as ONNX graphs. Source: diffusers models/autoencoders/vae.py (Decoder, Encoder). */
import type { VaeConfig } from '../architecture/vae-config.ts';
import { addInput, addOutput, createGraph, type Dim, type Graph, times } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import {
  attention,
  branchToImage,
  conv2d,
  fromChannelsFirst,
  groupNorm,
  residual,
  resnet,
  sizeOf,
  toChannelsFirst,
  toImage,
  toTokens,
  upsample,
} from './layers.ts';
import { type FloatType, type LayerScope, layerScope, type Stream, settle, type Target } from './targets/target.ts';

/** All of the VAE's GroupNorms. */
const EPSILON = 1e-6;

interface VaeOptions {
  readonly target: Target;
  readonly type: FloatType;
  readonly images: Dim;
  /** Of the input. */
  readonly height: Dim;
  readonly width: Dim;
}

/**
 * Input `latent_sample` float32 [N, 4, h, w], already divided by the scaling factor; output `sample` float32 [N, 3, 8h, 8w].
 * `images` is left symbolic so that frames can be decoded in as many or few at a time as memory allows.
 */
export function vaeDecoderGraph(config: VaeConfig, options: VaeOptions): Graph {
  const { target, type, images, height, width } = options;
  const graph = createGraph('AutoencoderKLDecoder');
  const root = layerScope(graph, target, type);
  const s = root.in('decoder');
  const norm = { groups: config.norm_num_groups, epsilon: EPSILON };
  const widths = config.block_out_channels.toReversed();
  const top = widths[0] as number;

  const latents = addInput(graph, 'latent_sample', 'float32', [images, config.latent_channels, height, width]);
  let image = fromChannelsFirst(root, op.Cast(root, latents, { to: root.type }));
  if (config.use_post_quant_conv) image = conv2d(root.in('post_quant_conv'), image, config.latent_channels, 1);
  let x = midBlock(s.in('mid_block'), conv2d(s.in('conv_in'), image, top, 3), config);
  for (const [i, channels] of widths.entries()) {
    const block = s.in('up_blocks', i);
    for (let j = 0; j <= config.layers_per_block; j += 1) x = resnet(block.in('resnets', j), x, channels, norm);
    if (i < widths.length - 1) {
      const { h, w } = sizeOf(s, x);
      x = upsample(block, settle(block, x), { height: times(h, 2), width: times(w, 2) });
    }
  }
  const normed = groupNorm(s.in('conv_norm_out'), x, { ...norm, silu: true });
  const pixels = toChannelsFirst(s, conv2d(s.in('conv_out'), normed, config.out_channels, 3));
  addOutput(s, op.Cast(s, pixels, { to: 'float32' }), 'sample');
  return graph;
}

/**
 * Input `sample` float32 [N, 3, 8h, 8w] in −1 … 1; output `latent_parameters` float32 [N, 8, h, w], the name that optimum's
 * runtimes look for: the mean of each latent, then its log-variance, neither clamped nor multiplied by the scaling factor.
 */
export function vaeEncoderGraph(config: VaeConfig, options: VaeOptions): Graph {
  const { target, type, images, height, width } = options;
  const graph = createGraph('AutoencoderKLEncoder');
  const root = layerScope(graph, target, type);
  const s = root.in('encoder');
  const norm = { groups: config.norm_num_groups, epsilon: EPSILON };
  const widths = config.block_out_channels;
  const moments = 2 * config.latent_channels;

  const pixels = addInput(graph, 'sample', 'float32', [images, config.in_channels, height, width]);
  const image = fromChannelsFirst(root, op.Cast(root, pixels, { to: root.type }));
  let x: Stream = conv2d(s.in('conv_in'), image, widths[0] as number, 3);
  for (const [i, channels] of widths.entries()) {
    const block = s.in('down_blocks', i);
    for (let j = 0; j < config.layers_per_block; j += 1) x = resnet(block.in('resnets', j), x, channels, norm);
    if (i < widths.length - 1)
      x = conv2d(block.in('downsamplers', 0, 'conv'), settle(block, x), channels, 3, { stride: 2, pad: [0, 1] });
  }
  x = midBlock(s.in('mid_block'), x, config);
  const normed = groupNorm(s.in('conv_norm_out'), x, { ...norm, silu: true });
  let latents = conv2d(s.in('conv_out'), normed, moments, 3);
  if (config.use_quant_conv) latents = conv2d(root.in('quant_conv'), latents, moments, 1);
  addOutput(s, op.Cast(s, toChannelsFirst(s, latents), { to: 'float32' }), 'latent_parameters');
  return graph;
}

/** The innermost block of both halves. */
function midBlock(s: LayerScope, x: Stream, config: VaeConfig): Stream {
  const channels = sizeOf(s, x).c;
  const norm = { groups: config.norm_num_groups, epsilon: EPSILON };
  let mixed: Stream = resnet(s.in('resnets', 0), x, channels, norm);
  if (config.mid_block_add_attention) mixed = imageAttention(s.in('attentions', 0), mixed, norm);
  return resnet(s.in('resnets', 1), mixed, channels, norm);
}

/** Self-attention of all pixels with one head, a residual around it. */
function imageAttention(s: LayerScope, x: Stream, norm: { groups: number; epsilon: number }): Stream {
  const size = sizeOf(s, x);
  const tokens = toTokens(s, groupNorm(s.in('group_norm'), x, norm));
  const mixed = attention(s, tokens, tokens, { heads: 1, bias: true, pixels: true });
  return residual(
    branchToImage(s, mixed, (product) => toImage(s, product, size)),
    settle(s, x),
  );
}

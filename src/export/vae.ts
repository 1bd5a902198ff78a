/** AutoencoderKL's decoder as an ONNX graph. Source: diffusers models/autoencoders/vae.py (Decoder). */
import type { VaeConfig } from '../architecture/vae-config.ts';
import {
  addInput,
  addOutput,
  createGraph,
  type Dim,
  type Graph,
  rootScope,
  type Scope,
  times,
  type Value,
} from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { attention, conv2d, groupNorm, resnet, silu, toImage, toTokens, upsample } from './layers.ts';

/** All of the VAE's GroupNorms. */
const EPSILON = 1e-6;

/**
 * Input `latent_sample` float32 [N, 4, h, w], already divided by the scaling factor; output `sample` float32 [N, 3, 8h, 8w].
 * `images` is left symbolic so that frames can be decoded in as many or few at a time as memory allows.
 */
export function vaeDecoderGraph(
  config: VaeConfig,
  { type, images, height, width }: { type: 'float16' | 'float32'; images: Dim; height: Dim; width: Dim },
): Graph {
  const graph = createGraph('AutoencoderKLDecoder');
  const root = rootScope(graph, type);
  const s = root.in('decoder');
  const norm = { groups: config.norm_num_groups, epsilon: EPSILON };
  const widths = config.block_out_channels.toReversed();
  const top = widths[0] as number;

  let x = op.Cast(root, addInput(graph, 'latent_sample', 'float32', [images, config.latent_channels, height, width]), {
    to: type,
  });
  if (config.use_post_quant_conv) x = conv2d(root.in('post_quant_conv'), x, config.latent_channels, 1);
  x = conv2d(s.in('conv_in'), x, top, 3);
  const mid = s.in('mid_block');
  x = resnet(mid.in('resnets', 0), x, top, norm);
  if (config.mid_block_add_attention) x = imageAttention(mid.in('attentions', 0), x, config.norm_num_groups);
  x = resnet(mid.in('resnets', 1), x, top, norm);
  for (const [i, channels] of widths.entries()) {
    const block = s.in('up_blocks', i);
    for (let j = 0; j <= config.layers_per_block; j += 1) x = resnet(block.in('resnets', j), x, channels, norm);
    if (i < widths.length - 1) {
      const [, , h, w] = x.shape as [Dim, Dim, Dim, Dim];
      x = upsample(block, x, { height: times(h, 2), width: times(w, 2) });
    }
  }
  x = groupNorm(s.in('conv_norm_out'), x, config.norm_num_groups, EPSILON, silu);
  x = conv2d(s.in('conv_out'), x, config.out_channels, 3);
  addOutput(s, op.Cast(s, x, { to: 'float32' }), 'sample');
  return graph;
}

/** Self-attention of all pixels with one head, a residual around it. */
function imageAttention(s: Scope, x: Value, groups: number): Value {
  const tokens = toTokens(s, groupNorm(s.in('group_norm'), x, groups, EPSILON));
  return op.Add(s, toImage(s, attention(s, tokens, tokens, 1, { bias: true }), x.shape), x);
}

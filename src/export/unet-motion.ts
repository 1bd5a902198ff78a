/**
 * UNetMotionModel as an ONNX graph: SD1.5's UNet with a temporal transformer after every spatial one.
 * Sources: diffusers models/unets/unet_motion_model.py (structure), AnimateDiff motion_module.py (GroupNorm per frame);
 * reference: formats.md §2. Shapes in comments: B batch, F frames, N = B·F, C channels, D width of the text states.
 */
import type { UNetBlock, UNetStructure } from '../architecture/unet-structure.ts';
import {
  addInput,
  addOutput,
  createGraph,
  type Dim,
  floatConstant,
  type Graph,
  rootScope,
  times,
  type Value,
} from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import {
  attention,
  type Branch,
  beforeNorm,
  branchToImage,
  branchToTokens,
  channelAxis,
  conv2d,
  conv2dBranch,
  feedForward,
  groupNorm,
  type ImageSize,
  imageShape,
  layerNorm,
  linear,
  linearBranch,
  perImage,
  residual,
  resnet,
  silu,
  sizeOf,
  toImage,
  toTokens,
  upsample,
} from './layers.ts';
import {
  type FloatType,
  type LayerScope,
  layerScope,
  type Stream,
  settle,
  type Target,
  weight,
} from './targets/target.ts';

export interface UNetGraphOptions {
  readonly target: Target;
  /** Of the weights. */
  readonly type: FloatType;
  readonly batch: Dim;
  readonly frames: Dim;
  /** Of the latents: pixels / 8. */
  readonly height: Dim;
  readonly width: Dim;
  /** Length of the text states: a multiple of the text encoder's 77. */
  readonly tokens: Dim;
  /** Are there text states for every frame, so that the prompt may change on the way, or once for all frames? */
  readonly promptPerFrame?: boolean;
  /** Statistics of the motion modules' GroupNorm: of each frame (AnimateDiff v2, AnimateLCM) or of all frames together (diffusers). */
  readonly motionNorm: 'per-frame' | 'pooled';
  /** Length of the positional encoding; `frames` cannot be larger. */
  readonly positions: number;
}

/** The eps of Transformer2D's and AnimateDiffTransformer3D's GroupNorm, unlike the resnets' norm_eps. */
const TRANSFORMER_NORM_EPS = 1e-6;

interface Context {
  readonly structure: UNetStructure;
  readonly options: UNetGraphOptions;
  /** SiLU of the time embedding, `perImage`. */
  readonly temb: Value;
  /** `[B, tokens, D]`, or `[N, tokens, D]` where every frame has its own. */
  readonly text: Value;
}

/**
 * Inputs `sample` float32 [B,4,F,h,w], `timestep` int64 [] (float32 [] where the target has no such integers),
 * `encoder_hidden_states` float32 [B,tokens,D], or [B·F,tokens,D] (the frames of the first batch item first, as diffusers has them) with
 * `promptPerFrame`; output `out_sample` float32 [B,4,F,h,w].
 */
export function unetMotionGraph(structure: UNetStructure, options: UNetGraphOptions): Graph {
  const { config } = structure;
  const { batch, frames, height, width, tokens, promptPerFrame = false, target } = options;
  const graph = createGraph('UNetMotionModel');
  const s = layerScope(graph, target, options.type);
  const sample = addInput(graph, 'sample', 'float32', [batch, config.in_channels, frames, height, width]);
  const timestep = addInput(graph, 'timestep', target.timestep, []);
  const texts = promptPerFrame ? times(batch, frames) : batch;
  const states = addInput(graph, 'encoder_hidden_states', 'float32', [texts, tokens, config.cross_attention_dim]);

  const temb = silu(s.in('time_embedding'), timeEmbedding(s, structure, timestep));
  const text = op.Cast(s, states, { to: s.type });
  const image = { n: times(batch, frames), h: height, w: width };
  // [B, 4, F, h, w] → an image per frame
  const framesFirst = op.Transpose(s, op.Cast(s, sample, { to: s.type }), toFrames(s));
  const noisy = op.Reshape(s, framesFirst, imageShape(s, { ...image, c: config.in_channels }));
  const context: Context = { structure, options, temb: perImage(s, temb, image.n), text };

  let x: Stream = conv2d(s.in('conv_in'), noisy, config.block_out_channels[0] as number, 3);
  const skips: Stream[] = [x];
  for (const [i, block] of structure.down.entries()) {
    const b = s.in('down_blocks', i);
    for (const [j, shape] of block.resnets.entries()) {
      x = layer(b, context, block, j, timedResnet(b.in('resnets', j), context, x, shape.out));
      skips.push(x);
    }
    if (block.resample) {
      x = conv2d(b.in('downsamplers', 0, 'conv'), settle(b, x), block.channels, 3, { stride: 2 });
      skips.push(x);
    }
  }

  const mid = s.in('mid_block');
  x = timedResnet(mid.in('resnets', 0), context, x, structure.mid.channels);
  x = layer(mid, context, structure.mid, 0, x);
  x = timedResnet(mid.in('resnets', 1), context, x, structure.mid.channels);

  for (const [i, block] of structure.up.entries()) {
    const b = s.in('up_blocks', i);
    for (const [j, shape] of block.resnets.entries()) {
      const pair = [settle(b, x), settle(b, skips.pop() as Stream)];
      const joined = op.Concat(b, pair, { axis: channelAxis(s) });
      x = layer(b, context, block, j, timedResnet(b.in('resnets', j), context, joined, shape.out));
    }
    if (block.resample) {
      const { h, w } = sizeOf(s, skips.at(-1) as Stream);
      x = upsample(b, settle(b, x), { height: h, width: w });
    }
  }

  const { norm_num_groups: groups, norm_eps: epsilon } = config;
  const normed = groupNorm(s.in('conv_norm_out'), x, { groups, epsilon, silu: true });
  const noise = conv2d(s.in('conv_out'), normed, config.out_channels, 3);
  const unfolded = op.Reshape(s, noise, [batch, frames, ...imageShape(s, sizeOf(s, noise)).slice(1)]);
  addOutput(s, op.Cast(s, op.Transpose(s, unfolded, fromFrames(s)), { to: 'float32' }), 'out_sample');
  return graph;
}

/** [B, C, F, h, w] → [B, F, image]. */
function toFrames(s: LayerScope): readonly number[] {
  return s.target.images === 'NCHW' ? [0, 2, 1, 3, 4] : [0, 2, 3, 4, 1];
}

/** [B, F, image] → [B, C, F, h, w]. */
function fromFrames(s: LayerScope): readonly number[] {
  return s.target.images === 'NCHW' ? [0, 2, 1, 3, 4] : [0, 4, 1, 2, 3];
}

/** Sinusoid of the timestep, in float32 (its angles reach 999 rad), then two Linear layers. → `[1, D_time]` */
function timeEmbedding(s: LayerScope, { config, time_embed_dim }: UNetStructure, timestep: Value): Value {
  const width = config.block_out_channels[0] as number;
  const half = width / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp((-Math.log(10000) * i) / (half - config.freq_shift)),
  );
  const f32 = rootScope(s.graph, 'float32', 'time_proj');
  const table = floatConstant(s.graph, 'float32', frequencies, [1, half], 'timestep_frequencies');
  const angles = op.Mul(f32, op.Cast(f32, timestep, { to: 'float32' }), table);
  const [cos, sin] = [op.Cos(f32, angles), op.Sin(f32, angles)];
  const sinusoid = op.Concat(f32, config.flip_sin_to_cos ? [cos, sin] : [sin, cos], { axis: 1 });
  const t = s.in('time_embedding');
  const hidden = linear(t.in('linear_1'), op.Cast(t, sinusoid, { to: s.type }), time_embed_dim);
  return linear(t.in('linear_2'), silu(t, hidden), time_embed_dim);
}

function timedResnet(s: LayerScope, { structure: { config }, temb }: Context, x: Stream, out: number): Stream {
  return resnet(s, x, out, { groups: config.norm_num_groups, epsilon: config.norm_eps, temb });
}

/** The spatial and the temporal transformer that follow a resnet, where the block has them. */
function layer(s: LayerScope, context: Context, block: UNetBlock, index: number, x: Stream): Stream {
  let h = x;
  if (block.attention) h = spatialTransformer(s.in('attentions', index), context, h, block.heads);
  if (block.motion) h = motionModule(s.in('motion_modules', index), context, h, block.heads);
  return h;
}

/** diffusers' Transformer2DModel with one BasicTransformerBlock. */
function spatialTransformer(s: LayerScope, context: Context, x: Stream, heads: number): Stream {
  const { config } = context.structure;
  const size = sizeOf(s, x);
  const norm = { groups: config.norm_num_groups, epsilon: TRANSFORMER_NORM_EPS };
  const normed = groupNorm(s.in('norm'), x, norm);
  // A 1×1 convolution on the image or a Linear on its tokens: the same product, but other files.
  const projected = config.use_linear_projection
    ? linearBranch(s.in('proj_in'), toTokens(s, normed), size.c)
    : branchToTokens(s, conv2dBranch(s.in('proj_in'), normed, size.c, 1));
  let h = beforeNorm(s.in('proj_in'), projected);
  const b = s.in('transformer_blocks', 0);
  const own = layerNorm(b.in('norm1'), h);
  h = residual(attention(b.in('attn1'), own, own, { heads, pixels: true }), settle(b, h));
  const asked = layerNorm(b.in('norm2'), h);
  h = residual(crossAttention(b.in('attn2'), context, asked, heads), settle(b, h));
  const fed = layerNorm(b.in('norm3'), h);
  const tokens = settle(b, residual(feedForward(b.in('ff'), fed), settle(b, h)));
  const out = config.use_linear_projection
    ? branchToImage(s, linearBranch(s.in('proj_out'), tokens, size.c), (product) => toImage(s, product, size))
    : conv2dBranch(s.in('proj_out'), toImage(s, tokens, size), size.c, 1);
  return residual(out, settle(s, x));
}

/**
 * Where all frames of a batch item look at the same text, their tokens are one long query: `[N, S, C]` is read as
 * `[B, F·S, C]`, and keys and values are computed once per prompt instead of once per frame.
 */
function crossAttention(s: LayerScope, { text, options }: Context, x: Value, heads: number): Branch {
  if (options.promptPerFrame) return attention(s, x, text, { heads });
  const [, tokens, channels] = x.shape as [Dim, Dim, number];
  const query = op.Reshape(s, x, [options.batch, times(options.frames, tokens), channels]);
  const { product, bias } = attention(s, query, text, { heads });
  return { product: op.Reshape(s, product, x.shape), bias };
}

/**
 * AnimateDiffTransformer3D: every pixel position is a sequence of F frames. Two self-attentions see the positional
 * encoding added to their normalised input; the residual of the whole goes through proj_out, which carries γ.
 */
function motionModule(s: LayerScope, context: Context, x: Stream, heads: number): Stream {
  const { options } = context;
  const { batch, frames } = options;
  const size = sizeOf(s, x);
  const { c: channels } = size;
  const area = times(size.h, size.w);
  const inPlace = s.target.motionTokens === 'in-place';
  const normed = inPlace
    ? op.Reshape(s, normedFrames(s.in('norm'), context, x), [batch, frames, area, channels])
    : op.Reshape(s, normedPerPixel(s.in('norm'), context, x), [times(batch, area), frames, channels]);
  let h = beforeNorm(s.in('proj_in'), linearBranch(s.in('proj_in'), normed, channels));
  const b = s.in('transformer_blocks', 0);
  const table = weight(b.in('pos_embed'), 'pe', [1, options.positions, channels]);
  const used = frames === options.positions ? table : op.Slice(b, table, { axis: 1, length: frames });
  const positions = inPlace ? op.Reshape(b, used, [frames, 1, channels]) : used;
  for (const n of [1, 2]) {
    const placed = op.Add(b, layerNorm(b.in(`norm${n}`), h), positions);
    h = residual(attention(b.in(`attn${n}`), placed, placed, { heads, frames: inPlace }), settle(b, h));
  }
  const fed = layerNorm(b.in('norm3'), h);
  const tokens = settle(b, residual(feedForward(b.in('ff'), fed), settle(b, h)));
  const out = branchToImage(s, linearBranch(s.in('proj_out'), tokens, channels), (product) => {
    if (inPlace) return op.Reshape(s, product, imageShape(s, size));
    const pixels = op.Reshape(s, product, [batch, area, frames, channels]);
    const toImages = s.target.images === 'NCHW' ? [0, 2, 3, 1] : [0, 2, 1, 3];
    return op.Reshape(s, op.Transpose(s, pixels, toImages), imageShape(s, size));
  });
  return residual(out, settle(s, x));
}

/** The images normalised, channels last. */
function normedFrames(s: LayerScope, { structure, options }: Context, x: Stream): Value {
  const { batch, frames, motionNorm } = options;
  const norm = { groups: structure.config.norm_num_groups, epsilon: TRANSFORMER_NORM_EPS };
  if (motionNorm === 'per-frame') return groupNorm(s, x, norm);
  // statistics over all frames: the clip is one tall image
  const { c, h, w } = sizeOf(s, x);
  const clip: ImageSize = { n: batch, c, h: times(frames, h), w };
  return groupNorm(s, op.Reshape(s, settle(s, x), imageShape(s, clip)), norm);
}

/** The image normalised and read pixel by pixel: `[B, H·W, F, C]`. */
function normedPerPixel(s: LayerScope, context: Context, x: Stream): Value {
  const { batch, frames, motionNorm } = context.options;
  const { c, h, w } = sizeOf(s, x);
  const area = times(h, w);
  if (s.target.images === 'NHWC') {
    const video = op.Reshape(s, normedFrames(s, context, x), [batch, frames, area, c]);
    return op.Transpose(s, video, [0, 2, 1, 3]);
  }
  const norm = { groups: context.structure.config.norm_num_groups, epsilon: TRANSFORMER_NORM_EPS };
  const asVideo = (image: Value) => op.Reshape(s, image, [batch, frames, c, area]);
  if (motionNorm === 'per-frame') return op.Transpose(s, asVideo(groupNorm(s, x, norm)), [0, 3, 1, 2]);
  const channelsFirst = op.Transpose(s, asVideo(settle(s, x)), [0, 2, 1, 3]); // [B, C, F, H·W]
  return op.Transpose(s, groupNorm(s, channelsFirst, norm), [0, 3, 2, 1]);
}

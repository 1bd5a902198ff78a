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
  parameter,
  rootScope,
  type Scope,
  times,
  type Value,
} from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import {
  attention,
  conv2d,
  groupNorm,
  layerNorm,
  linear,
  resnet,
  silu,
  toImage,
  toTokens,
  upsample,
} from './layers.ts';

export interface UNetGraphOptions {
  readonly type: 'float16' | 'float32';
  readonly batch: Dim;
  readonly frames: Dim;
  /** Of the latents: pixels / 8. */
  readonly height: Dim;
  readonly width: Dim;
  /** Length of the text states: 77. */
  readonly tokens: number;
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
  /** SiLU of the time embedding, `[1, D_time]`. */
  readonly temb: Value;
  /** `[B, tokens, D]`. */
  readonly text: Value;
}

/**
 * Inputs `sample` float32 [B,4,F,h,w], `timestep` int64 [], `encoder_hidden_states` float32 [B,tokens,D];
 * output `out_sample` float32 [B,4,F,h,w].
 */
export function unetMotionGraph(structure: UNetStructure, options: UNetGraphOptions): Graph {
  const { config } = structure;
  const { batch, frames, height, width, tokens } = options;
  const graph = createGraph('UNetMotionModel');
  const s = rootScope(graph, options.type);
  const sample = addInput(graph, 'sample', 'float32', [batch, config.in_channels, frames, height, width]);
  const timestep = addInput(graph, 'timestep', 'int64', []);
  const states = addInput(graph, 'encoder_hidden_states', 'float32', [batch, tokens, config.cross_attention_dim]);

  const context: Context = {
    structure,
    options,
    temb: silu(s.in('time_embedding'), timeEmbedding(s, structure, timestep)),
    text: op.Cast(s, states, { to: s.type }),
  };
  // [B, 4, F, h, w] → [N, 4, h, w]
  const framesFirst = op.Transpose(s, op.Cast(s, sample, { to: s.type }), [0, 2, 1, 3, 4]);
  let x = op.Reshape(s, framesFirst, [times(batch, frames), config.in_channels, height, width]);

  x = conv2d(s.in('conv_in'), x, config.block_out_channels[0] as number, 3);
  const skips = [x];
  for (const [i, block] of structure.down.entries()) {
    const b = s.in('down_blocks', i);
    for (const [j, shape] of block.resnets.entries()) {
      x = layer(b, context, block, j, residual(b.in('resnets', j), context, x, shape.out));
      skips.push(x);
    }
    if (block.resample) {
      x = conv2d(b.in('downsamplers', 0, 'conv'), x, block.channels, 3, { stride: 2 });
      skips.push(x);
    }
  }

  const mid = s.in('mid_block');
  x = residual(mid.in('resnets', 0), context, x, structure.mid.channels);
  x = layer(mid, context, structure.mid, 0, x);
  x = residual(mid.in('resnets', 1), context, x, structure.mid.channels);

  for (const [i, block] of structure.up.entries()) {
    const b = s.in('up_blocks', i);
    for (const [j, shape] of block.resnets.entries()) {
      const joined = op.Concat(b, [x, skips.pop() as Value], { axis: 1 });
      x = layer(b, context, block, j, residual(b.in('resnets', j), context, joined, shape.out));
    }
    if (block.resample) {
      const [, , skipHeight, skipWidth] = (skips.at(-1) as Value).shape as [Dim, Dim, Dim, Dim];
      x = upsample(b, x, { height: skipHeight, width: skipWidth });
    }
  }

  x = groupNorm(s.in('conv_norm_out'), x, config.norm_num_groups, config.norm_eps, silu);
  x = conv2d(s.in('conv_out'), x, config.out_channels, 3);
  const unfolded = op.Reshape(s, x, [batch, frames, config.out_channels, height, width]);
  addOutput(s, op.Cast(s, op.Transpose(s, unfolded, [0, 2, 1, 3, 4]), { to: 'float32' }), 'out_sample');
  return graph;
}

/** Sinusoid of the timestep, in float32 (its angles reach 999 rad), then two Linear layers. → `[1, D_time]` */
function timeEmbedding(s: Scope, { config, time_embed_dim }: UNetStructure, timestep: Value): Value {
  const width = config.block_out_channels[0] as number;
  const half = width / 2;
  const frequencies = Float32Array.from({ length: half }, (_, i) =>
    Math.exp((-Math.log(10000) * i) / (half - config.freq_shift)),
  );
  const f32 = { ...rootScope(s.graph, 'float32', 'time_proj') };
  const table = floatConstant(s.graph, 'float32', frequencies, [1, half], 'timestep_frequencies');
  const angles = op.Mul(f32, op.Cast(f32, timestep, { to: 'float32' }), table);
  const [cos, sin] = [op.Cos(f32, angles), op.Sin(f32, angles)];
  const sinusoid = op.Concat(f32, config.flip_sin_to_cos ? [cos, sin] : [sin, cos], { axis: 1 });
  const t = s.in('time_embedding');
  const hidden = linear(t.in('linear_1'), op.Cast(t, sinusoid, { to: s.type }), time_embed_dim);
  return linear(t.in('linear_2'), silu(t, hidden), time_embed_dim);
}

function residual(s: Scope, { structure: { config }, temb }: Context, x: Value, out: number): Value {
  return resnet(s, x, out, { groups: config.norm_num_groups, epsilon: config.norm_eps, temb });
}

/** The spatial and the temporal transformer that follow a resnet, where the block has them. */
function layer(s: Scope, context: Context, block: UNetBlock, index: number, x: Value): Value {
  let h = x;
  if (block.attention) h = spatialTransformer(s.in('attentions', index), context, h, block.heads);
  if (block.motion) h = motionModule(s.in('motion_modules', index), context, h, block.heads);
  return h;
}

/** diffusers' Transformer2DModel with one BasicTransformerBlock. */
function spatialTransformer(s: Scope, context: Context, x: Value, heads: number): Value {
  const { config } = context.structure;
  const channels = x.shape[1] as number;
  const normed = groupNorm(s.in('norm'), x, config.norm_num_groups, TRANSFORMER_NORM_EPS);
  // A 1×1 convolution on the image or a Linear on its tokens: the same product, but other files.
  const tokens = config.use_linear_projection
    ? linear(s.in('proj_in'), toTokens(s, normed), channels)
    : toTokens(s, conv2d(s.in('proj_in'), normed, channels, 1));
  const b = s.in('transformer_blocks', 0);
  let h = tokens;
  const own = layerNorm(b.in('norm1'), h);
  h = op.Add(b, h, attention(b.in('attn1'), own, own, heads));
  h = op.Add(b, h, crossAttention(b.in('attn2'), context, layerNorm(b.in('norm2'), h), heads));
  h = op.Add(b, h, feedForward(b.in('ff'), layerNorm(b.in('norm3'), h)));
  const out = config.use_linear_projection
    ? toImage(s, linear(s.in('proj_out'), h, channels), x.shape)
    : conv2d(s.in('proj_out'), toImage(s, h, x.shape), channels, 1);
  return op.Add(s, out, x);
}

/**
 * All frames of a batch item look at the same text, so their tokens are one long query: `[N, S, C]` is read as
 * `[B, F·S, C]`, and keys and values are computed once per prompt instead of once per frame.
 */
function crossAttention(s: Scope, { text, options }: Context, x: Value, heads: number): Value {
  const [, tokens, channels] = x.shape as [Dim, Dim, number];
  const query = op.Reshape(s, x, [options.batch, times(options.frames, tokens), channels]);
  return op.Reshape(s, attention(s, query, text, heads), x.shape);
}

/** GEGLU: value · gelu(gate), gate being the second half of the projection. */
function feedForward(s: Scope, x: Value): Value {
  const channels = x.shape.at(-1) as number;
  const projected = linear(s.in('net', 0, 'proj'), x, channels * 8);
  const [value, gate] = op.Split(s, projected, { axis: -1, parts: 2 }) as [Value, Value];
  return linear(s.in('net', 2), op.Mul(s, value, op.Gelu(s, gate)), channels);
}

/**
 * AnimateDiffTransformer3D: every pixel position is a sequence of F frames. Two self-attentions see the positional
 * encoding added to their normalised input; the residual of the whole goes through proj_out, which carries γ.
 */
function motionModule(s: Scope, context: Context, x: Value, heads: number): Value {
  const { structure, options } = context;
  const [, channels, height, width] = x.shape as [Dim, number, Dim, Dim];
  const { batch, frames } = options;
  const area = times(height, width);
  const groups = structure.config.norm_num_groups;
  const flat = op.Reshape(s, x, [times(batch, frames), channels, area]);
  const video = [batch, frames, channels, area];
  let perPixel: Value; // [B, H·W, F, C]
  if (options.motionNorm === 'per-frame') {
    const normed = groupNorm(s.in('norm'), flat, groups, TRANSFORMER_NORM_EPS);
    perPixel = op.Transpose(s, op.Reshape(s, normed, video), [0, 3, 1, 2]);
  } else {
    const channelsFirst = op.Transpose(s, op.Reshape(s, flat, video), [0, 2, 1, 3]);
    const normed = groupNorm(s.in('norm'), channelsFirst, groups, TRANSFORMER_NORM_EPS);
    perPixel = op.Transpose(s, normed, [0, 3, 2, 1]);
  }
  let h = op.Reshape(s, perPixel, [times(batch, area), frames, channels]);
  h = linear(s.in('proj_in'), h, channels);
  const b = s.in('transformer_blocks', 0);
  const table = parameter(b.in('pos_embed'), 'pe', [1, options.positions, channels]);
  const positions = frames === options.positions ? table : op.Slice(b, table, { axis: 1, length: frames });
  for (const n of [1, 2]) {
    const placed = op.Add(b, layerNorm(b.in(`norm${n}`), h), positions);
    h = op.Add(b, h, attention(b.in(`attn${n}`), placed, placed, heads));
  }
  h = op.Add(b, h, feedForward(b.in('ff'), layerNorm(b.in('norm3'), h)));
  h = linear(s.in('proj_out'), h, channels);
  const back = op.Transpose(s, op.Reshape(s, h, [batch, area, frames, channels]), [0, 2, 3, 1]);
  return op.Add(s, op.Reshape(s, back, x.shape), x);
}

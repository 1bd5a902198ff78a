/** CLIPTextModel's transformer as an ONNX graph. Source: transformers models/clip/modeling_clip.py. */
import type { ClipTextConfig } from '../architecture/clip-config.ts';
import { addInput, addOutput, createGraph, type Dim, floatConstant, type Graph, type Value } from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { type Branch, layerNorm, linear, linearBranch, residual } from './layers.ts';
import {
  type FloatType,
  type LayerScope,
  layerScope,
  type Stream,
  settle,
  storedParameter,
  type Target,
  weight,
} from './targets/target.ts';

/** Input `input_ids` int64 [B, 77]; output `last_hidden_state` float32 [B, 77, D], after the final LayerNorm. */
export function clipTextGraph(
  config: ClipTextConfig,
  { target, type, batch }: { readonly target: Target; readonly type: FloatType; readonly batch: Dim },
): Graph {
  const { hidden_size: width, max_position_embeddings: length, layer_norm_eps: eps } = config;
  const graph = createGraph('CLIPTextModel');
  const s = layerScope(graph, target, type, 'text_model');
  const ids = addInput(graph, 'input_ids', 'int64', [batch, length]);
  const e = s.in('embeddings');
  const table = storedParameter(e, 'token_embedding.weight', [config.vocab_size, width]);
  const tokens = op.Cast(e, op.Gather(e, table, ids), { to: s.type }); // the few rows, not the whole table
  let x: Stream = op.Add(e, tokens, weight(e, 'position_embedding.weight', [length, width]));
  for (let i = 0; i < config.num_hidden_layers; i += 1) {
    const l = s.in('encoder', 'layers', i);
    const seen = layerNorm(l.in('layer_norm1'), x, eps);
    x = residual(selfAttention(l.in('self_attn'), seen, config), settle(l, x));
    const fed = layerNorm(l.in('layer_norm2'), x, eps);
    x = residual(mlp(l.in('mlp'), fed, config), settle(l, x));
  }
  const last = layerNorm(s.in('final_layer_norm'), x, eps);
  addOutput(s, op.Cast(s, last, { to: 'float32' }), 'last_hidden_state');
  return graph;
}

function selfAttention(
  s: LayerScope,
  x: Value,
  { hidden_size: width, num_attention_heads: heads }: ClipTextConfig,
): Branch {
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linear(s.in(name), x, width)) as [Value, Value, Value];
  return linearBranch(s.in('out_proj'), s.target.attention(s, q, k, v, { heads, causal: true }), width);
}

function mlp(s: LayerScope, x: Value, config: ClipTextConfig): Branch {
  const hidden = linear(s.in('fc1'), x, config.intermediate_size);
  return linearBranch(s.in('fc2'), ACTIVATIONS[config.hidden_act](s, hidden), config.hidden_size);
}

const ACTIVATIONS: Record<ClipTextConfig['hidden_act'], (s: LayerScope, x: Value) => Value> = {
  gelu: (s, x) => op.Gelu(s, x),
  quick_gelu: (s, x) => op.Mul(s, x, op.Sigmoid(s, op.Mul(s, x, floatConstant(s.graph, s.type, [1.702])))),
};

/** CLIPTextModel's transformer as an ONNX graph. Source: transformers models/clip/modeling_clip.py. */
import type { ClipTextConfig } from '../architecture/clip-config.ts';
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
  type Value,
} from '../onnx/graph.ts';
import * as op from '../onnx/ops.ts';
import { layerNorm, linear, scaledDotProduct } from './layers.ts';

/** Added to logits that the causal mask hides; the smallest float16, so that no −∞ can turn into NaN. */
const MASKED = -65504;

/** Input `input_ids` int64 [B, 77]; output `last_hidden_state` float32 [B, 77, D], after the final LayerNorm. */
export function clipTextGraph(
  config: ClipTextConfig,
  { type, batch }: { readonly type: 'float16' | 'float32'; readonly batch: Dim },
): Graph {
  const { hidden_size: width, max_position_embeddings: length, layer_norm_eps: eps } = config;
  const graph = createGraph('CLIPTextModel');
  const s = rootScope(graph, type, 'text_model');
  const ids = addInput(graph, 'input_ids', 'int64', [batch, length]);
  const e = s.in('embeddings');
  const tokens = op.Gather(e, parameter(e, 'token_embedding.weight', [config.vocab_size, width]), ids);
  let x = op.Add(e, tokens, parameter(e, 'position_embedding.weight', [length, width]));
  const mask = causalMask(s, length);
  for (let i = 0; i < config.num_hidden_layers; i += 1) {
    const l = s.in('encoder', 'layers', i);
    x = op.Add(l, x, selfAttention(l.in('self_attn'), layerNorm(l.in('layer_norm1'), x, eps), config, mask));
    x = op.Add(l, x, mlp(l.in('mlp'), layerNorm(l.in('layer_norm2'), x, eps), config));
  }
  x = layerNorm(s.in('final_layer_norm'), x, eps);
  addOutput(s, op.Cast(s, x, { to: 'float32' }), 'last_hidden_state');
  return graph;
}

function causalMask(s: Scope, length: number): Value {
  const mask = Float32Array.from({ length: length * length }, (_, i) =>
    i % length > Math.floor(i / length) ? MASKED : 0,
  );
  return floatConstant(s.graph, s.type, mask, [length, length], 'causal_mask');
}

function selfAttention(s: Scope, x: Value, config: ClipTextConfig, mask: Value): Value {
  const width = config.hidden_size;
  const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => linear(s.in(name), x, width)) as [Value, Value, Value];
  return linear(s.in('out_proj'), scaledDotProduct(s, q, k, v, config.num_attention_heads, mask), width);
}

function mlp(s: Scope, x: Value, config: ClipTextConfig): Value {
  const hidden = linear(s.in('fc1'), x, config.intermediate_size);
  return linear(s.in('fc2'), ACTIVATIONS[config.hidden_act](s, hidden), config.hidden_size);
}

const ACTIVATIONS: Record<ClipTextConfig['hidden_act'], (s: Scope, x: Value) => Value> = {
  gelu: (s, x) => op.Gelu(s, x),
  quick_gelu: (s, x) => op.Mul(s, x, op.Sigmoid(s, op.Mul(s, x, floatConstant(s.graph, s.type, [1.702])))),
};

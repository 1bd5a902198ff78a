/** The part of a transformers CLIPTextModel config.json that decides the text encoder's graph. */
import { z } from 'zod';
import { layerCount, positive, readConfig } from './config-file.ts';

export interface ClipTextConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly max_position_embeddings: number;
  readonly layer_norm_eps: number;
  readonly hidden_act: 'quick_gelu' | 'gelu';
}

const schema = z.looseObject({
  vocab_size: positive.default(49408),
  hidden_size: positive.default(512),
  intermediate_size: positive.default(2048),
  num_hidden_layers: layerCount.default(12),
  num_attention_heads: positive.default(8),
  max_position_embeddings: positive.default(77),
  layer_norm_eps: z.number().positive().default(1e-5),
  hidden_act: z.enum(['quick_gelu', 'gelu']).default('quick_gelu'),
});

/** @throws FormatError naming file and field. */
export async function readClipTextConfig(file: string): Promise<ClipTextConfig> {
  return readConfig(file, schema, (raw, refuse) => {
    if (raw.hidden_size % raw.num_attention_heads !== 0) {
      refuse(`hidden_size ${raw.hidden_size} is not a multiple of num_attention_heads ${raw.num_attention_heads}`);
    }
    return raw;
  });
}

/**
 * A recipe with every kind of source over a family as small as SD1.5's structure allows: it bakes and loads in a fifth of the time
 * that models/tiny takes. For tests of what is done with packages; its clips are noise.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { loraModule, type Tensors, writeFamily, writeTensors } from './family.ts';

export interface SmallFamily {
  readonly folder: string;
  /** Of recipe.yaml, whose paths are relative to it. */
  readonly recipe: string;
}

/** The sections of recipe.yaml, one a line. */
export const SMALL = {
  name: 'small',
  base: 'base',
  personalized: [{ lora: 'ink.safetensors', alpha: 0.8 }],
  lcm: { lora: 'lcm.safetensors', beta: 1 },
  motion: { module: 'motion.safetensors', gamma: 1 },
  sampler: { steps: 2, guidance: 1, beta_schedule: 'linear', original_steps: 50 },
  output: { frames: 2, width: 64, height: 64, dtype: 'fp16' },
  verify: { prompt: 'a red circle', seed: 0 },
};

const ATTENTION = 'lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1';
const TEXT = 'lora_te_text_model_encoder_layers_0_self_attn';

export async function writeSmall(): Promise<SmallFamily> {
  const { folder } = await writeFamily();
  const merged = (...modules: readonly Tensors[]) => new Map(modules.flatMap((module) => [...module]));
  const conv = loraModule('lora_unet_down_blocks_0_resnets_0_conv1', [8, 8, 3, 3], { alpha: 2 });
  const key = loraModule(`${ATTENTION}_to_k`, [8, 8], { alpha: 1 });
  const query = loraModule(`${ATTENTION}_to_q`, [8, 8], { alpha: 2 });
  const text = loraModule(`${TEXT}_q_proj`, [8, 8], { alpha: 2 });
  await writeTensors(join(folder, 'ink.safetensors'), merged(query, key, text));
  await writeTensors(join(folder, 'lcm.safetensors'), merged(query, conv));
  const recipe = join(folder, 'recipe.yaml');
  const lines = Object.entries(SMALL).map(([section, content]) => `${section}: ${JSON.stringify(content)}\n`);
  await writeFile(recipe, lines.join(''));
  return { folder, recipe };
}

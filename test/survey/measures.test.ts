import { describe, expect, it } from 'vitest';
import { openTensorFile, type TensorEntry } from '../../src/formats/tensor-file.ts';
import { measuresOf, misfit } from '../../src/survey/measures.ts';

function named(shapes: Readonly<Record<string, readonly number[]>>) {
  const entry = (name: string, shape: readonly number[]): TensorEntry => ({
    name,
    dtype: 'F16',
    shape,
    offset: 0,
    byteLength: 0,
  });
  return measuresOf({ tensors: new Map(Object.entries(shapes).map(([name, shape]) => [name, entry(name, shape)])) });
}

describe('measuresOf', () => {
  // models/tiny/README.md: widths 32, 64, 96, 96, cross-attention 64
  it.each([
    ['base/unet/diffusion_pytorch_model.safetensors', [64]],
    ['ink.safetensors', [64]],
    ['lcm.safetensors', [64]],
    ['animatelcm.ckpt', []],
  ])('finds the family’s widths in %s', async (name, context) => {
    await using file = await openTensorFile(`models/tiny/${name}`);
    expect(measuresOf(file)).toEqual({ widths: [32, 64, 96], context });
  });

  const BLOCK = 'down_blocks.0.attentions.0.transformer_blocks.0';
  const KOHYA = `lora_unet_${BLOCK.replaceAll('.', '_')}`;
  it.each([
    [{ [`${KOHYA}_attn1_to_q.lora_down.weight`]: [4, 320], [`${KOHYA}_attn2_to_k.lora_down.weight`]: [4, 768] }],
    [
      {
        [`unet.${BLOCK}.attn1.to_q.lora_A.weight`]: [4, 320],
        [`unet.${BLOCK}.attn2.to_k.lora_A.default.weight`]: [4, 768],
      },
    ],
    [
      {
        [`unet.${BLOCK}.attn1.processor.to_q_lora.down.weight`]: [4, 320],
        [`unet.${BLOCK}.attn2.processor.to_k_lora.down.weight`]: [4, 768],
      },
    ],
    [
      {
        [`unet.${BLOCK}.attn1.to_q.lora.down.weight`]: [4, 320],
        [`unet.${BLOCK}.attn2.to_k.lora.down.weight`]: [4, 768],
      },
    ],
    [{ [`${KOHYA}_attn1_to_q.hada_w1_b`]: [4, 320], [`${KOHYA}_attn2_to_k.hada_w1_b`]: [4, 768] }],
    [
      {
        [`${KOHYA}_attn1_to_q.diff`]: [320, 320],
        lora_te_text_model_encoder_layers_0_self_attn_q_proj: [1],
        'lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight': [4, 768],
      },
    ],
    [
      {
        'model.diffusion_model.input_blocks.1.0.in_layers.2.weight': [320, 320, 3, 3],
        'model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight': [320, 768],
      },
    ],
  ])('reads every naming (%#)', (shapes) => {
    expect(named(shapes as Readonly<Record<string, readonly number[]>>)).toEqual({ widths: [320], context: [768] });
  });
});

describe('misfit', () => {
  const base = { widths: [320, 640, 1280], context: [768] };

  it('asks a LoRA for no width that the base has not, and a motion module for all of them', () => {
    expect(misfit(base, { widths: [640], context: [] })).toBeUndefined();
    expect(misfit(base, { widths: [640], context: [] }, { whole: true })).toBe(
      "its blocks are 640 wide, the base's 320, 640, 1280",
    );
    expect(misfit(base, { widths: [320, 640, 1280], context: [] }, { whole: true })).toBeUndefined();
    expect(misfit(base, { widths: [32], context: [] })).toContain('its blocks are 32 wide');
  });

  it('tells text states of another width', () => {
    expect(misfit(base, { widths: [640], context: [2048] })).toBe("its text states are 2048 wide, the base's 768");
  });
});

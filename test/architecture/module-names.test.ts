import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { moduleNames, motionModuleNames } from '../../src/architecture/module-names.ts';
import { clipTextParameters, type ModelParameter, unetParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig, type UNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { openTensorFile } from '../../src/formats/tensor-file.ts';

const config = await readUNetConfig('models/tiny/base/unet/config.json');
const text_encoder = clipTextParameters(await readClipTextConfig('models/tiny/base/text_encoder/config.json'));

function namesOf(from: UNetConfig = config) {
  const structure = unetStructure(from, { mid: true });
  return moduleNames({ unet: unetParameters(structure, 32), text_encoder }, structure);
}

const names = namesOf();

/** Key prefixes of the modules in a kohya file. */
async function modulesIn(path: string): Promise<string[]> {
  await using file = await openTensorFile(path);
  return [...new Set([...file.tensors.keys()].map((name) => name.slice(0, name.indexOf('.'))))];
}

const TO_Q = 'down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q';
const TO_OUT = TO_Q.replace('to_q', 'to_out.0');
const Q_PROJ = 'text_model.encoder.layers.1.self_attn.q_proj';

describe('moduleNames', () => {
  it('finds every module of AnimateLCM’s LCM LoRA: all that multiply but conv_in, conv_out and the time embedding', async () => {
    const modules = (await modulesIn('models/tiny/lcm.safetensors')).map((name) => names.find(name));
    expect(new Set(modules.map((module) => module?.path)).size).toBe(278);
    const left = [...names.alternatives('lora_unet_')]
      .map((name) => names.find(name))
      .filter((module) => module?.component === 'unet' && module.weight.kind !== 'vector' && !modules.includes(module));
    expect([...new Set(left.map((module) => module?.path))].sort()).toEqual([
      'conv_in',
      'conv_out',
      'time_embedding.linear_1',
      'time_embedding.linear_2',
    ]);
  });

  it('finds every module of a personalized LoRA', async () => {
    const modules = (await modulesIn('models/tiny/ink.safetensors')).map((name) => names.find(name));
    expect(modules.filter((module) => module?.component === 'unet')).toHaveLength(192);
    expect(modules.filter((module) => module?.component === 'text_encoder')).toHaveLength(12);
    expect(modules).toHaveLength(204);
  });

  it.each([
    [`lora_unet_${TO_Q.replaceAll('.', '_')}`, TO_Q],
    [`lycoris_${TO_Q.replaceAll('.', '_')}`, TO_Q],
    ['lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_q', TO_Q],
    ['lora_unet_middle_block_1_proj_in', 'mid_block.attentions.0.proj_in'],
    ['lora_unet_input_blocks_3_0_op', 'down_blocks.0.downsamplers.0.conv'],
    ['lora_unet_output_blocks_2_1_conv', 'up_blocks.0.upsamplers.0.conv'],
    ['lora_unet_output_blocks_2_2_conv', 'up_blocks.0.upsamplers.0.conv'], // LyCORIS' converter
    ['lora_unet_output_blocks_5_2_conv', 'up_blocks.1.upsamplers.0.conv'],
    ['lora_unet_down_blocks_0_resnets_0_norm1', 'down_blocks.0.resnets.0.norm1'],
    ['lora_te_text_model_encoder_layers_1_self_attn_q_proj', Q_PROJ],
    ['lora_te1_text_model_encoder_layers_1_self_attn_q_proj', Q_PROJ],
    ['lora_te_encoder_layers_1_self_attn_q_proj', Q_PROJ],
    ['lycoris_text_model_encoder_layers_1_self_attn_q_proj', Q_PROJ],
    [TO_Q, TO_Q],
    [`unet.${TO_Q}`, TO_Q],
    [`base_model.model.${TO_Q}`, TO_Q],
    [`base_model.model.unet.${TO_Q}`, TO_Q],
    [`unet.${TO_Q.replace('to_q', 'processor.to_q_lora')}`, TO_Q],
    [TO_Q.replace('to_q', 'processor.to_out_lora'), TO_OUT],
    [`text_encoder.${Q_PROJ}`, Q_PROJ],
    [`text_encoder.${Q_PROJ.replace('text_model.', '')}`, Q_PROJ],
    ['text_encoder.text_model.encoder.layers.1.self_attn.to_q_lora', Q_PROJ],
    ['text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora', Q_PROJ.replace('q_proj', 'out_proj')],
  ])('knows %s', (name, path) => {
    expect(names.find(name)).toMatchObject({ path, weight: { name: `${path}.weight` } });
  });

  it.each(['lora_unet_conv_inn', `unet.${TO_Q}.weight`, 'vae.decoder.conv_in', '', 'lora_te_', 'constructor'])(
    'knows no %s',
    (name) => {
      expect(names.find(name)).toBeUndefined();
    },
  );

  it('gives the bias beside the weight, where there is one, and no motion module', () => {
    expect(names.find(TO_OUT)?.bias?.name).toBe(`${TO_OUT}.bias`);
    expect(names.find(TO_Q)).not.toHaveProperty('bias');
    expect(names.find('down_blocks.0.motion_modules.0.proj_in')).toBeUndefined();
  });

  it('has one name for one module in SD1.5 itself', () => {
    const wide = namesOf({ ...config, block_out_channels: [320, 640, 1280, 1280], cross_attention_dim: 768 });
    const paths = [...wide.alternatives('unet.')].map((name) => wide.find(name)?.path);
    const multiplying = paths.filter((path) => wide.find(path as string)?.weight.kind !== 'vector');
    // 282 of the UNet (278 of an LCM LoRA, conv_in, conv_out, two of the time embedding), 12 of two text layers, two embeddings
    expect(new Set(multiplying).size).toBe(282 + 12 + 2);
  });

  it('does not let two modules share a name', () => {
    const twice = ['up_blocks.0.resnets.0.a_b.weight', 'up_blocks.0.resnets.0.a.b.weight'].map(
      (name): ModelParameter => ({ name, kind: 'linear', shape: [1, 1], motion: false }),
    );
    const structure = unetStructure(config, { mid: true });
    expect(() => moduleNames({ unet: twice, text_encoder: [] }, structure)).toThrow(/have one name, lora_unet_up_/);
  });
});

describe('motionModuleNames', () => {
  const motion = motionModuleNames(unetParameters(unetStructure(config, { mid: true }), 32));
  const MODULE = 'up_blocks.1.motion_modules.2';
  const OURS = `${MODULE}.transformer_blocks.0.attn2`;
  const THEIRS = `${MODULE}.temporal_transformer.transformer_blocks.0.attention_blocks.1`;

  it.each([
    [`${OURS}.to_q`, 'to_q'],
    [`unet.${OURS}.to_out.0`, 'to_out.0'],
    [`unet.${OURS}.processor.to_out_lora`, 'to_out.0'], // diffusers scripts/convert_animatediff_motion_lora_to_diffusers.py
    [`base_model.model.${OURS}.to_k`, 'to_k'],
    [`${THEIRS}.processor.to_v_lora`, 'to_v'],
    [`module.${THEIRS}.processor.to_out_lora`, 'to_out.0'],
    [`${THEIRS}.to_out.0`, 'to_out.0'],
    [`lora_unet_${THEIRS.replaceAll('.', '_')}_to_out_0`, 'to_out.0'],
    [`lora_unet_${OURS.replaceAll('.', '_')}_to_q`, 'to_q'],
  ])('%s', (name, layer) => {
    expect(motion.find(name)?.path).toBe(`${OURS}.${layer}`);
    expect(names.find(name)).toBeUndefined();
  });

  it('knows every layer of a motion module, and nothing of the images', () => {
    expect(motion.find(`${MODULE}.temporal_transformer.proj_out`)?.weight.name).toBe(`${MODULE}.proj_out.weight`);
    expect(motion.find(`${MODULE}.temporal_transformer.transformer_blocks.0.ff_norm`)?.path).toMatch(/\.norm3$/);
    expect(motion.find(TO_Q)).toBeUndefined();
  });
});

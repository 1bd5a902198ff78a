import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/formats/byte-source.ts';
import { openTensorFile, readTensorFile } from '../../src/formats/tensor-file.ts';
import { recognise } from '../../src/merge/recognise.ts';
import { safetensors } from '../formats/build.ts';

const tiny = async (name: string) => {
  await using file = await openTensorFile(`models/tiny/${name}`);
  return await recognise(file);
};

describe('recognise, on the tiny family', () => {
  // the figures are those of models/tiny/README.md
  it('tells the LoRAs apart', async () => {
    expect(await tiny('ink.safetensors')).toMatchObject({
      kind: 'kohya-lora',
      facts: {
        modules: 204,
        'modules by component': { unet: 192, text_encoder: 12 },
        rank: [8],
        alpha: [4],
        'alpha/rank': [0.5],
      },
    });
    expect(await tiny('lcm.safetensors')).toMatchObject({
      kind: 'lcm-lora',
      facts: {
        modules: 278,
        'modules by component': { unet: 278, text_encoder: 0 },
        rank: [16],
        alpha: [2],
        'alpha/rank': [0.125],
      },
    });
  });

  it('tells the motion modules apart', async () => {
    const facts = { modules: 21, 'middle block': true, widths: [32, 64, 96] };
    expect(await tiny('animatelcm.ckpt')).toMatchObject({
      kind: 'motion-module',
      facts: { ...facts, 'positional encoding': expect.stringContaining('none') },
    });
    expect(await tiny('animatediff.ckpt')).toMatchObject({
      kind: 'motion-module',
      facts: { ...facts, 'positional encoding': '32 rows' },
    });
  });

  it('knows the parts of a base, and admits what it does not know', async () => {
    expect(await tiny('base/unet/diffusion_pytorch_model.safetensors')).toMatchObject({
      kind: 'unet',
      facts: { widths: [32, 64, 96], 'cross-attention width': [64], 'input channels': 4 },
    });
    expect(await tiny('base/vae/diffusion_pytorch_model.safetensors')).toMatchObject({
      kind: 'vae',
      facts: { encoder: true, 'latent channels': 4 },
    });
    expect(await tiny('base/text_encoder/model.safetensors')).toMatchObject({
      kind: 'clip-text',
      facts: { layers: 2, width: 64, vocabulary: 645, 'longest prompt': 77 },
    });
    expect(await tiny('reference.safetensors')).toMatchObject({ kind: 'unknown', facts: {} });
  });
});

/** A safetensors file of F16 tensors with these names and shapes, all zero. */
function file(shapes: Readonly<Record<string, readonly number[]>>, metadata?: Readonly<Record<string, string>>) {
  let end = 0;
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = end;
    end += 2 * shape.reduce((n, dim) => n * dim, 1);
    return [name, { dtype: 'F16', shape, data_offsets: [begin, end] }] as const;
  });
  const header = { ...(metadata && { __metadata__: metadata }), ...Object.fromEntries(entries) };
  return readTensorFile(bytesSource('made.safetensors', safetensors(header, end)));
}

const ATTENTION = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1';
const KOHYA = `lora_unet_${ATTENTION.replaceAll('.', '_')}_to_q`;
const MOTION = 'down_blocks.0.motion_modules.0';

describe('recognise, by telltale names', () => {
  it.each([
    [
      'motion-lora',
      {
        [`${MOTION}.temporal_transformer.transformer_blocks.0.attention_blocks.0.processor.to_q_lora.down.weight`]: [
          4, 8,
        ],
      },
    ],
    ['motion-lora', { [`unet.${MOTION}.transformer_blocks.0.attn1.to_q.lora_A.weight`]: [4, 8] }],
    [
      'motion-lora',
      { [`lora_unet_${MOTION.replaceAll('.', '_')}_transformer_blocks_0_attn1_to_q.lora_up.weight`]: [8, 4] },
    ],
    ['motion-adapter', { [`${MOTION}.proj_in.weight`]: [8, 8] }],
    ['motion-module', { [`module.${MOTION}.temporal_transformer.proj_in.weight`]: [8, 8] }],
    ['pia', { [`${MOTION}.proj_in.weight`]: [8, 8], 'conv_in.weight': [8, 9, 3, 3] }],
    [
      'motion-unet',
      {
        [`${MOTION}.proj_in.weight`]: [8, 8],
        'conv_in.weight': [8, 4, 3, 3],
        'down_blocks.0.resnets.0.conv1.weight': [8],
      },
    ],
    ['hotshot-xl', { 'down_blocks.0.temporal_attentions.0.proj_in.weight': [8, 8] }],
    ['hellomeme', { 'reference_modules_down.0.attn.to_q.weight': [8, 8] }],
    ['hellomeme', { 'motion_up.0.attentions.0.proj_in.weight': [8, 8] }],
    ['fancyvideo', { [`${MOTION}.proj_in.weight`]: [8, 8], 'motion_embedding.linear.weight': [8, 8] }],
    ['cameractrl', { 'attention_processor_state_dict.x.processor.qkv_merge.bias': [8] }],
    ['motionctrl', { 'down_blocks.0.motion_modules.0.transformer_blocks.0.cc_projection.bias': [8] }],
    ['animatelcm-i2v', { [`${MOTION}.proj_in.weight`]: [8, 8], 'img_encoder.body.0.block1.weight': [8] }],
    ['controlnet', { [`${MOTION}.proj_in.weight`]: [8, 8], 'controlnet_down_blocks.0.weight': [8, 8] }],
    ['svd-unet', { 'model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight': [8] }],
    [
      'sdxl-motion-module',
      Object.fromEntries(
        [320, 640, 1280].map((width, i) => [`down_blocks.${i}.motion_modules.0.proj_in.weight`, [width, 1]]),
      ),
    ],
    [
      'motion-module',
      Object.fromEntries(
        [320, 640, 1280, 1280].map((width, i) => [
          `down_blocks.${i}.motion_modules.0.temporal_transformer.proj_in.weight`,
          [width, 1],
        ]),
      ),
    ],
    ['motion-unet', { [`${MOTION}.proj_in.weight`]: [8, 8], 'down_blocks.0.resnets.0.conv1.weight': [8, 8, 3, 3] }],
    ['ldm-checkpoint', { 'model.diffusion_model.input_blocks.0.0.weight': [8, 4, 3, 3] }],
    ['ldm-unet', { 'input_blocks.0.0.weight': [8, 4, 3, 3] }],
    ['controlnet', { 'control_model.zero_convs.0.0.weight': [8, 8, 1, 1] }],
    ['sdxl-checkpoint', { 'model.diffusion_model.input_blocks.0.0.weight': [8], 'conditioner.embedders.0.x': [8] }],
    [
      'dora',
      { [`${KOHYA}.lora_down.weight`]: [4, 8], [`${KOHYA}.lora_up.weight`]: [8, 4], [`${KOHYA}.dora_scale`]: [8, 1] },
    ],
    ['tucker-lora', { [`${KOHYA}.lora_down.weight`]: [4, 8, 1, 1], [`${KOHYA}.lora_mid.weight`]: [4, 4, 3, 3] }],
    ['lokr', { [`${KOHYA}.lokr_w1`]: [2, 2], [`${KOHYA}.lokr_w2`]: [4, 4] }],
    ['glora', { [`${KOHYA}.a1.weight`]: [4, 8], [`${KOHYA}.b1.weight`]: [4, 8] }],
    ['oft', { [`${KOHYA}.oft_blocks`]: [2, 4, 4] }],
    ['ia3', { [`${KOHYA}.weight`]: [8], [`${KOHYA}.on_input`]: [1] }],
    ['full-difference', { [`${KOHYA}.diff`]: [8, 8] }],
    ['ldm-vae', { 'decoder.up.0.block.0.conv1.weight': [8, 8, 3, 3] }],
    ['textual-inversion', { emb_params: [2, 8] }],
    ['unknown', { 'some.weight': [8] }],
  ] as const)('%s', async (kind, shapes: Readonly<Record<string, readonly number[]>>) => {
    expect(await recognise(await file(shapes))).toMatchObject({ kind });
  });

  it.each([
    ['kohya-lora', `${KOHYA}.lora_down.weight`, `${KOHYA}.lora_up.weight`],
    ['peft-lora', `unet.${ATTENTION}.to_q.lora_A.weight`, `unet.${ATTENTION}.to_q.lora_B.weight`],
    [
      'peft-lora',
      `base_model.model.${ATTENTION}.to_q.lora_A.default.weight`,
      `base_model.model.${ATTENTION}.to_q.lora_B.default.weight`,
    ],
    ['diffusers-lora', `unet.${ATTENTION}.to_q.lora.down.weight`, `unet.${ATTENTION}.to_q.lora.up.weight`],
    ['diffusers-lora', `${ATTENTION}.processor.to_q_lora.down.weight`, `${ATTENTION}.processor.to_q_lora.up.weight`],
  ] as const)('%s counts one module of rank 4 without alpha in %s', async (kind, down, up) => {
    expect(await recognise(await file({ [down]: [4, 8], [up]: [8, 4] }))).toMatchObject({
      kind,
      facts: { modules: 1, rank: [4], alpha: ['none'], 'alpha/rank': [1] },
    });
  });

  it.each([
    ['an inpainting model', { 'model.diffusion_model.input_blocks.0.0.weight': [8, 9, 3, 3] }],
    ['an SD2 model', { 'input_blocks.0.0.weight': [8, 4, 3, 3], 'middle_block.1.attn2.to_k.weight': [8, 1024] }],
    [
      'a full LCM',
      {
        'conv_in.weight': [8, 4, 3, 3],
        'down_blocks.0.resnets.0.conv1.weight': [8],
        'time_embedding.cond_proj.weight': [8, 4],
      },
    ],
  ])('says of a UNet that it is no base: %s', async (what, shapes) => {
    const { facts } = await recognise(await file(shapes));
    expect(facts['no base for SD1.5']).toMatch(new RegExp(`^${what}: `));
    const { facts: sound } = await recognise(
      await file({ 'model.diffusion_model.input_blocks.0.0.weight': [8, 4, 3, 3] }),
    );
    expect(sound).not.toHaveProperty('no base for SD1.5');
  });

  it('loha takes its rank from w1_b', async () => {
    const shapes = {
      [`${KOHYA}.hada_w1_a`]: [8, 4],
      [`${KOHYA}.hada_w1_b`]: [4, 8],
      [`${KOHYA}.hada_w2_a`]: [8, 4],
      [`${KOHYA}.hada_w2_b`]: [4, 8],
    };
    expect(await recognise(await file(shapes))).toMatchObject({ kind: 'loha', facts: { modules: 1, rank: [4] } });
  });

  it('takes a LoRA on the same modules for an LCM LoRA only when no trainer of styles has signed it', async () => {
    const shapes = { 'lora_unet_down_blocks_0_resnets_0_time_emb_proj.lora_down.weight': [4, 8] };
    expect(await recognise(await file(shapes))).toMatchObject({ kind: 'lcm-lora' });
    expect(await recognise(await file(shapes, { ss_network_module: 'lycoris.kohya' }))).toMatchObject({
      kind: 'kohya-lora',
    });
    const withText = { ...shapes, 'lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight': [4, 8] };
    expect(await recognise(await file(withText))).toMatchObject({ kind: 'kohya-lora' });
  });
});

import { describe, expect, it } from 'vitest';
import { readClipTextConfig } from '../../src/architecture/clip-config.ts';
import { animateDiffName, baseNames, kohyaTargets } from '../../src/architecture/names.ts';
import { clipTextParameters, unetParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig, type UNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { openTensorFile } from '../../src/formats/tensor-file.ts';

const config = await readUNetConfig('models/tiny/base/unet/config.json');
const unet = (from: UNetConfig = config) => unetParameters(unetStructure(from, { mid: true }), 32);
const textEncoder = clipTextParameters(await readClipTextConfig('models/tiny/base/text_encoder/config.json'));

/** Key prefixes of the modules in a kohya file. */
async function modulesOf(path: string): Promise<Set<string>> {
  await using file = await openTensorFile(path);
  return new Set([...file.tensors.keys()].map((name) => name.slice(0, name.indexOf('.'))));
}

describe('kohyaTargets', () => {
  it('is injective for SD1.5 itself', () => {
    const sd15: UNetConfig = { ...config, block_out_channels: [320, 640, 1280, 1280], cross_attention_dim: 768 };
    const targets = kohyaTargets('unet', unet(sd15));
    expect(targets.size).toBe(new Set([...targets.values()].map(({ parameter }) => parameter.name)).size);
    // 278 modules of an LCM LoRA, and what it leaves alone: conv_in, conv_out and the two layers of the time embedding
    expect(targets.size).toBe(282);
  });

  it('has every module of AnimateLCM’s LCM LoRA, and only conv_in, conv_out and the time embedding besides', async () => {
    const keys = new Set(kohyaTargets('unet', unet()).keys());
    const file = await modulesOf('models/tiny/lcm.safetensors');
    expect(file.size).toBe(278);
    expect([...keys.symmetricDifference(file)].sort()).toEqual([
      'lora_unet_conv_in',
      'lora_unet_conv_out',
      'lora_unet_time_embedding_linear_1',
      'lora_unet_time_embedding_linear_2',
    ]);
  });

  it('has every module of a personalized LoRA, under every prefix of the text encoder', async () => {
    const [spatial, text] = [kohyaTargets('unet', unet()), kohyaTargets('text_encoder', textEncoder)];
    const file = [...(await modulesOf('models/tiny/ink.safetensors'))];
    expect(file.filter((key) => spatial.has(key))).toHaveLength(192);
    expect(file.filter((key) => text.has(key))).toHaveLength(12);
    expect(file).toHaveLength(204);
    const keysOf = Map.groupBy(text, ([, { parameter }]) => parameter.name);
    expect(keysOf.size).toBe(12);
    expect(keysOf.get('text_model.encoder.layers.1.mlp.fc1.weight')?.map(([key]) => key)).toEqual([
      'lora_te_text_model_encoder_layers_1_mlp_fc1',
      'lora_te1_text_model_encoder_layers_1_mlp_fc1',
      'lora_te_encoder_layers_1_mlp_fc1',
      'lora_te1_encoder_layers_1_mlp_fc1',
    ]);
  });

  it('leads to the weight, never to a bias, a norm or a motion module', () => {
    expect(
      kohyaTargets('unet', unet()).get('lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0'),
    ).toEqual({
      component: 'unet',
      parameter: {
        name: 'down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0.weight',
        kind: 'linear',
        shape: [32, 32],
        motion: false,
      },
    });
    for (const { parameter } of kohyaTargets('unet', unet()).values())
      expect(parameter.name).toMatch(/^(?!.*motion_modules).*\.weight$/);
  });

  it('does not let two modules share a key', () => {
    const twice = ['a.b_c.weight', 'a_b.c.weight'].map(
      (name) => ({ name, kind: 'linear', shape: [1, 1], motion: false }) as const,
    );
    expect(() => kohyaTargets('unet', twice)).toThrow(/flatten to the LoRA key lora_unet_a_b_c/);
  });
});

describe('animateDiffName', () => {
  const motion = unet().filter((parameter) => parameter.motion);

  it.each([
    ['models/tiny/animatelcm.ckpt', 546],
    ['models/tiny/animatediff.ckpt', 546],
  ])('gives exactly the names in %s', async (path, count) => {
    await using file = await openTensorFile(path);
    const stored = [...file.tensors.keys()]
      .map((name) => name.replace(/^module\./, ''))
      .filter((name) => !name.endsWith('.pe'));
    expect(stored).toHaveLength(count);
    const ours = motion.filter(({ kind }) => kind !== 'positional-encoding').map(({ name }) => animateDiffName(name));
    expect(ours.sort()).toEqual(stored.sort());
  });
});

describe('baseNames', () => {
  it('gives today’s name first, then the older one', () => {
    expect(baseNames('unet', 'mid_block.attentions.0.to_q.weight')).toEqual(['mid_block.attentions.0.to_q.weight']);
    expect(baseNames('text_encoder', 'text_model.final_layer_norm.bias')).toEqual([
      'text_model.final_layer_norm.bias',
      'final_layer_norm.bias',
    ]);
    const attention = 'decoder.mid_block.attentions.0';
    expect(
      ['to_q.weight', 'to_k.bias', 'to_v.weight', 'to_out.0.bias', 'group_norm.weight'].map((leaf) =>
        baseNames('vae_decoder', `${attention}.${leaf}`),
      ),
    ).toEqual([
      [`${attention}.to_q.weight`, `${attention}.query.weight`],
      [`${attention}.to_k.bias`, `${attention}.key.bias`],
      [`${attention}.to_v.weight`, `${attention}.value.weight`],
      [`${attention}.to_out.0.bias`, `${attention}.proj_attn.bias`],
      [`${attention}.group_norm.weight`, `${attention}.group_norm.weight`],
    ]);
    expect(baseNames('vae_decoder', 'decoder.conv_in.weight')).toEqual(['decoder.conv_in.weight']);
  });
});

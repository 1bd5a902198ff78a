import { describe, expect, it } from 'vitest';
import { blockOf, blockWeight } from '../../src/architecture/block-map.ts';
import { BLOCK_NAMES } from '../../src/architecture/block-names.ts';
import { unetParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { openTensorFile } from '../../src/formats/tensor-file.ts';

/** Every module of SD1.5's UNet, by the LDM block it has always been in; the time embedding is SuperMerger's choice. */
const TABLE: Readonly<Record<string, string>> = {
  IN00: 'conv_in time_embedding',
  IN01: 'down_blocks.0.resnets.0 down_blocks.0.attentions.0 down_blocks.0.motion_modules.0',
  IN02: 'down_blocks.0.resnets.1 down_blocks.0.attentions.1 down_blocks.0.motion_modules.1',
  IN03: 'down_blocks.0.downsamplers.0',
  IN04: 'down_blocks.1.resnets.0 down_blocks.1.attentions.0 down_blocks.1.motion_modules.0',
  IN05: 'down_blocks.1.resnets.1 down_blocks.1.attentions.1 down_blocks.1.motion_modules.1',
  IN06: 'down_blocks.1.downsamplers.0',
  IN07: 'down_blocks.2.resnets.0 down_blocks.2.attentions.0 down_blocks.2.motion_modules.0',
  IN08: 'down_blocks.2.resnets.1 down_blocks.2.attentions.1 down_blocks.2.motion_modules.1',
  IN09: 'down_blocks.2.downsamplers.0',
  IN10: 'down_blocks.3.resnets.0 down_blocks.3.motion_modules.0',
  IN11: 'down_blocks.3.resnets.1 down_blocks.3.motion_modules.1',
  M00: 'mid_block.resnets.0 mid_block.attentions.0 mid_block.motion_modules.0 mid_block.resnets.1',
  OUT00: 'up_blocks.0.resnets.0 up_blocks.0.motion_modules.0',
  OUT01: 'up_blocks.0.resnets.1 up_blocks.0.motion_modules.1',
  OUT02: 'up_blocks.0.resnets.2 up_blocks.0.motion_modules.2 up_blocks.0.upsamplers.0',
  OUT03: 'up_blocks.1.resnets.0 up_blocks.1.attentions.0 up_blocks.1.motion_modules.0',
  OUT04: 'up_blocks.1.resnets.1 up_blocks.1.attentions.1 up_blocks.1.motion_modules.1',
  OUT05: 'up_blocks.1.resnets.2 up_blocks.1.attentions.2 up_blocks.1.motion_modules.2 up_blocks.1.upsamplers.0',
  OUT06: 'up_blocks.2.resnets.0 up_blocks.2.attentions.0 up_blocks.2.motion_modules.0',
  OUT07: 'up_blocks.2.resnets.1 up_blocks.2.attentions.1 up_blocks.2.motion_modules.1',
  OUT08: 'up_blocks.2.resnets.2 up_blocks.2.attentions.2 up_blocks.2.motion_modules.2 up_blocks.2.upsamplers.0',
  OUT09: 'up_blocks.3.resnets.0 up_blocks.3.attentions.0 up_blocks.3.motion_modules.0',
  OUT10: 'up_blocks.3.resnets.1 up_blocks.3.attentions.1 up_blocks.3.motion_modules.1',
  OUT11: 'up_blocks.3.resnets.2 up_blocks.3.attentions.2 up_blocks.3.motion_modules.2 conv_norm_out conv_out',
};

describe('blockOf', () => {
  const modules = Object.entries(TABLE).flatMap(([block, names]) =>
    names.split(' ').map((name) => [name, block] as const),
  );

  it('puts every parameter of the UNet where the table has its module', async () => {
    expect(Object.keys(TABLE)).toEqual(BLOCK_NAMES);
    const config = await readUNetConfig('models/tiny/base/unet/config.json');
    const met = new Set<string>();
    for (const { name } of unetParameters(unetStructure(config, { mid: true }), 32)) {
      const [module, block] = modules.find(([path]) => name.startsWith(`${path}.`)) ?? [];
      expect(blockOf('unet', name), name).toBe(block);
      met.add(module as string);
    }
    expect(met.size).toBe(modules.length);
  });

  it('is BASE for the text encoder and nothing for the VAE', async () => {
    await using file = await openTensorFile('models/tiny/base/text_encoder/model.safetensors');
    for (const name of file.tensors.keys()) expect(blockOf('text_encoder', name)).toBe('BASE');
    expect(blockOf('vae_decoder', 'decoder.mid_block.resnets.0.conv1.weight')).toBeUndefined();
    expect(blockOf('unet', 'class_embedding.weight')).toBeUndefined();
  });
});

describe('blockWeight', () => {
  it('takes the exact name, then the group, then 1', () => {
    const blocks = { IN: 0.5, IN03: 2, M: 0.25, OUT05: 0, BASE: 0.75 };
    const cases = { IN03: 2, IN00: 0.5, IN11: 0.5, M00: 0.25, OUT05: 0, OUT04: 1, BASE: 0.75 };
    for (const [block, weight] of Object.entries(cases)) expect(blockWeight(blocks, block), block).toBe(weight);
    expect(blockWeight(blocks, undefined)).toBe(1);
    expect(blockWeight({}, 'IN00')).toBe(1);
  });
});

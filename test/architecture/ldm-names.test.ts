import { describe, expect, it } from 'vitest';
import { ldmUNetName, ldmVaeName } from '../../src/architecture/ldm-names.ts';
import { unetParameters, vaeDecoderParameters, vaeEncoderParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { readVaeConfig } from '../../src/architecture/vae-config.ts';
import { ldmGolden } from '../helpers/ldm.ts';

const tiny = await readUNetConfig('models/tiny/base/unet/config.json');

describe('ldmUNetName', () => {
  it.each(ldmGolden.unets.map(({ names, ...shape }) => [shape.widths.length, shape.layers, shape, names] as const))(
    'is what diffusers takes apart, for %i levels of %i layers',
    (_levels, _layers, { layers, widths, attention }, expected) => {
      const structure = unetStructure(
        {
          ...tiny,
          block_out_channels: widths,
          layers_per_block: layers,
          cross_attention: attention,
          num_attention_heads: widths.map(() => 8),
        },
        { mid: true },
      );
      const spatial = unetParameters(structure, 32).filter(({ motion }) => !motion);
      expect(new Map(spatial.map(({ name }) => [name, ldmUNetName(name, structure)]))).toEqual(expected);
    },
  );

  it('names modules too, as LoRA keys need them', () => {
    const structure = unetStructure(tiny, { mid: false });
    expect(ldmUNetName('down_blocks.0.downsamplers.0.conv', structure)).toBe('input_blocks.3.0.op');
    expect(ldmUNetName('time_embedding.linear_1', structure)).toBe('time_embed.0');
    expect(ldmUNetName('up_blocks.1.resnets.2.conv_shortcut', structure)).toBe('output_blocks.5.0.skip_connection');
  });

  it('has nothing for a motion module', () => {
    const name = 'down_blocks.0.motion_modules.0.proj_in.weight';
    expect(() => ldmUNetName(name, unetStructure(tiny, { mid: true }))).toThrow(`LDM's UNet has no ${name}.`);
  });
});

describe('ldmVaeName', () => {
  it.each(ldmGolden.vaes)('is what diffusers takes apart, for $layers layers', async ({ layers, widths, names }) => {
    const tiny = await readVaeConfig('models/tiny/base/vae/config.json');
    const config = { ...tiny, layers_per_block: layers, block_out_channels: widths };
    const both = [...vaeDecoderParameters(config), ...vaeEncoderParameters(config)];
    expect(new Map(both.map(({ name }) => [name, ldmVaeName(name, config)]))).toEqual(names);
  });
});

import { describe, expect, it } from 'vitest';
import { animateDiffName, baseNames } from '../../src/architecture/names.ts';
import { unetParameters } from '../../src/architecture/parameters.ts';
import { readUNetConfig, type UNetConfig } from '../../src/architecture/unet-config.ts';
import { unetStructure } from '../../src/architecture/unet-structure.ts';
import { openTensorFile } from '../../src/formats/tensor-file.ts';

const config = await readUNetConfig('models/tiny/base/unet/config.json');
const unet = (from: UNetConfig = config) => unetParameters(unetStructure(from, { mid: true }), 32);

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

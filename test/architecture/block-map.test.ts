import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { type BlockWeights, blockOf, blockWeight } from '../../src/architecture/block-map.ts';
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

const modules = Object.entries(TABLE).flatMap(([block, names]) =>
  names.split(' ').map((name) => [name, block] as const),
);

describe('blockOf', () => {
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

describe('blockOf, beside diffusers’ conversion of LDM checkpoints', async () => {
  /** Made by `python test/oracle/blocks.py`: module → its LDM block; time_embed and out have none there. */
  const golden = Object.entries(
    JSON.parse(await readFile('test/golden/blocks.json', 'utf8')) as Readonly<Record<string, string>>,
  );
  const ours: Readonly<Record<string, string>> = { time_embed: 'IN00', out: 'OUT11' };

  it('finds every module in the same block', () => {
    expect(golden).toHaveLength(48);
    const found = golden.map(([module]) => [module, blockOf('unet', `${module}.weight`)]);
    expect(found).toEqual(golden.map(([module, block]) => [module, ours[block] ?? block]));
  });
});

describe('blockWeight', () => {
  const weigh = (blocks: BlockWeights, ...names: readonly string[]) =>
    names.map((name) => blockWeight(blocks, name.startsWith('text_model.') ? 'text_encoder' : 'unet', name));
  const LAYER = 'down_blocks.2.attentions.1.transformer_blocks.0';

  it('takes the exact block, then the group, then 1', () => {
    const blocks = { IN: 0.5, IN03: 2, M: 0.25, OUT05: 0, BASE: 0.75 };
    const names = [
      ['down_blocks.0.downsamplers.0.conv.weight', 2],
      ['time_embedding.linear_1.bias', 0.5],
      ['down_blocks.3.resnets.1.conv1.weight', 0.5],
      ['mid_block.motion_modules.0.proj_out.weight', 0.25],
      ['up_blocks.1.upsamplers.0.conv.weight', 0],
      ['conv_out.weight', 1],
      ['text_model.final_layer_norm.weight', 0.75],
    ] as const;
    for (const [name, weight] of names) expect(weigh(blocks, name), name).toEqual([weight]);
    expect(blockWeight(blocks, 'vae_decoder', 'decoder.mid_block.resnets.0.conv1.weight')).toBe(1);
    expect(weigh({}, 'conv_in.weight')).toEqual([1]);
  });

  it('takes the longest path, at whole names only, however it is written', () => {
    const blocks = { up: 0.5, 'up_blocks.1': 0.25, 'up.1.attentions.0': 0, mid_block: 3, down_blocks: 4 };
    expect(
      weigh(
        blocks,
        'up_blocks.10.resnets.0.conv1.weight',
        'up_blocks.1.resnets.0.conv1.weight',
        'up_blocks.1.attentions.0.norm.weight',
        'mid_block.resnets.1.conv2.bias',
        'down_blocks.0.resnets.0.conv1.weight',
        'conv_in.weight',
      ),
    ).toEqual([0.5, 0.25, 0, 3, 4, 1]);
    const layers = { 'text_model.encoder.layers.1': 0.5, BASE: 2 };
    const fc1 = (n: number) => `text_model.encoder.layers.${n}.mlp.fc1.weight`;
    expect(weigh(layers, fc1(1), fc1(11), fc1(2))).toEqual([0.5, 2, 2]);
  });

  it('lets a pattern beat a path, a path beat the block it reaches as far as, and a block the path it is in', () => {
    const keys = [
      ['*.attn2.*', 7],
      [`${LAYER}.attn2`, 6],
      ['down_blocks.2.attentions.1', 5],
      ['IN08', 4],
      ['down_blocks.2.attentions', 3],
      ['down', 2],
      ['IN', 1],
    ] as const;
    for (let n = 0; n < keys.length; n += 1) {
      const left = keys.slice(n);
      for (const order of [left, left.toReversed()])
        expect(weigh(Object.fromEntries(order), `${LAYER}.attn2.to_k.weight`), String(left[0])).toEqual([left[0]?.[1]]);
    }
  });

  it('lets the pattern with more characters count, the first of two that have as many', () => {
    const patterns = { '*.to_?.*': 1, '*.attn2.*': 2, 'down*attn2*': 3, '*attn2.to_k*': 4 };
    expect(weigh(patterns, `${LAYER}.attn1.to_q.weight`, `${LAYER}.attn2.to_k.weight`)).toEqual([1, 4]);
    // eight characters each, whatever the number of stars
    expect(weigh({ '*.attn2.t*': 1, '**.to_k.we*': 2 }, `${LAYER}.attn2.to_k.weight`)).toEqual([1]);
    expect(weigh({ '**.to_k.we*': 2, '*.attn2.t*': 1 }, `${LAYER}.attn2.to_k.weight`)).toEqual([2]);
    expect(weigh({ '*.layers.1*': 0 }, 'text_model.encoder.layers.11.mlp.fc1.bias')).toEqual([0]);
  });

  it('reads lists in the order of each length', () => {
    const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 2);
    const each = ['text_model.x', 'conv_in.x', ...modules.map(([module]) => `${module}.x`)];
    const met = (vector: readonly number[]) =>
      Object.fromEntries(
        each.map((name) => {
          const component = name.startsWith('text_model.') ? 'text_encoder' : 'unet';
          return [blockOf(component, name), blockWeight(vector, component, name)];
        }),
      );
    // the order of LoRA Block Weight and kohya's scripts; merge-tools.md §2
    const orders = [
      `BASE ${BLOCK_NAMES.join(' ')}`,
      BLOCK_NAMES.join(' '),
      'BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08',
      'BASE IN01 IN02 IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11',
      'BASE IN04 IN05 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05',
    ].map((order) => order.split(' '));
    expect(orders.map(({ length }) => length)).toEqual([26, 25, 20, 17, 12]);
    const ones = Object.fromEntries(['BASE', ...BLOCK_NAMES].map((block) => [block, 1]));
    for (const order of orders) {
      const named = Object.fromEntries(order.map((block, i) => [block, i + 2]));
      expect(met(upTo(order.length))).toEqual({ ...ones, ...named });
    }
  });
});

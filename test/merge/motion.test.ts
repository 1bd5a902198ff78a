import { describe, expect, it } from 'vitest';
import type { ModelParameter } from '../../src/architecture/parameters.ts';
import { bytesSource } from '../../src/formats/byte-source.ts';
import type { TensorFile } from '../../src/formats/tensor-file.ts';
import { gammaApplies, motionGain, motionLayout } from '../../src/merge/motion.ts';

/** A motion file as far as its layout goes: names and shapes. */
function fileWith(tensors: Readonly<Record<string, readonly number[]>>): TensorFile {
  const entries = Object.entries(tensors).map(
    ([name, shape]) => [name, { name, dtype: 'F32', shape, offset: 0, byteLength: 0 }] as const,
  );
  const source = bytesSource('motion.ckpt', new Uint8Array());
  return { kind: 'torch-zip', source, metadata: {}, tensors: new Map(entries), [Symbol.asyncDispose]: async () => {} };
}

describe('motionLayout', () => {
  const module = 'up_blocks.0.motion_modules.0.temporal_transformer';

  it('sees the middle block, the length of the encoding and a trainer’s prefix', () => {
    expect(motionLayout(fileWith({ [`${module}.norm.weight`]: [8] }))).toMatchObject({ mid: false, stored: undefined });
    const layout = motionLayout(
      fileWith({
        'module.mid_block.motion_modules.0.temporal_transformer.norm.weight': [8],
        [`module.${module}.transformer_blocks.0.attention_blocks.0.pos_encoder.pe`]: [1, 24, 8],
      }),
    );
    expect(layout).toMatchObject({ mid: true, stored: 24 });
    const name = 'mid_block.motion_modules.0.temporal_transformer.norm.weight';
    expect(layout.tensors.get(name)).toBe(`module.${name}`);
  });
});

describe('motionGain', () => {
  const out = 'mid_block.motion_modules.0.proj_out';

  it('is γ for the residual’s weight and bias only, or for every weight', () => {
    const names = [
      `${out}.weight`,
      `${out}.bias`,
      'mid_block.motion_modules.0.proj_in.weight',
      'mid_block.attentions.0.proj_out.weight',
    ];
    expect(names.map((name) => motionGain({ gamma: 0.5, mode: 'residual' }, name))).toEqual([0.5, 0.5, 1, 1]);
    expect(motionGain({ gamma: 0.5, mode: 'weights' }, 'mid_block.motion_modules.0.norm.weight')).toBe(0.5);
  });
});

describe('gammaApplies', () => {
  const parameter = (name: string, kind: ModelParameter['kind'] = 'vector') => ({
    name,
    kind,
    shape: [8],
    motion: true,
  });

  it('follows the mode, unless there is a second module to start from; never to an encoding', () => {
    const norm = parameter('mid_block.motion_modules.0.norm.weight');
    const encoding = parameter('mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe', 'positional-encoding');
    const bias = parameter('mid_block.motion_modules.0.proj_out.bias');
    const of = (motion: { mode: 'residual' | 'weights'; base?: string }) =>
      [norm, bias, encoding, { ...norm, motion: false }].map((each) => gammaApplies(motion, each));
    expect(of({ mode: 'residual' })).toEqual([false, true, false, false]);
    expect(of({ mode: 'weights' })).toEqual([true, true, false, false]);
    expect(of({ mode: 'residual', base: 'other' })).toEqual([true, true, false, false]);
  });
});

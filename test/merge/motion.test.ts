import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../src/formats/byte-source.ts';
import type { TensorFile } from '../../src/formats/tensor-file.ts';
import { motionGain, motionLayout, positionalEncoding } from '../../src/merge/motion.ts';

/** A motion file as far as its layout goes: names and shapes. */
function fileWith(tensors: Readonly<Record<string, readonly number[]>>): TensorFile {
  const entries = Object.entries(tensors).map(
    ([name, shape]) => [name, { name, dtype: 'F32', shape, offset: 0, byteLength: 0 }] as const,
  );
  const source = bytesSource('motion.ckpt', new Uint8Array());
  return { kind: 'torch-zip', source, metadata: {}, tensors: new Map(entries), [Symbol.asyncDispose]: async () => {} };
}

describe('positionalEncoding', async () => {
  /** Made by `python test/oracle/parameters.py` from diffusers' SinusoidalPositionalEmbedding. */
  const { positional_encodings: golden } = JSON.parse(await readFile('test/golden/parameters.json', 'utf8')) as {
    positional_encodings: readonly {
      channels: number;
      positions: number;
      rows: Readonly<Record<string, readonly number[]>>;
    }[];
  };

  it.each(golden)('is diffusers’: $channels channels', ({ channels, positions, rows }) => {
    const table = positionalEncoding(positions, channels);
    expect(table).toHaveLength(positions * channels);
    for (const [row, expected] of Object.entries(rows)) {
      const found = table.subarray(Number(row) * channels, (Number(row) + 1) * channels);
      const error = Math.max(...expected.map((value, i) => Math.abs(value - (found[i] as number))));
      // float32 frequencies differ in their last bit, which an angle of 63 rad makes 64 times larger
      expect(error).toBeLessThanOrEqual(5e-6);
    }
  });

  it('does not depend on how many rows there are', () => {
    expect(positionalEncoding(64, 32).subarray(0, 24 * 32)).toEqual(positionalEncoding(24, 32));
  });
});

describe('motionLayout', () => {
  const module = 'up_blocks.0.motion_modules.0.temporal_transformer';

  it('sees the middle block, the length of the encoding and a trainer’s prefix', () => {
    expect(motionLayout(fileWith({ [`${module}.norm.weight`]: [8] }))).toMatchObject({ mid: false, positions: 64 });
    const layout = motionLayout(
      fileWith({
        'module.mid_block.motion_modules.0.temporal_transformer.norm.weight': [8],
        [`module.${module}.transformer_blocks.0.attention_blocks.0.pos_encoder.pe`]: [1, 24, 8],
      }),
    );
    expect(layout).toMatchObject({ mid: true, positions: 24 });
    const name = 'mid_block.motion_modules.0.temporal_transformer.norm.weight';
    expect(layout.tensors.get(name)).toBe(`module.${name}`);
  });

  it('refuses a file without motion modules', () => {
    expect(() => motionLayout(fileWith({ 'down_blocks.0.resnets.0.norm1.weight': [8] }))).toThrow(
      /motion\.ckpt holds no motion modules: none of its 1 tensors/,
    );
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

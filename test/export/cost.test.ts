import { describe, expect, it } from 'vitest';
import { predictCost } from '../../src/export/cost.ts';
import { layOutComponents } from '../../src/export/layouts.ts';
import { plan } from '../../src/merge/plan.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

const costOf = async (changes: Readonly<Record<string, Section>> = {}) => {
  const planned = await plan(tinyRecipe(changes));
  return predictCost(planned, layOutComponents(planned));
};

describe('predictCost', async () => {
  const tiny = await costOf();

  it('counts what lies in the files, what is written, and the factors’ products', async () => {
    const { files, tensors } = await plan(tinyRecipe());
    expect(tiny.read_bytes).toBe(files.reduce((sum, { bytes }) => sum + bytes, 0));
    // 2 · rank · elements for each LoRA on each tensor, ranks 8 and 16
    const flops = Object.values(tensors)
      .flat()
      .flatMap(({ terms, shape }) =>
        terms.map((term) => 2 * (term.of === 'lcm' ? 16 : 8) * shape.reduce((n, dim) => n * dim, 1)),
      );
    expect(tiny.flops).toBe(flops.reduce((sum, n) => sum + n));
    expect(tiny.written_bytes).toBeGreaterThan(18e6);
    expect(tiny.written_bytes).toBeLessThan(19e6);
  });

  it('knows what costs more', async () => {
    const [fp32, vae, both, alone] = [
      await costOf({ output: { dtype: 'fp32' } }),
      await costOf({ output: { vae_dtype: 'fp32' } }),
      await costOf({ output: { weights: true } }),
      await costOf({ personalized: [{ lora: 'ink.safetensors', alpha: 0 }] }),
    ];
    expect(fp32.written_bytes).toBeGreaterThan(1.9 * tiny.written_bytes);
    const ofVae = (await plan(tinyRecipe())).tensors.vae_decoder.map(({ shape }) =>
      shape.reduce((n, dim) => n * dim, 1),
    );
    // two bytes more per element, but for the gaps between tensors
    const ratio = (vae.written_bytes - tiny.written_bytes) / (2 * ofVae.reduce((sum, n) => sum + n));
    expect(ratio).toBeCloseTo(1, 2);
    expect(fp32.peak_bytes).toBeGreaterThan(tiny.peak_bytes);
    expect(both.flops).toBe(2 * tiny.flops);
    expect(both.written_bytes).toBeGreaterThan(1.9 * tiny.written_bytes);
    expect(alone.flops).toBeLessThan(tiny.flops);
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { measureEffects } from '../../src/merge/bake.ts';
import { createEffectsMeter, type Effects, effectWarnings } from '../../src/merge/effects.ts';
import type { Merge } from '../../src/merge/gemm.ts';
import { type PlannedTensor, plan } from '../../src/merge/plan.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

/** Made by `python test/oracle/effects.py`, over all rows. */
const golden = JSON.parse(await readFile('test/golden/effects.json', 'utf8')) as {
  unchanged: number;
  sources: Record<string, number>;
  blocks: Record<string, Record<string, number>>;
  pair: { cosine: number; opposed: number };
};

/** 16384 elements of each tensor stand for all: so far may a figure be off. */
const SAMPLING = 0.1;

describe('the effects of models/tiny', async () => {
  const effects = await drain(measureEffects(await plan(tinyRecipe())));

  it('are those that PyTorch finds over all rows', () => {
    for (const [role, relative] of Object.entries(golden.sources)) {
      const measured = effects.sources[role as 'lcm'] as number;
      expect(Math.abs(measured / relative - 1), role).toBeLessThan(SAMPLING);
    }
    expect(Object.keys(effects.blocks).sort()).toEqual(Object.keys(golden.blocks).sort());
    for (const [block, sources] of Object.entries(golden.blocks)) {
      const measured = effects.blocks[block]?.sources ?? {};
      expect(Object.keys(measured).sort()).toEqual(Object.keys(sources).sort());
      for (const [role, relative] of Object.entries(sources))
        expect(Math.abs((measured[role as 'lcm'] as number) / relative - 1), `${role} in ${block}`).toBeLessThan(
          SAMPLING,
        );
    }
    expect(Math.abs(effects.unchanged / golden.unchanged - 1)).toBeLessThan(SAMPLING);
    expect(effects.pairs).toEqual([
      { a: 'personalized[0]', b: 'lcm', cosine: expect.any(Number), opposed: expect.any(Number) },
    ]);
    expect(Math.abs((effects.pairs[0]?.cosine ?? 1) - golden.pair.cosine)).toBeLessThan(0.01);
    expect(Math.abs((effects.pairs[0]?.opposed ?? 1) - golden.pair.opposed)).toBeLessThan(0.01);
  });

  it('stand in the order of the blocks and of the recipe', () => {
    const names = Object.keys(effects.blocks);
    expect(names).toHaveLength(25);
    expect(names.slice(0, 2)).toEqual(['IN01', 'IN02']);
    expect(names.slice(-2)).toEqual(['OUT11', 'BASE']);
    expect(Object.keys(effects.sources)).toEqual(['personalized[0]', 'lcm']);
  });
});

describe('createEffectsMeter', () => {
  const f32 = (values: readonly number[], shape: readonly number[]) =>
    ({ bytes: new Uint8Array(Float32Array.from(values).buffer), dtype: 'F32', shape }) as const;
  const tensor = { name: 'conv_in.weight', component: 'unet', shape: [2, 2] } as unknown as PlannedTensor;
  const change = (of: 'lcm' | 'personalized[0]', values: readonly number[]) => ({
    term: { kind: 'full', of, operands: {}, scale: 1 } as const,
    operands: { difference: f32(values, [2, 2]) },
  });
  const merge = (...terms: ReturnType<typeof change>[]): Merge => ({
    weight: f32([3, 0, 0, 4], [2, 2]),
    shape: [2, 2],
    gain: 1,
    terms,
    transposed: false,
  });

  async function measure(...merges: Merge[]): Promise<Effects> {
    await using meter = await createEffectsMeter('fp16', ['personalized[0]', 'lcm']);
    for (const one of merges) await meter.observe(tensor, one, [0, 2]);
    return meter.result();
  }

  it('relates changes to weights, and sources to each other', async () => {
    const effects = await measure(merge(change('personalized[0]', [1, 0, 2, 2]), change('lcm', [1, 1, -2, 0])));
    expect(effects).toEqual({
      sampled: 1,
      unchanged: 0.25, // the third element, from which one takes what the other has given
      sources: { 'personalized[0]': 0.6, lcm: Number((Math.sqrt(6) / 5).toPrecision(3)) },
      blocks: { IN00: { unchanged: 0.25, sources: { 'personalized[0]': 0.6, lcm: 0.49 } } },
      pairs: [{ a: 'personalized[0]', b: 'lcm', cosine: Number((-3 / Math.sqrt(9 * 6)).toPrecision(3)), opposed: 0.5 }],
    });
  });

  it('sees what rounding takes back, and passes over tensors without terms', async () => {
    const effects = await measure(merge(change('lcm', [1e-4, 0, 0, 1])), merge());
    expect(effects).toMatchObject({ unchanged: 0.75, sampled: 1 });
    expect(await measure(merge())).toEqual({ sampled: 0, unchanged: 1, sources: {}, blocks: {}, pairs: [] });
  });
});

describe('effectWarnings', () => {
  const warn = (relative: number) =>
    effectWarnings({ sources: { lcm: relative } }, [{ role: 'lcm', path: '/somewhere/a.pt' }]);

  it.each([
    [0, /^lcm \(a\.pt\) changes nothing: every change it makes is zero/],
    [1e-4, /^lcm \(a\.pt\) changes weights by 0\.0001 of their size, which fp16 rounds away/],
    [3.5, /^lcm \(a\.pt\) changes weights by 3\.5 times their own size\..*alpha\/rank and raw differ/],
  ])('speaks of %d', (relative, message) => {
    expect(warn(relative)).toEqual([expect.stringMatching(message)]);
  });

  it('is silent about a style', () => {
    expect(warn(0.1)).toEqual([]);
  });
});

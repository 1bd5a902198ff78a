import { describe, expect, it } from 'vitest';
import { plan } from '../../src/merge/plan.ts';
import { blockStrengths } from '../../src/merge/strengths.ts';
import { type Section, tinyRecipe } from '../helpers/tiny.ts';

const of = async (changes: Readonly<Record<string, Section>>) => blockStrengths(await plan(tinyRecipe(changes)));

describe('blockStrengths', () => {
  it('is the source’s own strength where the recipe weighs no blocks', async () => {
    const strengths = await of({ personalized: [{ lora: 'ink.safetensors', alpha: 0.8, text_encoder: 0.25 }] });
    const ink = Object.entries(strengths['personalized[0]'] ?? {});
    expect(ink.at(-1)).toEqual(['BASE', [0.25, 0.25]]);
    for (const [, range] of ink.slice(0, -1)) expect(range).toEqual([0.8, 0.8]);
    // ink changes blocks with attention only
    expect(ink.map(([block]) => block)).toEqual(
      [1, 2, 4, 5, 7, 8]
        .map((n) => `IN0${n}`)
        .concat(
          'M00',
          [3, 4, 5, 6, 7, 8, 9].map((n) => `OUT0${n}`),
          'OUT10',
          'OUT11',
          'BASE',
        ),
    );
    expect(Object.keys(strengths.lcm ?? {})).toHaveLength(24);
    expect(strengths.motion?.['M00']).toEqual([1, 1]);
  });

  it('has the least and the greatest where paths or patterns part a block', async () => {
    const strengths = await of({
      lcm: { blocks: { IN08: 0.25, '*.attn2.*': 0.5 } },
      motion: { gamma: 2, blocks: { IN: 0.5 } },
    });
    expect(strengths.lcm?.['IN08']).toEqual([0.25, 0.5]);
    expect(strengths.lcm?.['IN03']).toEqual([1, 1]);
    expect(strengths.motion?.['IN01']).toEqual([1, 1]);
    expect(strengths.motion?.['OUT01']).toEqual([2, 2]);
  });
});

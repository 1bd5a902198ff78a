import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import { applyWeights, parseWeights } from '../../../src/runtime/prompt/weights.ts';
import { openGolden } from '../../helpers/golden.ts';

/** Made by `python test/oracle/prompts.py` with the parser of diffusers' lpw_stable_diffusion. */
const { cases } = await openGolden<{ readonly parsed: readonly (readonly [string, readonly [string, number][]])[] }>(
  'test/golden/prompts.safetensors',
);

describe('parseWeights', () => {
  it.each(cases.parsed)('reads %j as other tools do', (prompt, expected) => {
    const wanted = expected.filter(([text]) => text !== ''); // what has no text has no tokens
    const found = parseWeights(prompt).filter(({ text }) => text !== '');
    expect(found.map(({ text }) => text)).toEqual(wanted.map(([text]) => text));
    for (const [i, { weight }] of found.entries()) expect(weight).toBeCloseTo(wanted[i]?.[1] as number, 12);
  });

  it('takes spaces around a weight, as stable-diffusion-webui does', () => {
    expect(parseWeights('(red : 1.5 )')).toEqual([{ text: 'red ', weight: 1.5 }]);
  });

  it.each(['(red:101)', '(red:-101)', `${'('.repeat(50)}red`, `${'('.repeat(9000)}red`])(
    'refuses the weight of %.20s',
    (prompt) => {
      expect(() => parseWeights(prompt)).toThrow(UsageError);
      expect(() => parseWeights(prompt)).toThrow(/"red" in the prompt has the weight .*; the largest is 100/);
    },
  );

  it('lets pass the largest', () => expect(parseWeights('(red:100)')).toEqual([{ text: 'red', weight: 100 }]));
});

describe('applyWeights', () => {
  const states = { dims: [2, 2], data: Float32Array.of(1, 2, 3, 6) };

  it('keeps the mean of a chunk, so that only ratios count', () => {
    const { data } = applyWeights(states, [1, 3]); // 1, 2, 9, 18 have a mean of 7.5 in place of 3
    expect([...data]).toEqual([0.4, 0.8, 3.6, 7.2].map(Math.fround));
    expect([...applyWeights(states, [2, 6]).data]).toEqual([...data]);
  });

  it('refuses weights that leave nothing', () => {
    expect(() => applyWeights(states, [0, 0])).toThrow(/leave nothing of it/);
  });
});

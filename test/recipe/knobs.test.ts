import { describe, expect, it } from 'vitest';
import { knobAt, knobsOf, withKnob } from '../../src/recipe/knobs.ts';
import { keyName } from '../../src/recipe/located-yaml.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

const TWO = [
  { lora: 'ink.safetensors', alpha: 0.8, blocks: { IN08: 0.5 } },
  { lora: 'other/ink.safetensors', alpha: 0.3, text_encoder: 0.1 },
];

describe('the knobs of a recipe', () => {
  it('are its numbers to taste, with symbol, source, value and usual range', () => {
    const knobs = new Map(knobsOf(tinyRecipe()).map((knob) => [keyName(knob.path), knob]));
    expect(knobs.get('personalized[0].alpha')).toEqual({
      path: ['personalized', 0, 'alpha'],
      symbol: 'α',
      of: 'ink',
      label: 'α ink',
      value: 0.8,
      range: [0, 1.5],
    });
    expect(knobs.get('lcm.beta')).toMatchObject({ label: 'β', value: 1 });
    expect(knobs.get('motion.gamma')).toMatchObject({ label: 'γ', value: 1 });
    expect(knobs.get('sampler.steps')).toMatchObject({ label: 'steps', value: 4, whole: true });
    expect(knobs.get('verify.seed')).toMatchObject({ label: 'seed', value: 0, whole: true });
    expect(knobs.has('output.frames')).toBe(false);
  });

  it('have labels of which no two are the same, also where files are called the same', () => {
    const loras = [{ lora: 'pan.safetensors', alpha: 1 }];
    const labels = knobsOf(tinyRecipe({ personalized: TWO, motion: { loras } })).map(({ label }) => label);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels).toEqual(expect.arrayContaining(['α ink 1', 'α ink 2', 'α IN08 ink 1', 'α motion pan']));
  });

  it('are those that the schema has for each source, and no others', () => {
    const recipe = tinyRecipe({ personalized: [], lcm: undefined });
    expect(knobsOf(recipe).some(({ path }) => path[0] === 'lcm' || path[0] === 'personalized')).toBe(false);
    expect(() => knobAt(recipe, ['lcm', 'beta'])).toThrow(/^lcm\.beta is no knob of tiny\. It has motion\.gamma, /);
    expect(() => knobAt(recipe, ['output', 'frames'])).toThrow('output.frames is no knob');
    expect(() => knobAt(recipe, ['personalized', 0, 'alpha'])).toThrow('is no knob');
  });

  it('of a list of block weights are named by their blocks', () => {
    const blocks = Array.from({ length: 17 }, (_, i) => i / 16);
    const recipe = tinyRecipe({ personalized: [{ lora: 'ink.safetensors', alpha: 1, blocks }] });
    expect(knobAt(recipe, ['personalized', 0, 'blocks', 1])).toMatchObject({
      symbol: 'α IN01',
      of: 'ink',
      value: 1 / 16,
    });
    expect(() => knobAt(recipe, ['personalized', 0, 'blocks', 17])).toThrow('is no knob');
    expect(() => knobAt(recipe, ['personalized', 0, 'blocks', 'IN01'])).toThrow('is no knob');
    expect(withKnob(recipe, ['personalized', 0, 'blocks', 1], 0.25).personalized[0]?.blocks).toEqual(
      blocks.with(1, 0.25),
    );
  });
});

describe('a knob that is turned', () => {
  const recipe = tinyRecipe({ personalized: TWO });

  it('changes that number alone', () => {
    expect(withKnob(recipe, ['lcm', 'beta'], 0.7)).toEqual({ ...recipe, lcm: { ...recipe.lcm, beta: 0.7 } });
    expect(withKnob(recipe, ['personalized', 0, 'blocks', 'OUT'], 0.2).personalized[0]?.blocks).toEqual({
      IN08: 0.5,
      OUT: 0.2,
    });
    expect(recipe.lcm?.beta).toBe(1);
  });

  it('takes the text encoder along where the recipe does not say its strength', () => {
    const [first, second] = [0, 1].map((i) => withKnob(recipe, ['personalized', i, 'alpha'], 0.6).personalized[i]);
    expect(first).toMatchObject({ alpha: 0.6, text_encoder: 0.6 });
    expect(second).toMatchObject({ alpha: 0.6, text_encoder: 0.1 });
  });

  it.each([
    [['sampler', 'steps'], 0, 'sampler.steps cannot be 0. sampler.steps must be at least 1'],
    [['sampler', 'steps'], 2.5, 'sampler.steps cannot be 2.5.'],
    [['sampler', 'steps'], 51, 'must not be greater than sampler.original_steps (50)'],
    [['sampler', 'guidance'], -1, 'sampler.guidance cannot be -1.'],
    [['lcm', 'beta'], Number.NaN, 'lcm.beta cannot be NaN.'],
    [['personalized', 0, 'blocks', 'IN99'], 1, 'Unknown key personalized[0].blocks.IN99. Did you mean "IN09"?'],
    [['lcm', 'blocks', 'BASE'], 1, 'Unknown key lcm.blocks.BASE'],
    [['output', 'width'], 64, 'output.width is no knob of tiny.'],
  ] as const)('%j to %j is refused: %s', (path, value, sentence) => {
    expect(() => withKnob(recipe, path, value)).toThrow(sentence);
  });
});

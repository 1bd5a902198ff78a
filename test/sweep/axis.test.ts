import { describe, expect, it } from 'vitest';
import { clipLabels, defaultAxes, labelAxes, parseKnob, parseKnobPath } from '../../src/sweep/axis.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

const recipe = tinyRecipe();
const two = tinyRecipe({
  personalized: [
    { lora: 'ink.safetensors', alpha: 0.8 },
    { lora: 'wash.safetensors', alpha: 0.2 },
  ],
});

describe('a knob as it is written', () => {
  it.each([
    ['personalized[0].alpha=0.4,0.7,1', ['personalized', 0, 'alpha'], [0.4, 0.7, 1]],
    ['alpha=0.4..1:4', ['personalized', 0, 'alpha'], [0.4, 0.6, 0.8, 1]],
    ['beta=1..0:3', ['lcm', 'beta'], [1, 0.5, 0]],
    ['gamma = 0, 0.5..1:2', ['motion', 'gamma'], [0, 0.5, 1]],
    ['guidance=1', ['sampler', 'guidance'], [1]],
    ['steps=1,2,4', ['sampler', 'steps'], [1, 2, 4]],
    ['seed=0..3:4', ['verify', 'seed'], [0, 1, 2, 3]],
    ['lcm.blocks.IN08=-1,1e-1', ['lcm', 'blocks', 'IN08'], [-1, 0.1]],
    ['lcm.blocks."*.attn2.*"=0,1', ['lcm', 'blocks', '*.attn2.*'], [0, 1]],
  ])('%s', (text, path, values) => {
    expect(parseKnob(text, recipe)).toEqual({ path, values });
  });

  it.each([
    ['alpha', recipe, '"alpha" gives a knob no values. Write them behind it: alpha=0.4,0.7,1'],
    ['', recipe, 'gives a knob no values'],
    ['alpha=', recipe, '"" in "alpha=" is no number.'],
    ['alpha=1,x', recipe, '"x" in "alpha=1,x" is no number.'],
    ['alpha=1,1.0', recipe, '"alpha=1,1.0" has 1 twice.'],
    ['alpha=0..1:1', recipe, 'asks for 1 values between two; 2 to 100'],
    ['alpha=0..1:101', recipe, 'asks for 101 values'],
    ['alpha=0..1:99,2,3', recipe, 'has 101 values; a grid has 100 clips at most'],
    ['alpah=1', recipe, '"alpah" is no knob of tiny. Did you mean alpha?'],
    ['lcm.bta=1', recipe, 'Did you mean lcm.beta?'],
    ['output.frames=8', recipe, 'is no knob of tiny. It has personalized[0].alpha, '],
    [
      'alpha=1',
      two,
      'tiny has 2 sources with alpha: say which. personalized[0].alpha (ink), personalized[1].alpha (wash).',
    ],
    ['beta=1', tinyRecipe({ lcm: undefined }), 'tiny has no beta: it has no source'],
  ])('%j is refused', (text, of, sentence) => {
    expect(() => parseKnob(text, of)).toThrow(sentence);
  });

  it('may be a path alone where no values are wanted', () => {
    expect(parseKnobPath(' beta ', recipe)).toEqual(['lcm', 'beta']);
  });
});

describe('the grid where nothing is said', () => {
  it('is three values of the first two strengths, around those of the recipe', () => {
    expect(defaultAxes(recipe)).toEqual([
      { path: ['personalized', 0, 'alpha'], values: [0.4, 0.8, 1.2] },
      { path: ['lcm', 'beta'], values: [0.7, 1, 1.3] },
    ]);
  });

  it('has what strengths there are, and none below nothing', () => {
    const bare = tinyRecipe({ personalized: [], lcm: undefined, motion: { gamma: 0.1 } });
    expect(defaultAxes(bare)).toEqual([{ path: ['motion', 'gamma'], values: [0.1, 0.4, 0.7] }]);
    const negative = tinyRecipe({ personalized: [], lcm: undefined, motion: { gamma: -1 } });
    expect(defaultAxes(negative)[0].values).toEqual([-1.3, -1, -0.7]);
  });
});

describe('the clips of a grid', () => {
  const labels = (of: typeof recipe, ...knobs: readonly string[]) => {
    const [x, y] = knobs.map((text) => parseKnob(text, of));
    return clipLabels(...labelAxes(of, x as NonNullable<typeof x>, y));
  };
  it('are called by their values, row by row', () => {
    expect(labels(recipe, 'alpha=0.4,1')).toEqual(['α 0.4', 'α 1']);
    expect(labels(recipe, 'alpha=0.4,1', 'beta=0,1')).toEqual(['α 0.4  β 0', 'α 1  β 0', 'α 0.4  β 1', 'α 1  β 1']);
  });
  it('are called by their sources as well where the symbols are the same', () => {
    expect(labels(two, 'personalized[0].alpha=0', 'personalized[1].alpha=1')).toEqual(['α ink 0  α wash 1']);
  });
});

import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import { interpolateStates, keyframesOf, parsePromptTravel } from '../../../src/runtime/prompt/travel.ts';

describe('parsePromptTravel', () => {
  it('reads keyframes in any order, with commas of their own', () => {
    expect(parsePromptTravel('8: a blue square, large, 0: a red circle')).toEqual([
      { frame: 0, prompt: 'a red circle' },
      { frame: 8, prompt: 'a blue square, large' },
    ]);
    expect(parsePromptTravel('0: a; 4 : b\n 9:\nc')).toEqual([
      { frame: 0, prompt: 'a' },
      { frame: 4, prompt: 'b' },
      { frame: 9, prompt: 'c' },
    ]);
  });

  it('leaves a colon that is meant, and numbers without one', () => {
    expect(parsePromptTravel('0: wide, 16\\:9, 12 birds, (red:1.2), 4: b')).toEqual([
      { frame: 0, prompt: 'wide, 16:9, 12 birds, (red:1.2)' },
      { frame: 4, prompt: 'b' },
    ]);
  });

  it.each([
    ['', /does not begin with a keyframe/],
    [
      'a red circle, 8: a blue square',
      /"a red circle, 8: a blue square" does not begin with a keyframe\. Write a frame/,
    ],
    ['0: a, 0: b', /Frame 0 has more than one prompt/],
  ])('refuses %j', (text, reason) => {
    expect(() => parsePromptTravel(text)).toThrow(UsageError);
    expect(() => parsePromptTravel(text)).toThrow(reason);
  });
});

describe('keyframesOf', () => {
  it('makes a text a keyframe and puts others in order', () => {
    expect(keyframesOf('a', 1)).toEqual([{ frame: 0, prompt: 'a' }]);
    const [a, b] = [
      { frame: 2, prompt: 'a' },
      { frame: 0, prompt: 'b' },
    ];
    expect(keyframesOf([a, b], 3)).toEqual([b, a]);
  });

  it.each([
    [[{ frame: 3, prompt: 'a' }], /"a" is for frame 3, but the clip has frames 0 to 2/],
    [[{ frame: -1, prompt: 'a' }], /frame -1/],
    [[{ frame: 0.5, prompt: 'a' }], /frame 0\.5/],
    [[], /needs at least one keyframe/],
  ])('refuses %j', (keyframes, reason) => {
    expect(() => keyframesOf(keyframes, 3)).toThrow(UsageError);
    expect(() => keyframesOf(keyframes, 3)).toThrow(reason);
  });
});

describe('interpolateStates', () => {
  const at = (frame: number, ...values: number[]) => ({
    frame,
    states: { dims: [1, 2], data: Float32Array.from(values) },
  });

  it('holds the first before, the last behind, and goes straight between', () => {
    const { dims, data } = interpolateStates([at(1, 0, 8), at(3, 4, 8), at(4, 0, 0)], 6);
    expect(dims).toEqual([6, 1, 2]);
    expect([...data]).toEqual([0, 8, 0, 8, 2, 8, 4, 8, 0, 0, 0, 0]);
  });
});

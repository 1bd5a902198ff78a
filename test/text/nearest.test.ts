import { describe, expect, it } from 'vitest';
import { nearest } from '../../src/text/nearest.ts';

describe('nearest', () => {
  const keys = ['lora', 'alpha', 'scale', 'text_encoder', 'beta', 'blocks'];

  it.each([
    ['betta', 'beta'], // one letter too many
    ['alhpa', 'alpha'], // two neighbours swapped
    ['aplha', 'alpha'],
    ['scal', 'scale'], // one letter too few
    ['Alpha', 'alpha'], // case does not count
    ['textencodr', 'text_encoder'], // two of ten
    ['text', 'text_encoder'], // a beginning
  ])('%s → %s', (name, expected) => {
    expect(nearest(name, keys)).toBe(expected);
  });

  it.each(['strength', 'bleat', 'lo', 'b', ''])('finds nothing near %j', (name) => {
    expect(nearest(name, keys)).toBeUndefined();
  });

  it('prefers fewer mistakes, then the longer shared beginning, then the first', () => {
    expect(nearest('IN08x', ['IN8', 'IN08'])).toBe('IN08');
    expect(nearest('IN12', ['IN02', 'IN10', 'IN11'])).toBe('IN10');
    expect(nearest('ab', ['ax', 'ay'])).toBe('ax');
  });

  it('gives the same name back when it is known', () => {
    expect(nearest('beta', ['betas', 'beta'])).toBe('beta');
  });

  it('does not measure names longer than any file name', () => {
    expect(nearest('a'.repeat(256), ['a'.repeat(255)])).toBe('a'.repeat(255));
    expect(nearest('a'.repeat(257), ['a'.repeat(256)])).toBeUndefined();
    expect(nearest('a'.repeat(256), ['a'.repeat(257)])).toBeUndefined();
  });
});

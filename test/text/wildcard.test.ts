import { describe, expect, it } from 'vitest';
import { isPattern, matchesPattern } from '../../src/text/wildcard.ts';

describe('matchesPattern', () => {
  it.each([
    ['*', ''],
    ['*', 'a.b'],
    ['a.*.c', 'a.b.b.c'],
    ['a?c', 'a.c'],
    ['*ab', 'aab'],
    ['*.attn2.*', 'x.attn2.to_k.weight'],
    ['a**b', 'a.b'],
    ['abc', 'abc'],
  ])('%s describes %s', (pattern, name) => {
    expect(matchesPattern(name, pattern)).toBe(true);
  });

  it.each([
    ['', 'a'],
    ['?', ''],
    ['a.*.c', 'a.c'],
    ['a*', 'ba'],
    ['*a', 'ab'],
    ['a.c', 'abc'],
    ['[ab]*', 'a'],
    ['*.attn2.*', 'attn2.to_k'],
  ])('%s does not describe %s', (pattern, name) => {
    expect(matchesPattern(name, pattern)).toBe(false);
  });

  it('ends soon, however many stars there are', () => {
    expect(matchesPattern('a'.repeat(200), `${'*a'.repeat(99)}*b`)).toBe(false);
  });

  it('is asked for by a star or a question mark', () => {
    expect(['a*', '?', 'a.b', 'IN08', ''].map(isPattern)).toEqual([true, true, false, false, false]);
  });
});

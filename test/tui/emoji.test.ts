import { describe, expect, it } from 'vitest';
import { plainEmoji } from '../../src/tui/emoji.ts';

describe('plainEmoji', () => {
  it.each([
    ['a picture asked for', 'ink \u{1f58c}\ufe0f and \u2764\ufe0f', 'ink \u{1f58c} and \u2764'],
    ['a skin', '\u{1f44d}\u{1f3fd}!', '\u{1f44d}!'],
    ['a flag', '\u{1f1ef}\u{1f1f5}', 'JP'],
    ['a key', '1\ufe0f\u20e3', '1'],
    ['what all agree on', '漢字 \u{1f3a8} e\u0301 ✓', '漢字 \u{1f3a8} e\u0301 ✓'],
  ])('%s', (_, text, plain) => {
    expect(plainEmoji(text)).toBe(plain);
  });
});

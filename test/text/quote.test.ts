import { describe, expect, it } from 'vitest';
import { printable, quote } from '../../src/text/quote.ts';

describe('quote', () => {
  it('shows plain text in quotes', () => {
    expect(quote('ink.safetensors')).toBe('"ink.safetensors"');
    expect(quote('スタイル "x"')).toBe('"スタイル \\"x\\""');
  });

  it('leaves nothing that a terminal obeys or that breaks the line', () => {
    // ESC, line feed, C1 CSI, right-to-left override, line separator
    expect(quote('\x1b[31m\n\x9b1m\u202e\u2028')).toBe('"\\u001b[31m\\n\\u009b1m\\u202e\\u2028"');
  });

  it('shortens long text', () => {
    expect(quote('a'.repeat(80))).toBe(`"${'a'.repeat(80)}"`);
    expect(quote('a'.repeat(81))).toBe(`"${'a'.repeat(80)}…"`);
    expect(quote('abcdef', 3)).toBe('"abc…"');
  });
});

describe('printable', () => {
  it('is the same without quotes', () => {
    expect(printable('a "b" \\ \n\x1b')).toBe('a "b" \\ \\u000a\\u001b');
    expect(printable('abcdef', 3)).toBe('abc…');
  });
});

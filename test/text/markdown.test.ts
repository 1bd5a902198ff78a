import { describe, expect, it } from 'vitest';
import { codeString, shellWord } from '../../src/text/code-words.ts';
import { fenced, markdownLink, markdownTable, markdownText } from '../../src/text/markdown.ts';

/** What somebody may write where a name or a prompt is asked for. */
const HOSTILE = [
  '](javascript:alert(1))',
  '[x](https://evil.example "t")',
  '![x](//evil.example/x.png)',
  '[personalized[0]](evil)',
  '[0]: https://evil.example',
  '[0](evil)',
  '`code` ``more``',
  '*a* _b_ __c__ ~~d~~',
  '| cell | cell',
  '<script>alert(1)</script><img src=x onerror=alert(2)>',
  '&lt;b&gt; &amp; &#60;',
  'a\n---\n# heading\r\n\n> quote',
  '- item',
  '---',
  '\\',
  '\\`\\*',
  '$$\\alpha$$ \\\\(x\\\\)',
  'https://evil.example www.evil.example me@evil.example @someone #1',
  '\u202e\u0007\u2028',
];

/** As a browser reads references, which cannot become markup. */
const decoded = (text: string) => text.replaceAll(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));

describe('text in Markdown', () => {
  it.each(HOSTILE)('%j is nothing but text', (text) => {
    const written = markdownText(text);
    // beside references: letters, digits, spaces, and punctuation that means nothing where it stands; an index is no link
    expect(written.replaceAll(/&#\d+;/g, '').replaceAll(/\[\d+\](?![([:])/g, '')).toMatch(
      /^(?:[\p{L}\p{N} .,;?/%]|(?<=[A-Za-z0-9])[_-](?=[A-Za-z0-9])|(?<=[A-Za-z0-9])-)*$/u,
    );
    expect(written).not.toMatch(/www\./);
    expect(decoded(written)).toBe(text.replaceAll(/\s+/g, ' ').trim().replace('\u202e\u0007', '\\u202e\\u0007'));
  });

  it('leaves names as they are', () => {
    for (const name of [
      'ink.safetensors',
      'base/unet/diffusion_pytorch_model.safetensors',
      'personalized[0] changes 4.6 %',
    ])
      expect(markdownText(name)).toBe(name);
  });

  it('links to addresses of the web alone', () => {
    expect(markdownLink('a|b', 'https://x.example/a_(b)?c=d|e')).toBe(
      '[a&#124;b](<https://x.example/a%5F(b)?c=d%7Ce>)',
    );
    for (const address of ['javascript:alert(1)', 'data:text/html,x', '//evil.example', 'x', ''])
      expect(markdownLink('name', address)).toBe('name');
    expect(markdownLink('x', 'https://x.example/> [y](z)\n|')).toMatch(
      /^\[x\]\(<https:\/\/x\.example\/[^<>|`[\]\s]*>\)$/,
    );
  });

  it('fences code by more backticks than it has', () => {
    expect(fenced('a\n````\nb\n', 'sh')).toBe('`````sh\na\n````\nb\n`````');
    expect(markdownTable(['a', 'b'], [['1', '2']])).toBe('| a | b |\n|---|---|\n| 1 | 2 |');
  });
});

describe('text in programs', () => {
  it.each([...HOSTILE, 'it\'s "so" $5 `now`', 'é 日本 🙂'])('%j is one string and one word', (text) => {
    const written = codeString(text);
    expect(JSON.parse(written)).toBe(text);
    expect(written).not.toMatch(/[\p{Cc}\p{Cf}\u2028]/u);
    const word = shellWord(text);
    expect(word).not.toMatch(/[\p{Cc}\p{Cf}\u2028]/u);
    expect(word.replaceAll("'\\''", '')).toMatch(/^'[^']*'$/);
  });
});

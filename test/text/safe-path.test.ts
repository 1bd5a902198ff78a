import { describe, expect, it } from 'vitest';
import { wrongPath, wrongPaths } from '../../src/text/safe-path.ts';

describe('a path from elsewhere', () => {
  it.each(['README.md', 'unet/model.onnx_data_1', 'Größe/模型 (v1).json', '.hidden/…', 'console/com.txt', '...a'])(
    'may be %j',
    (path) => expect(wrongPath(path)).toBeUndefined(),
  );

  it.each([
    ['', 'an empty part'],
    ['/etc/passwd', 'an empty part'],
    ['a//b', 'an empty part'],
    ['a/', 'an empty part'],
    ['../a', '".."'],
    ['a/../../b', '".."'],
    ['a/.', '"."'],
    ['C:x', 'Windows has no place for'],
    ['a/b?', 'Windows has no place for'],
    ['C:\\x', 'backslash'],
    ['..%2fx', 'encoded'],
    ['a\u0000b', 'unprintable'],
    ['a\u202eb', 'unprintable'],
    ['a\ud800', 'unprintable'],
    ['a.', 'ends with a dot'],
    ['a /b', 'ends with a dot or a blank'],
    ['nul', 'device on Windows'],
    ['unet/CON.json', 'device on Windows'],
    ['com¹', 'device on Windows'],
    ['é'.repeat(128), '255 bytes'],
    ['abcdefg/'.repeat(140), '1024 bytes'],
  ])('must not be %j', (path, reason) => {
    expect(wrongPath(path)).toContain(reason);
    expect(wrongPaths(['a', path])).toContain(reason);
  });
});

describe('paths of one folder', () => {
  it('may have each name once', () => {
    expect(wrongPaths(['a', 'b/a', 'b/c/a', 'b/d'])).toBeUndefined();
    expect(wrongPaths([])).toBeUndefined();
  });

  it.each([
    [['a/B', 'A/b'], 'holds "a/B" and "A/b", which some systems take for one file'],
    [['\u00e9', 'e\u0301'], 'take for one file'],
    [['x', 'x'], 'holds "x" and "x"'],
    [['a', 'a/b'], 'holds "a" as a file and as a folder at once'],
    [['a/b/c', 'A'], 'as a file and as a folder at once'],
    [['a/b', 'A/c'], 'holds "a" and "A", which some systems take for one folder'],
  ])('must not be %j', (paths, reason) => {
    expect(wrongPaths(paths)).toContain(reason);
  });

  it('are looked at quickly, however many', () => {
    const paths = Array.from({ length: 200_000 }, (_, i) => `a/b/c/${i}`);
    const before = performance.now();
    expect(wrongPaths([...paths, 'A/b/c/0'])).toContain('one file');
    expect(performance.now() - before).toBeLessThan(10_000); // each against each would take minutes
  });
});

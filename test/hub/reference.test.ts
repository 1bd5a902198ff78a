import { describe, expect, it } from 'vitest';
import { isCommit, isReference, parseReference, printReference } from '../../src/hub/reference.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';

describe('a reference', () => {
  it.each([
    ['hf://owner/repo', 'owner/repo', '', 'main'],
    ['hf://owner/repo@v1.0', 'owner/repo', '', 'v1.0'],
    [`hf://o/r/a/b c.safetensors@${COMMIT}`, 'o/r', 'a/b c.safetensors', COMMIT],
    ['hf://o/r@refs/pr/7', 'o/r', '', 'refs/pr/7'],
    ['hf://o/r/x.ckpt@feature/x', 'o/r', 'x.ckpt', 'feature/x'],
    ['hf://o/r/a@b.safetensors@main', 'o/r', 'a@b.safetensors', 'main'],
    ['hf://o/r/100%.bin', 'o/r', '100%.bin', 'main'],
  ])('%s', (text, repo, path, revision) => {
    expect(isReference(text)).toBe(true);
    expect(parseReference(text)).toEqual({ repo, path, revision });
    expect(parseReference(printReference({ repo, path }, revision))).toEqual({ repo, path, revision });
  });

  it.each([
    ['hf://', 'does not name a repository by its owner and its name'],
    ['hf://owner', 'does not name a repository by its owner and its name'],
    ['hf://owner/', 'does not name a repository by its owner and its name'],
    ['hf:///repo', 'does not name a repository by its owner and its name'],
    ['HF://o/r', 'must begin with hf:// in small letters'],
    ['hf://datasets/o/r', 'names a data set; only model repositories are read'],
    ['hf://spaces/o/r', 'names a Space; only model repositories are read'],
    ['hf://../etc/passwd', 'has "..", which is no name on the Hub'],
    ['hf://o/r--x/f', 'has "r--x", which is no name on the Hub'],
    ['hf://o?x=1/r', 'has "o?x=1", which is no name on the Hub'],
    ['hf://o/r/../x', 'has ".." in its path'],
    ['hf://o/r/a/./x', 'has "." in its path'],
    ['hf://o/r//x', 'has an empty part between slashes or at its end'],
    ['hf://o/r/x/', 'has an empty part between slashes or at its end'],
    ['hf://o/r/..%2f..%2fx', 'has "..%2f..%2fx" in its path, with a backslash or an encoded character'],
    ['hf://o/r/%2E%2e/x', 'has "%2E%2e" in its path, with a backslash or an encoded character'],
    ['hf://o/r/a\\b', 'has "a\\\\b" in its path, with a backslash or an encoded character'],
    ['hf://o/r/a\u001bb', 'has "a\\u001bb" in its path, with an unprintable character'],
    [`hf://o/r/${'é'.repeat(128)}`, 'has a name of more than 255 bytes in its path'],
    [`hf://o/r/${'abcdefg/'.repeat(140)}x`, 'has a path of more than 1024 bytes'],
    ['hf://o/r@', 'has an "@" with no revision behind it'],
    ['hf://o/r@..', 'has the revision "..", which cannot be one'],
    ['hf://o/r@a b', 'has the revision "a b", which cannot be one'],
    ['hf://o/r@-x', 'has the revision "-x", which cannot be one'],
    ['hf://o/r@main/unet/x.safetensors', 'has its path behind the revision; write hf://o/r/unet/x.safetensors@main'],
  ])('%j is refused', (text, reason) => {
    const parsed = parseReference(text);
    expect('fault' in parsed && parsed.fault).toContain(` ${reason}. A reference to the Hub is hf://owner/repo`);
  });

  it('other text is none', () => {
    expect(['models/x', 'oci://h/r', 'https://h/hf://', ' hf://o/r'].filter(isReference)).toEqual([]);
  });

  it('a commit is 40 hexadecimal digits in small letters', () => {
    expect([COMMIT, COMMIT.toUpperCase(), COMMIT.slice(1), 'main'].map(isCommit)).toEqual([true, false, false, false]);
  });
});

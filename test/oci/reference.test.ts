import { describe, expect, it } from 'vitest';
import { endpointOf, isOciReference, parseOciReference, printOciReference } from '../../src/oci/reference.ts';

const HEX = 'a'.repeat(64);

describe('a reference to a registry', () => {
  it.each([
    ['oci://ghcr.io/ann/ink', { registry: 'ghcr.io', repository: 'ann/ink', tag: 'latest', digest: undefined }],
    [
      'oci://localhost:5000/ink:v1.2',
      { registry: 'localhost:5000', repository: 'ink', tag: 'v1.2', digest: undefined },
    ],
    [
      `oci://[::1]:5000/a/b/c@sha256:${HEX}`,
      { registry: '[::1]:5000', repository: 'a/b/c', tag: undefined, digest: `sha256:${HEX}` },
    ],
    [
      `oci://r.example/a:b@sha256:${HEX}`,
      { registry: 'r.example', repository: 'a', tag: 'b', digest: `sha256:${HEX}` },
    ],
  ])('%s is read and written', (text, parts) => {
    expect(isOciReference(text)).toBe(true);
    const reference = parseOciReference(text);
    expect(reference).toEqual(parts);
    if ('fault' in reference) throw new Error(reference.fault);
    expect(parseOciReference(printOciReference(reference))).toEqual(reference);
  });

  it.each([
    ['OCI://ghcr.io/a', 'small letters'],
    ['oci://ghcr.io', 'registry and a repository'],
    ['oci:///a', 'registry is expected'],
    ['oci://ghcr.io/Ann/ink', 'name is expected'],
    ['oci://ghcr.io/../ink', 'name is expected'],
    ['oci://ghcr.io/a/./b', 'name is expected'],
    ['oci://user:pass@ghcr.io/a', 'holds no user'],
    ['oci://ghcr.io/a:b/c', 'tag'],
    ['oci://ghcr.io/a@sha256:12', 'hexadecimal'],
    ['oci://ghcr.io/a@md5:12@x', 'registry and a repository'],
    ['oci://gh cr.io/a', 'registry is expected'],
    [`oci://ghcr.io/${'a'.repeat(300)}`, 'name is expected'],
  ])('%s is none, and why', (text, reason) => {
    expect(parseOciReference(text)).toEqual({ fault: expect.stringContaining(reason) });
  });

  it('never repeats a password', () => {
    expect(JSON.stringify(parseOciReference('oci://ann:secret@ghcr.io/a'))).not.toContain('secret');
  });

  it('is spoken to over https, but for this machine', () => {
    expect(endpointOf({ registry: 'ghcr.io' })).toBe('https://ghcr.io');
    expect(endpointOf({ registry: 'localhost.example:80' })).toBe('https://localhost.example:80');
    expect(endpointOf({ registry: '127.0.0.1:5000' })).toBe('http://127.0.0.1:5000');
  });
});

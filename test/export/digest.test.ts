import { execFileSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { IoError } from '../../src/errors.ts';
import { digestBytes, digestFile, digestInBackground } from '../../src/export/digest.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

describe('digestFile', () => {
  it('is SHA-256, also over several reads and over nothing', async () => {
    const folder = await temporaryFolder();
    const large = new Uint8Array((1 << 20) + 7).fill(1);
    for (const [name, data, sha256] of [
      // `printf '' | sha256sum`, `printf abc | sha256sum`
      ['empty', new Uint8Array(), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
      ['abc', Buffer.from('abc'), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
      ['large', large, digestBytes(large).sha256],
    ] as const) {
      await writeFile(join(folder, name), data);
      expect(await digestFile(join(folder, name))).toEqual({ sha256, bytes: data.length });
    }
  });

  it('does not wait for a pipe, and stops when it is told to', async () => {
    const pipe = join(await temporaryFolder(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(digestFile(pipe)).rejects.toThrow(`${pipe}: not a regular file but a device, pipe or socket`);
    await rm(pipe);
    await writeFile(pipe, 'x');
    await expect(digestFile(pipe, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop');
  });
});

describe('digestInBackground', () => {
  it('names a file that went away, as an error of reading', async () => {
    const gone = join(await temporaryFolder(), 'gone');
    await using digesting = digestInBackground(['package.json', gone]);
    await expect(digesting.digests).rejects.toThrow(IoError);
    await expect(digesting.digests).rejects.toThrow(`can no longer be hashed. ${gone}: there is no such file`);
  });
});

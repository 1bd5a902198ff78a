import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ioError, openFile, readSmallFile, writingTo } from '../../src/formats/byte-source.ts';
import { errorOf, source } from './build.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'byte-source-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('openFile', () => {
  it('reads ranges, each into memory of its own', async () => {
    const path = join(folder, 'ten');
    await writeFile(
      path,
      Uint8Array.from({ length: 10 }, (_, i) => i),
    );
    await using file = await openFile(path);
    expect(file.size).toBe(10);
    const range = await file.read(3, 4);
    expect([...range]).toEqual([3, 4, 5, 6]);
    range.fill(0);
    expect([...(await file.read(0, 10))]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await file.read(10, 0)).toHaveLength(0);
  });

  it('reads into memory that it is given', async () => {
    const path = join(folder, 'given');
    await writeFile(path, new Uint8Array([1, 2, 3, 4]));
    await using file = await openFile(path);
    const memory = new Uint8Array(8);
    const into = memory.subarray(2, 5);
    expect(await file.read(1, 3, into)).toBe(into);
    expect([...memory]).toEqual([0, 0, 2, 3, 4, 0, 0, 0]);
    expect(await source(memory).read(2, 3, into)).toBe(into);
  });

  it('knows whether the file is still the one that was opened', async () => {
    const path = join(folder, 'watched');
    await writeFile(path, 'content');
    await using file = await openFile(path);
    await file.assertUnchanged();
    await writeFile(path, 'CONTENT');
    expect((await errorOf(file.assertUnchanged())).message).toContain(
      'watched: it was changed while it was being read',
    );
    await rm(path);
    const error = await errorOf(file.assertUnchanged());
    expect([error.name, error.message]).toEqual(['IoError', expect.stringContaining('it was moved or removed while')]);
  });

  it('says where it looked for a missing file', async () => {
    const error = await errorOf(openFile('no/such/file.ckpt'));
    expect(error.name).toBe('InputMissingError');
    expect(error.message).toContain(resolve('no/such/file.ckpt'));
    expect((await errorOf(openFile('package.json/inside'))).name).toBe('InputMissingError');
  });

  it.each([
    ['.', 'FormatError', 'a folder'],
    ['/dev/null', 'FormatError', 'not a regular file'],
    ['x'.repeat(5000), 'IoError', 'the name is too long'],
    ['nul\0', 'IoError', 'cannot open'],
  ])('refuses %j', async (path, name, message) => {
    const error = await errorOf(openFile(path));
    expect(error.name).toBe(name);
    expect(error.message).toContain(message);
  });

  it('notices a file that shrinks while it is open', async () => {
    const path = join(folder, 'shrinking');
    await writeFile(path, new Uint8Array(100));
    await using file = await openFile(path);
    await truncate(path, 40);
    expect(await file.read(0, 40)).toHaveLength(40);
    const error = await errorOf(file.read(30, 20));
    expect(error.name).toBe('IoError');
    expect(error.message).toContain('had 100 bytes when it was opened and now ends at byte 40');
  });
});

describe('readSmallFile', () => {
  it('gives the whole of a file up to its limit, and refuses a larger one unread', async () => {
    const path = join(folder, 'small');
    await writeFile(path, new Uint8Array([1, 2, 3]));
    expect([...(await readSmallFile(path, 3))]).toEqual([1, 2, 3]);
    const error = await errorOf(readSmallFile(path, 2));
    expect(error.name).toBe('FormatError');
    expect(error.message).toBe(
      `${path}: the file has 3 bytes, and one of its kind has at most 2; it is something else.`,
    );
  });

  it('does not wait for a pipe', async () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    expect((await errorOf(readSmallFile(path, 9))).message).toContain(
      'not a regular file but a device, pipe or socket',
    );
  });
});

describe('ioError', () => {
  it('says in English what the system calls by its own names', () => {
    const cause = Object.assign(new Error('EEXIST: file already exists, mkdir'), { code: 'EEXIST' });
    expect(ioError('mkdir', 'p', cause).message).toBe('p: cannot make it: something else stands there.');
    expect(ioError('read', 'p', new Error('no reason known')).message).toBe('p: cannot read it: no reason known.');
  });
});

describe('writingTo', () => {
  it('names the file in an error of the file system, and changes nothing else', async () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
      syscall: 'write',
    });
    const error = await errorOf(writingTo('a/b', Promise.reject(full)));
    expect(error.name).toBe('IoError');
    expect(error.message).toMatch(/^a\/b: cannot write it: no space is left on the device/);
    const other = new Error('stopped');
    await expect(writingTo('a/b', Promise.reject(other))).rejects.toBe(other);
    expect(await writingTo('a/b', Promise.resolve(5))).toBe(5);
  });
});

describe('bytesSource', () => {
  it('gives copies, so that nobody can write through it', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    (await source(bytes).read(0, 3)).fill(9);
    expect([...bytes]).toEqual([1, 2, 3]);
  });

  it.each([
    [2, 2],
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [2 ** 60, 1],
  ])('refuses the range at %d of length %d', async (offset, length) => {
    const error = await errorOf(source(new Uint8Array(3)).read(offset, length));
    expect(error.name).toBe('FormatError');
    expect(error.message).toBe(
      `weights.bin: ${length} bytes were expected at byte ${offset}, but the file has 3 bytes; it is truncated or damaged.`,
    );
  });
});

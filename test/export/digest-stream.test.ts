import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { openStreamDigest } from '../../src/export/digest-stream.ts';

describe('openStreamDigest', () => {
  it('hashes one stream after the other, whatever the pieces', async () => {
    await using digest = openStreamDigest();
    const memory = new Uint8Array(new SharedArrayBuffer(1000));
    for (const i of memory.keys()) memory[i] = i;
    for (const pieces of [[0, 1000], [0, 1, 500, 1000], [0]]) {
      for (const [i, end] of pieces.entries()) if (i > 0) await digest.update(memory.subarray(pieces[i - 1], end));
      const expected = createHash('sha256')
        .update(memory.slice(0, pieces.at(-1)))
        .digest('hex');
      expect(await digest.finish()).toBe(expected);
    }
  });

  it('is done with the bytes when an update has resolved', async () => {
    await using digest = openStreamDigest();
    const memory = new Uint8Array(new SharedArrayBuffer(3));
    for (const letter of 'abc') {
      memory.fill(letter.charCodeAt(0));
      await digest.update(memory.subarray(0, 1));
    }
    // `printf abc | sha256sum`
    expect(await digest.finish()).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });

  it('fails, and does not wait, once its thread has ended', async () => {
    const digest = openStreamDigest();
    const waiting = digest.finish();
    await digest[Symbol.asyncDispose]();
    await expect(waiting).rejects.toThrow('has ended');
    await expect(digest.update(new Uint8Array(1))).rejects.toThrow('has ended');
  });
});

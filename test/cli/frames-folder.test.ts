import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { openFramesFolder } from '../../src/cli/frames-folder.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

describe('openFramesFolder', () => {
  it('shows the folder when it is whole, in the place of an earlier run', async () => {
    const out = join(folder, 'a', 'b');
    for (const [file, content] of [
      ['frame-0000.png', 'old'],
      ['frames.webp', 'new'],
    ] as const) {
      await using frames = await openFramesFolder(out);
      await writeFile(join(frames.path, file), content);
      expect(await frames.commit()).toBe(out);
    }
    expect(await readdir(out)).toEqual(['frames.webp']);
    expect(await readdir(join(folder, 'a'))).toEqual(['b']);
  });

  it('leaves nothing behind without commit, not even the folders it made on the way', async () => {
    await mkdir(join(folder, 'mine'));
    for (const out of ['x', 'x/y/z', 'mine/y/z']) {
      await using frames = await openFramesFolder(join(folder, out));
      await writeFile(join(frames.path, 'frame-0000.png'), '');
    }
    expect(await readdir(folder, { recursive: true })).toEqual(['mine']);
  });

  it('keeps an earlier run until the new one is whole', async () => {
    const out = join(folder, 'out');
    await mkdir(out);
    await writeFile(join(out, 'frame-0000.png'), 'old');
    {
      await using frames = await openFramesFolder(out);
      await writeFile(join(frames.path, 'frame-0000.png'), 'new');
    }
    expect(await readFile(join(out, 'frame-0000.png'), 'utf8')).toBe('old');
  });

  it.each(['frame-1.png', 'frames.webp.txt', 'photo.png', 'model.onnx'])(
    'touches no folder that holds %s',
    async (name) => {
      await writeFile(join(folder, 'frame-0000.png'), '');
      await writeFile(join(folder, name), 'precious');
      await expect(openFramesFolder(folder)).rejects.toMatchObject({
        kind: 'usage',
        message: expect.stringContaining(name),
      });
      expect(await readFile(join(folder, name), 'utf8')).toBe('precious');
      await expect(
        openFramesFolder(folder, name).then((frames) => frames[Symbol.asyncDispose]()),
      ).resolves.toBeUndefined();
    },
  );

  it('refuses a file', async () => {
    const out = join(folder, 'file');
    await writeFile(out, 'precious');
    await expect(openFramesFolder(out)).rejects.toMatchObject({ kind: 'usage' });
  });
});

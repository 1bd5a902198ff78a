import { spawnSync } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { LOCK_FILE } from '../../src/export/lock.ts';
import { openStaging } from '../../src/export/staging.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** A folder that counts as a package of ours. */
async function writePackage(path: string, content: string): Promise<void> {
  await mkdir(join(path, 'unet'), { recursive: true });
  await writeFile(join(path, LOCK_FILE), content);
}

describe('openStaging', () => {
  it('shows the folder only when it is committed', async () => {
    const parent = await temporaryFolder();
    const out = join(parent, 'out');
    await using staging = await openStaging(out);
    await writeFile(join(staging.path, LOCK_FILE), 'new');
    expect(await readdir(parent)).not.toContain('out');
    expect(await staging.commit()).toBe(out);
    expect(await readdir(parent)).toEqual(['out']);
    expect(await readFile(join(out, LOCK_FILE), 'utf8')).toBe('new');
  });

  it('leaves nothing behind without a commit, not even the folders it made', async () => {
    const parent = await temporaryFolder();
    await mkdir(join(parent, 'kept'));
    {
      await using staging = await openStaging(join(parent, 'kept', 'a', 'b', 'out'));
      await writeFile(join(staging.path, 'half'), '');
    }
    expect(await readdir(parent)).toEqual(['kept']);
    expect(await readdir(join(parent, 'kept'))).toEqual([]);
  });

  it('leaves a folder that it made when something else has been put there', async () => {
    const parent = await temporaryFolder();
    {
      await using staging = await openStaging(join(parent, 'a', 'b', 'out'));
      await writeFile(join(staging.path, 'half'), '');
      await writeFile(join(parent, 'a', 'note'), 'mine');
    }
    expect(await readdir(join(parent, 'a'))).toEqual(['note']);
  });

  it('keeps the folder after a commit', async () => {
    const out = join(await temporaryFolder(), 'a', 'out');
    {
      await using staging = await openStaging(out);
      await writeFile(join(staging.path, 'file'), '');
      await staging.commit();
    }
    expect(await readdir(out)).toEqual(['file']);
  });

  it('replaces a package and an empty folder', async () => {
    const parent = await temporaryFolder();
    await writePackage(join(parent, 'package'), 'old');
    await mkdir(join(parent, 'empty'));
    for (const name of ['package', 'empty']) {
      await using staging = await openStaging(join(parent, name));
      expect(await readdir(staging.path)).toEqual([]);
      await writeFile(join(staging.path, LOCK_FILE), 'new');
      if (name === 'package') expect(await readFile(join(parent, name, LOCK_FILE), 'utf8')).toBe('old');
      await staging.commit();
      expect(await readFile(join(parent, name, LOCK_FILE), 'utf8')).toBe('new');
    }
    expect((await readdir(parent)).sort()).toEqual(['empty', 'package']);
  });

  it('replaces what another process has put there in the meantime', async () => {
    const parent = await temporaryFolder();
    const out = join(parent, 'out');
    await writePackage(out, 'old');
    await using staging = await openStaging(out);
    await writeFile(join(staging.path, LOCK_FILE), 'new');
    // what it finds when another one is between its two moves, and when that one has finished
    await rename(out, join(parent, `out.${process.ppid}.replaced`));
    await writePackage(out, 'of another');
    await staging.commit();
    expect(await readFile(join(out, LOCK_FILE), 'utf8')).toBe('new');
    expect((await readdir(parent)).sort()).toEqual(['out', `out.${process.ppid}.replaced`]);
  });

  it('keeps the older package when the new one cannot be moved', async () => {
    const parent = await temporaryFolder();
    const out = join(parent, 'out');
    await writePackage(out, 'old');
    await using staging = await openStaging(out);
    await rm(staging.path, { recursive: true });
    await expect(staging.commit()).rejects.toThrow(/ENOENT/);
    expect(await readFile(join(out, LOCK_FILE), 'utf8')).toBe('old');
    expect(await readdir(parent)).toEqual(['out']);
  });

  it('clears up after killed processes, and after nobody else', async () => {
    const parent = await temporaryFolder();
    const { pid: dead } = spawnSync(process.execPath, ['--version']);
    const others = ['out.partial', `out.${process.ppid}.partial`, 'out.7x.partial', `outer.${dead}.partial`];
    for (const name of [...others, `out.${dead}.partial`]) await mkdir(join(parent, name));
    await writePackage(join(parent, `out.${dead}.replaced`), 'moved aside');
    {
      await using staging = await openStaging(join(parent, 'out'));
      expect(await readdir(staging.path)).toEqual([]);
    }
    expect((await readdir(parent)).sort()).toEqual(['out', ...others].sort());
    expect(await readFile(join(parent, 'out', LOCK_FILE), 'utf8')).toBe('moved aside');
  });

  it('moves the folder elsewhere when it is told to', async () => {
    const parent = await temporaryFolder();
    await using staging = await openStaging(join(parent, 'out'));
    await writeFile(join(staging.path, 'file'), '');
    expect(await staging.commit(join(parent, 'failed'))).toBe(join(parent, 'failed'));
    expect(await readdir(parent)).toEqual(['failed']);
  });

  it('refuses what is no package, before and at the commit, and touches nothing', async () => {
    const parent = await temporaryFolder();
    await mkdir(join(parent, 'photos'));
    await writeFile(join(parent, 'photos', 'cat.png'), 'cat');
    const opening = openStaging(join(parent, 'photos'));
    await expect(opening).rejects.toThrow(UsageError);
    await expect(opening).rejects.toThrow(
      /photos is not empty and not a package of lcm-merge \(it has no lcm-merge\.lock\.json\)/,
    );
    expect(await readdir(parent)).toEqual(['photos']);

    await using staging = await openStaging(join(parent, 'out'));
    await mkdir(join(parent, 'out'));
    await writeFile(join(parent, 'out', 'came-later'), '');
    await expect(staging.commit()).rejects.toThrow(UsageError);
    expect(await readdir(join(parent, 'out'))).toEqual(['came-later']);
  });

  it('follows a link to a folder, and refuses one that leads nowhere', async () => {
    const parent = await temporaryFolder();
    await mkdir(join(parent, 'disk', 'packages'), { recursive: true });
    await symlink(join(parent, 'disk', 'packages'), join(parent, 'out'));
    await symlink(join(parent, 'gone'), join(parent, 'dangling'));
    {
      await using staging = await openStaging(join(parent, 'out'));
      await writeFile(join(staging.path, LOCK_FILE), '{}');
      expect(await staging.commit()).toBe(await realpath(join(parent, 'disk', 'packages')));
    }
    expect((await lstat(join(parent, 'out'))).isSymbolicLink()).toBe(true);
    expect(await readdir(join(parent, 'out'))).toEqual([LOCK_FILE]);
    await expect(openStaging(join(parent, 'dangling'))).rejects.toThrow(/is a symbolic link that leads nowhere/);
    expect((await readdir(parent)).sort()).toEqual(['dangling', 'disk', 'out']);
  });

  it('leaves no parents when the folder itself cannot be made', async () => {
    const parent = await temporaryFolder();
    await expect(openStaging(join(parent, 'deep', 'x'.repeat(250)))).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    await expect(openStaging(join(parent, 'a', 'x'.repeat(300), 'b'))).rejects.toThrow();
    expect(await readdir(parent)).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('gives up where no folder can be made', async () => {
    await expect(openStaging('/proc/nowhere/package')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'mkdir' });
  });

  it('refuses a file, and a path through a file', async () => {
    const parent = await temporaryFolder();
    await writeFile(join(parent, 'file'), 'mine');
    for (const out of [join(parent, 'file'), join(parent, 'file', 'out')]) {
      await expect(openStaging(out)).rejects.toThrow(/cannot be a folder: a part of its path is a file/);
    }
    expect(await readFile(join(parent, 'file'), 'utf8')).toBe('mine');
  });
});

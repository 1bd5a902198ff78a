/** Packages and targets that are not what they look like: links, pipes, names that nobody can fetch, and what changes while it is published. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { PublishError, UsageError } from '../../src/errors.ts';
import { drain } from '../../src/events.ts';
import { openChecked } from '../../src/hub/content.ts';
import { publish } from '../../src/publish/publish.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { makeVerified } from './handmade.ts';

let folder: string;
let to: string;

beforeEach(async () => {
  folder = await makeVerified(join(await temporaryFolder(), 'ink'), { 'unet/model.onnx': 'graph', 'z.json': '{}' });
  to = join(await temporaryFolder(), 'published');
});

const makePipe = (path: string) => execFileSync('mkfifo', [path]);

it.each([
  { what: 'a line end', name: Buffer.from('a\nb'), reason: /it holds "a\\nb", which .* an unprintable character/ },
  { what: 'a name of Windows', name: Buffer.from('aux.json'), reason: /which is a device on Windows/ },
  { what: 'another spelling', name: Buffer.from('Z.json'), reason: /which some systems take for one file/ },
  { what: 'bytes that are no UTF-8', name: Buffer.from([0x61, 0xff]), reason: /has a name that is no text in UTF-8/ },
])('a package with $what in a name is refused', async ({ name, reason }) => {
  await writeFile(Buffer.concat([Buffer.from(`${folder}/`), name]), '');
  const publishing = drain(publish(folder, { to }));
  await expect(publishing).rejects.toThrow(PublishError);
  await expect(publishing).rejects.toThrow(reason);
});

describe('what takes the place of a file after the check', () => {
  it.each([
    { what: 'a link', put: (path: string) => symlink('/etc/hostname', path) },
    { what: 'a pipe', put: makePipe },
    { what: 'nothing', put: () => undefined },
  ])('is not published: $what', async ({ put }) => {
    let isSwapped = false;
    const publishing = drain(publish(folder, { to }), async (event) => {
      if (isSwapped || event.type !== 'progress' || !event.detail?.startsWith('copy ')) return;
      isSwapped = true;
      await rm(join(folder, 'z.json'));
      await put(join(folder, 'z.json'));
    });
    await expect(publishing).rejects.toThrow(`${join(folder, 'z.json')} has changed since it was checked`);
    expect(await readdir(dirname(to))).toEqual([]);
  });

  it('is not opened', async () => {
    const [file, link, pipe] = ['z.json', 'link', 'pipe'].map((name) => join(folder, name)) as [string, string, string];
    await symlink(file, link);
    makePipe(pipe);
    for (const path of [link, pipe, folder, `${file}.gone`])
      await expect(openChecked(path)).rejects.toThrow(PublishError);
    await (await openChecked(file)).close();
  });
});

describe('a target', () => {
  it('that leads into the package is none', async () => {
    const link = join(await temporaryFolder(), 'link');
    await symlink(folder, link);
    for (const place of [link, join(link, 'sub'), join(link, 'new/sub')])
      await expect(drain(publish(folder, { to: place }))).rejects.toThrow(/lies inside the package/);
    expect((await readdir(folder)).sort()).toEqual(['lcm-merge.lock.json', 'unet', 'verification', 'z.json']);
  });

  it('that leads to what holds the package is none', async () => {
    const link = join(await temporaryFolder(), 'link');
    await symlink(dirname(folder), link);
    await expect(drain(publish(join(link, 'ink'), { to: dirname(folder) }))).rejects.toThrow(/lies inside/);
  });

  it('where somebody works, and keeps a copy of a lock, is none', async () => {
    await mkdir(to);
    for (const name of ['lcm-merge.lock.json', 'thesis.txt']) await writeFile(join(to, name), '');
    await expect(drain(publish(folder, { to }))).rejects.toThrow(UsageError);
    expect(existsSync(join(to, 'thesis.txt'))).toBe(true);
  });

  it('whose unfinished copy was replaced by a link is not followed when it is cleared up', async () => {
    const kept = await makeVerified(join(await temporaryFolder(), 'kept'), {});
    await symlink(kept, `${to}.999999999.partial`);
    await drain(publish(folder, { to }));
    expect(await readdir(dirname(to))).toEqual(['published']);
    expect((await readdir(kept)).length).toBeGreaterThan(0);
  });
});

it('a package that is a link itself is the one that it leads to', async () => {
  await rename(folder, `${folder}-real`);
  await symlink(`${folder}-real`, folder);
  expect(await drain(publish(folder, { to }))).toMatchObject({ to });
});

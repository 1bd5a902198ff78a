import { createHash } from 'node:crypto';
import { chmod, cp, mkdir, readdir, readFile, rm, stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { InputMissingError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { previewPublication, surveyPublication } from '../../src/publish/preview.ts';
import { publish } from '../../src/publish/publish.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { makeVerified } from './handmade.ts';

let verified: string;

beforeAll(async () => {
  const files = { 'model_index.json': '{}', 'unet/model.onnx': 'graph', 'README.md': '# ink\n' };
  verified = await makeVerified(join(await temporaryFolder(), 'package'), files);
});

describe('previewPublication', () => {
  it('lists exactly the files that publishing sends, with their bytes and hashes, and writes nothing', async () => {
    const parent = await temporaryFolder();
    const to = join(parent, 'deep', 'published');
    const events: Event[] = [];
    const preview = await drain(previewPublication(verified, { to }), (event) => events.push(event));
    expect(await readdir(parent)).toEqual([]);
    expect(preview).toMatchObject({ folder: verified, to, verdict: 'passed', target: { place: to }, refusals: [] });
    expect(preview.target).not.toHaveProperty('replaces');
    expect(events.at(-2)).toMatchObject({ type: 'progress', done: preview.bytes, total: preview.bytes, unit: 'bytes' });

    const published = await drain(publish(verified, { to }));
    expect(published).toMatchObject({ files: preview.files.length, bytes: preview.bytes });
    const entries = await readdir(to, { recursive: true, withFileTypes: true });
    const sent = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    expect(sent.sort()).toEqual(preview.files.map(({ name }) => join(to, name)).sort());
    for (const { name, bytes, sha256 } of preview.files) {
      const data = await readFile(join(to, name));
      expect({ bytes: data.length, sha256: createHash('sha256').update(data).digest('hex') }, name).toEqual({
        bytes,
        sha256,
      });
    }
  });

  it('says what stands at the target and how much room there is', async () => {
    const to = join(await temporaryFolder(), 'published');
    await drain(publish(verified, { to }));
    const { target, files, bytes } = await surveyPublication(verified, to);
    expect(target?.replaces).toEqual({ name: 'ink', files: files.length, bytes });
    const { bavail, bsize } = await statfs(to);
    expect((target?.free ?? 0) / (bavail * bsize)).toBeCloseTo(1, 1);
    await writeFile(join(to, 'lcm-merge.lock.json'), 'no lock');
    const damaged = await surveyPublication(verified, to);
    expect(damaged.target?.replaces).not.toHaveProperty('name');
    expect(damaged.refusals).toEqual([]);
  });

  it('follows a link to where the package would be', async () => {
    const parent = await temporaryFolder();
    await mkdir(join(parent, 'disk'));
    await symlink(join(parent, 'disk'), join(parent, 'link'));
    expect(await surveyPublication(verified, join(parent, 'link'))).toMatchObject({
      to: join(parent, 'disk'),
      refusals: [],
    });
    await symlink(join(parent, 'gone'), join(parent, 'broken'));
    expect((await surveyPublication(verified, join(parent, 'broken'))).refusals).toMatchObject([
      { kind: 'usage', message: expect.stringContaining('leads nowhere') },
    ]);
  });

  it('gives all reasons there are, of package and target, and reads no file of what is refused anyhow', async () => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(verified, folder, { recursive: true });
    const report = join(folder, 'verification/report.json');
    await writeFile(report, (await readFile(report, 'utf8')).replace('"verdict": "passed"', '"verdict": "unknown"'));
    await rm(join(folder, 'model_index.json'));
    const to = await temporaryFolder();
    await writeFile(join(to, 'diary.txt'), 'mine');
    const events: Event[] = [];
    const preview = await drain(previewPublication(folder, { to }), (event) => events.push(event));
    expect(preview.refusals.map(({ kind, message }) => `${kind}: ${message}`)).toEqual([
      expect.stringMatching(/^usage: The output folder .* is not empty and not a package of lcm-merge/),
      expect.stringMatching(
        /^publish: .* is not published: its verification's verdict is unknown\. See .*report\.html\.$/,
      ),
      expect.stringMatching(/^publish: .* about other bytes \(model_index\.json\)/),
    ]);
    expect(preview).not.toHaveProperty('target');
    expect(events).toEqual([]);
    expect(preview.files.every((file) => !('sha256' in file))).toBe(true);
  });

  it.each([
    ['https://host/name', /is no place to publish to/],
    ['hf:/owner/name', /is no place to publish to/],
    ['hf://owner', /does not name a repository/],
    ['oci://registry/Name', /name is expected/],
  ])('refuses %s, which is no place', async (to, reason) => {
    expect((await surveyPublication(verified, to)).refusals).toMatchObject([
      { kind: 'usage', message: expect.stringMatching(reason) },
    ]);
  });

  it('refuses a file in the way', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    for (const to of [file, join(file, 'below')])
      expect((await surveyPublication(verified, to)).refusals).toMatchObject([
        { kind: 'usage', message: expect.stringContaining('cannot be a folder') },
      ]);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a place that may not be written, which root may', async () => {
    const parent = await temporaryFolder();
    await chmod(parent, 0o555);
    expect((await surveyPublication(verified, join(parent, 'deep', 'published'))).refusals).toEqual([
      { kind: 'io', message: `${parent}: cannot write it: permission denied.` },
    ]);
    await chmod(parent, 0o755);
  });

  it('has nothing to tell of a package that is not there, and stops when it is asked to', async () => {
    const to = join(await temporaryFolder(), 'published');
    await expect(surveyPublication(join(to, 'gone'), to)).rejects.toThrow(InputMissingError);
    const controller = new AbortController();
    const reading = drain(previewPublication(verified, { to, signal: controller.signal }), ({ type }) => {
      if (type === 'progress') controller.abort(new Error('enough'));
    });
    await expect(reading).rejects.toThrow('enough');
    await expect(stat(to)).rejects.toThrow('ENOENT');
  });
});

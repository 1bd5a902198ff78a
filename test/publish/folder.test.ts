import { appendFileSync } from 'node:fs';
import { appendFile, cp, mkdir, readdir, readFile, rm, statfs, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { InputMissingError, IoError, PublishError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { plan } from '../../src/merge/plan.ts';
import { makePackage } from '../../src/publish/make-package.ts';
import { previewPublication, surveyPublication } from '../../src/publish/preview.ts';
import { publish } from '../../src/publish/publish.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';
import { digestsOf } from '../sign/golden-bundles.ts';
import { makeVerified } from './handmade.ts';

const FILES = {
  'model_index.json': '{}',
  'unet/model.onnx': 'graph',
  'unet/model.onnx_data': new Uint8Array(4 << 20),
  'README.md': '# ink\n',
};

describe('publish to a folder', () => {
  let verified: string;

  beforeAll(async () => {
    verified = await makeVerified(join(await temporaryFolder(), 'package'), FILES);
  });

  const copy = async (): Promise<string> => {
    const folder = join(await temporaryFolder(), 'package');
    await cp(verified, folder, { recursive: true });
    return folder;
  };

  it('copies exactly the bytes that were verified, report included, in place of the version before', async () => {
    const to = join(await temporaryFolder(), 'deep', 'published');
    for (let version = 0; version < 2; version += 1) {
      expect(await drain(publish(verified, { to }))).toMatchObject({ to, files: 9 });
      expect(await digestsOf(to)).toEqual(await digestsOf(verified));
      expect((await readdir(join(to, 'verification'))).sort()).toEqual([
        'fingerprint.json',
        'frames.webp',
        'report.html',
        'report.json',
      ]);
      expect(await readdir(join(to, '..'))).toEqual(['published']);
    }
  });

  it.each([
    [
      'has no report',
      /it has not been verified\. Run lcm-merge verify first/,
      (at: string) => rm(join(at, 'verification'), { recursive: true }),
    ],
    [
      'failed',
      /verdict is failed/,
      async (at: string) => {
        const path = join(at, 'verification/report.json');
        await writeFile(path, (await readFile(path, 'utf8')).replace('"verdict": "passed"', '"verdict": "failed"'));
      },
    ],
    [
      'has other bytes than its report is about',
      /other bytes \(model_index\.json\)/,
      (at: string) => appendFile(join(at, 'model_index.json'), ' '),
    ],
    [
      'has a model card that the verification did not write',
      /README\.md is not what the verification wrote/,
      (at: string) => appendFile(join(at, 'README.md'), ' '),
    ],
    ['has no model card', /README\.md is not what/, (at: string) => rm(join(at, 'README.md'))],
    ['has a file more', /other bytes \(unet\/extra\)/, (at: string) => writeFile(join(at, 'unet/extra'), '')],
    [
      'has another clip beside its report',
      /verification\/frames\.webp is not what the verification wrote/,
      (at: string) => writeFile(join(at, 'verification/frames.webp'), 'another'),
    ],
    [
      'has a page that says something else',
      /verification\/report\.html is not/,
      (at: string) => appendFile(join(at, 'verification/report.html'), '<b>passed</b>'),
    ],
    [
      'has a file among those of its verification',
      /verification\/run\.sh is not/,
      (at: string) => writeFile(join(at, 'verification/run.sh'), ''),
    ],
    [
      'has a folder among them',
      /verification\/more\/run\.sh is not/,
      async (at: string) => {
        await mkdir(join(at, 'verification/more'));
        await writeFile(join(at, 'verification/more/run.sh'), '');
      },
    ],
    [
      'has lost its fingerprint',
      /verification\/fingerprint\.json is not/,
      (at: string) => rm(join(at, 'verification/fingerprint.json')),
    ],
    [
      'has unfinished business of a verification',
      /other bytes \(verification\.partial\/x\)/,
      async (at: string) => {
        await mkdir(join(at, 'verification.partial'));
        await writeFile(join(at, 'verification.partial/x'), '');
      },
    ],
    ['has a file less', /other bytes \(model_index\.json\)/, (at: string) => rm(join(at, 'model_index.json'))],
  ])('refuses a package that %s, and leaves nothing at the target', async (_, reason, alter) => {
    const folder = await copy();
    await alter(folder);
    const parent = await temporaryFolder();
    const publishing = drain(publish(folder, { to: join(parent, 'published') }));
    await expect(publishing).rejects.toThrow(PublishError);
    await expect(publishing).rejects.toThrow(reason);
    const { refusals } = await drain(previewPublication(folder, { to: join(parent, 'published') }));
    await expect(publishing).rejects.toThrow(refusals[0]?.message ?? 'The preview says that it can be published.');
    expect(await readdir(parent)).toEqual([]);
  });

  it.each(['null', '{}', '[]', 'nope', '{"verdict":"passed","device":"cpu","package":{"README.md":5}}'])(
    'refuses a package whose report is %s',
    async (report) => {
      const folder = await copy();
      await writeFile(join(folder, 'verification/report.json'), report);
      const publishing = drain(publish(folder, { to: join(await temporaryFolder(), 'x') }));
      await expect(publishing).rejects.toThrow(PublishError);
      await expect(publishing).rejects.toThrow(/is not published\. \S+report\.json/);
    },
  );

  it('says that there is no package, or that it cannot be put there', async () => {
    const folder = await temporaryFolder();
    await expect(drain(publish(join(folder, 'gone'), { to: join(folder, 'x') }))).rejects.toThrow(InputMissingError);
    const inside = drain(publish(verified, { to: join(verified, 'unet', 'published') }));
    await expect(inside).rejects.toThrow(/lies inside the package/);
    await expect(drain(publish(verified, { to: 'https://host/name' }))).rejects.toThrow(
      'https://host/name is no place to publish to: a folder, a repository on the Hub (hf://owner/name) or a registry (oci://registry/name:tag) is one.',
    );
    expect(await readdir(folder)).toEqual([]);
  });

  it('is found impossible before anything is baked', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'taken'));
    await writeFile(join(folder, 'taken', 'diary.txt'), 'mine');
    const planned = await plan(tinyRecipe({ publish: { to: join(folder, 'taken') } }));
    const making = makePackage(planned, { out: join(folder, 'out') });
    await expect(making.next()).rejects.toThrow(/taken is not empty and not a package/);
    const inside = await plan(tinyRecipe({ publish: { to: join(folder, 'out', 'published') } }));
    const makingInside = makePackage(inside, { out: join(folder, 'out') });
    await expect(makingInside.next()).rejects.toThrow(/lies inside the package/);
    expect(await readdir(folder)).toEqual(['taken']);
  });

  it('refuses a symbolic link in place of a file, though it leads to the same bytes', async () => {
    const folder = await copy();
    const outside = join(await temporaryFolder(), 'README.md');
    await cp(join(folder, 'README.md'), outside);
    await rm(join(folder, 'README.md'));
    await symlink(outside, join(folder, 'README.md'));
    await expect(drain(publish(folder, { to: join(await temporaryFolder(), 'x') }))).rejects.toThrow(PublishError);
  });

  it('counts every byte three times: read, copied, and read again', async () => {
    const to = join(await temporaryFolder(), 'published');
    const counted: number[] = [];
    const { bytes } = await drain(publish(verified, { to }), (event) => {
      if (event.type === 'progress') counted.push(event.done / event.total);
    });
    expect(bytes).toBeGreaterThan(4e6);
    expect(counted.toSorted((a, b) => a - b)).toEqual(counted);
    expect(counted.at(-1)).toBe(1);
    expect(counted.filter((share) => share > 0.1 && share < 0.3).length).toBeGreaterThan(1);
  });

  it.each(['check', 'copy', 'check the copy of'])(
    'stopped at “%s” it leaves the version before as it was',
    async (at) => {
      const to = join(await temporaryFolder(), 'published');
      await cp(verified, to, { recursive: true });
      await writeFile(join(to, 'older'), '');
      const controller = new AbortController();
      const publishing = drain(publish(verified, { to, signal: controller.signal }), (event) => {
        if (event.type === 'progress' && event.detail?.startsWith(`${at} unet/`)) controller.abort(new Error('enough'));
      });
      await expect(publishing).rejects.toThrow('enough');
      expect(await readdir(join(to, '..'))).toEqual(['published']);
      expect(await readdir(to)).toContain('older');
    },
  );

  it.each(['model_index.json', 'verification/report.json'])(
    'refuses %s that changes before it is copied',
    async (name) => {
      const folder = await copy();
      const to = join(await temporaryFolder(), 'published');
      const publishing = drain(publish(folder, { to }), (event) => {
        if (event.type === 'progress' && event.detail === `copy ${name}`) appendFileSync(join(folder, name), ' ');
      });
      await expect(publishing).rejects.toThrow(PublishError);
      await expect(publishing).rejects.toThrow(`${join(folder, name)} has changed since it was checked`);
      expect(await readdir(join(to, '..'))).toEqual([]);
    },
  );

  it('does not replace the folder in which the package lies', async () => {
    const outer = await copy();
    await cp(verified, join(outer, 'inner'), { recursive: true });
    await expect(drain(publish(join(outer, 'inner'), { to: outer }))).rejects.toThrow(/which it would replace/);
    expect(await readdir(outer)).toContain('inner');
  });

  it('finds that there is no room before anything is read or written', async () => {
    const folder = await copy();
    const { bavail, bsize } = await statfs(folder);
    await truncate(join(folder, 'README.md'), bavail * bsize + 2 ** 30); // a hole: it takes no room itself
    const to = join(await temporaryFolder(), 'published');
    const events: Event[] = [];
    const publishing = drain(publish(folder, { to }), (event) => events.push(event));
    await expect(publishing).rejects.toThrow(IoError);
    await expect(publishing).rejects.toThrow(
      /published: the package has \d+ bytes, and there is room for \d+\. Free some/,
    );
    expect(events.map(({ type }) => type)).toEqual(['stage-started']);
    expect((await surveyPublication(folder, to)).refusals).toMatchObject([{ kind: 'io' }]);
  });

  it('does not touch a folder that is no package', async () => {
    const to = await temporaryFolder();
    await writeFile(join(to, 'diary.txt'), 'mine');
    await expect(drain(publish(verified, { to }))).rejects.toThrow(UsageError);
    expect(await readdir(to)).toEqual(['diary.txt']);
  });
});

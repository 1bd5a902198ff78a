/** README.md as a result of the verification: whose it is, that it and the report come together, and what is left when writing them is cut off. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { digestBytes } from '../../src/export/digest.ts';
import { LOCK_FILE, type Lock, makeLock } from '../../src/export/lock.ts';
import { CARD_FILE, modelCard } from '../../src/export/model-card.ts';
import { plan } from '../../src/merge/plan.ts';
import { openCandidate } from '../../src/publish/candidate.ts';
import { readLock } from '../../src/runtime/lock-file.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { readReport, writeReport } from '../../src/verify/report.ts';
import { plainReport } from '../helpers/report-page.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { tinyRecipe } from '../helpers/tiny.ts';

let folder: string;
let lock: Lock;

const read = (name: string) => readFile(join(folder, name), 'utf8');

/** A folder with a lock and one file, and the card that a bake leaves. */
beforeEach(async () => {
  folder = await temporaryFolder();
  const planned = await plan(tinyRecipe());
  const inputs = planned.files.map(({ bytes }) => ({ bytes, sha256: '0'.repeat(64) }));
  const outputs = { 'model_index.json': digestBytes(Buffer.from('{}')) };
  await writeFile(join(folder, 'model_index.json'), '{}');
  await putLock(makeLock(planned, { inputs, outputs }));
  await writeFile(join(folder, CARD_FILE), modelCard(lock));
});

async function putLock(made: Lock): Promise<void> {
  await writeFile(join(folder, LOCK_FILE), `${JSON.stringify(made, null, 2)}\n`);
  lock = (await readLock(folder)) as Lock;
}

/** Writes a report that has passed, of the package as it is. */
async function verified() {
  const digests = Object.entries(await digestPackage(folder)).map(([file, { sha256 }]) => [file, sha256]);
  const { report } = plainReport({ package: Object.fromEntries(digests) });
  return writeReport(folder, report, { lock: await readLock(folder) });
}

const refusals = async () => (await openCandidate(folder)).refusals.map(({ message }) => message);

describe('the model card', () => {
  it('is no file of the package, and one of the verification: the report tells its hash', async () => {
    expect(Object.keys(await digestPackage(folder))).toEqual([LOCK_FILE, 'model_index.json']);
    expect(await read(CARD_FILE)).toContain('Not verified yet.');
    const { card } = await verified();
    expect(card).toBe(digestBytes(Buffer.from(await read(CARD_FILE))).sha256);
    expect(await read(CARD_FILE)).toContain('4 of 4 checks passed. Not made, because');
    expect((await readReport(folder))?.card).toBe(card);
    expect(await refusals()).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual([CARD_FILE, LOCK_FILE, 'model_index.json', 'verification']);
    expect((await readdir(join(folder, 'verification'))).sort()).toEqual(['report.html', 'report.json']);
  });

  it('comes out the same of the same, and takes the place of the one before', async () => {
    await verified();
    const first = await read(CARD_FILE);
    await writeFile(join(folder, CARD_FILE), 'mine');
    await verified();
    expect(await read(CARD_FILE)).toBe(first);
  });

  it('that cannot take its place leaves a package that is not verified', async () => {
    await verified();
    await rm(join(folder, CARD_FILE));
    await mkdir(join(folder, CARD_FILE, 'full'), { recursive: true });
    await expect(verified()).rejects.toMatchObject({ kind: 'io' });
    expect(await readdir(folder)).not.toContain('verification.partial');
    expect(await refusals()).toContainEqual(
      expect.stringContaining('it has not been verified. Run lcm-merge verify first'),
    );
  });

  it.each([
    [
      'the report is the old one no more, and the card is',
      async () => rm(join(folder, 'verification'), { recursive: true }),
    ],
    [
      'the new card has come, and the report has not',
      async () => {
        await verified();
        await writeFile(join(folder, CARD_FILE), 'a card of another run');
        await rm(join(folder, 'verification'), { recursive: true });
      },
    ],
  ])('of a process that was killed when %s, is not published', async (_, kill) => {
    await verified();
    await kill();
    await mkdir(join(folder, 'verification.partial')); // which the next verification clears away
    expect(await refusals()).toContainEqual(expect.stringContaining('it has not been verified'));
    await verified();
    expect(await refusals()).toEqual([]);
  });

  it('of another tool is a file like any other, and stays', async () => {
    await rm(join(folder, LOCK_FILE));
    await writeFile(join(folder, CARD_FILE), 'theirs');
    const report = await verified();
    expect(report).not.toHaveProperty('card');
    expect(Object.keys(report.package)).toEqual([CARD_FILE, 'model_index.json']);
    expect(await read(CARD_FILE)).toBe('theirs');
    expect(await refusals()).toEqual([]);
  });

  it('that was baked, as older tools did, is held to the lock, and stays', async () => {
    await putLock({ ...lock, outputs: { ...lock.outputs, [CARD_FILE]: digestBytes(Buffer.from('older')) } });
    await writeFile(join(folder, CARD_FILE), 'older');
    const report = await verified();
    expect(Object.keys(report.package)).toContain(CARD_FILE);
    expect(await read(CARD_FILE)).toBe('older');
    expect(await refusals()).toEqual([]);
  });
});

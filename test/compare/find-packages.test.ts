import { cp, mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { whyNotBeside } from '../../src/compare/beside.ts';
import { findPackages, type PackageFound } from '../../src/compare/find-packages.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

let ink: string;

beforeAll(async () => {
  ink = join(await temporaryFolder(), 'ink');
  await bakeAndCheck(tinyRecipe({ output: { targets: ['portable'] } }), ink);
  await mkdir(join(ink, 'verification'));
  await report(ink, 'passed');
});

const report = (folder: string, verdict: string) =>
  writeFile(join(folder, 'verification/report.json'), JSON.stringify({ verdict, device: 'cpu', package: {} }));

/** A shelf with copies of the package under these names. */
async function shelfOf(...names: readonly string[]): Promise<string> {
  const shelf = await temporaryFolder();
  for (const name of names) await cp(ink, join(shelf, name), { recursive: true });
  return shelf;
}

describe('findPackages', () => {
  it('tells of each what it is made of, whether it passed and when, and how large it is', async () => {
    const shelf = await shelfOf('ink');
    const [found] = await findPackages(shelf);
    expect(found).toEqual({
      kind: 'package',
      folder: join(shelf, 'ink'),
      name: 'tiny',
      summary: 'ink α 0.8 · β 1 · γ 1 · lcm 4 steps · 16×64×64',
      clip: { frames: 16, width: 64, height: 64 },
      suggests: { prompt: 'a photo', seed: 0 },
      verdict: 'passed',
      verifiedAt: expect.any(Number),
      bytes: expect.any(Number),
    });
    const { bytes, verifiedAt = 0 } = found as PackageFound;
    expect(bytes).toBeGreaterThan(10e6);
    expect(Math.abs(Date.now() - verifiedAt)).toBeLessThan(600_000);
  });

  it('lists what did not pass and what was not verified as such', async () => {
    const shelf = await shelfOf('bad', 'new');
    await report(join(shelf, 'bad'), 'failed');
    await rm(join(shelf, 'new/verification'), { recursive: true });
    const found = await findPackages(shelf);
    expect(found).toMatchObject([{ verdict: 'failed' }, { verdict: 'not verified' }]);
    expect(found[1]).not.toHaveProperty('verifiedAt');
  });

  it.each([
    [
      'a file is cut short',
      (at: string) => truncate(join(at, 'unet/model.onnx_data'), 7),
      /model\.onnx_data has 7 bytes; lcm-merge\.lock\.json lists it with \d+/,
    ],
    [
      'a file is gone',
      (at: string) => rm(join(at, 'unet/model.onnx')),
      /unet\/model\.onnx is missing; .*Bake the package again/,
    ],
    ['the lock is no lock', (at: string) => writeFile(join(at, 'lcm-merge.lock.json'), '{}'), /lcm-merge\.lock\.json/],
    ['the report is damaged', (at: string) => writeFile(join(at, 'verification/report.json'), '{'), /report\.json/],
  ])('lists a broken one with its problem, beside the others: %s', async (_, harm, problem) => {
    const shelf = await shelfOf('a', 'b');
    await harm(join(shelf, 'a'));
    expect(await findPackages(shelf)).toMatchObject([
      { kind: 'broken', folder: join(shelf, 'a'), problem: expect.stringMatching(problem) },
      { kind: 'package' },
    ]);
  });

  it('reads a package of another tool off its graph', async () => {
    const shelf = await shelfOf('theirs');
    await rm(join(shelf, 'theirs/lcm-merge.lock.json'));
    const [found] = await findPackages(shelf);
    expect(found).toMatchObject({
      name: 'theirs',
      summary: 'lcm · 16×64×64',
      clip: { frames: 16, width: 64, height: 64 },
    });
    expect(found).not.toHaveProperty('suggests');
    expect((found as PackageFound).bytes).toBeGreaterThan(10e6);
  });

  it('passes over what is no package, or not whole yet, but not over what it was given', async () => {
    const shelf = await shelfOf('ink');
    await mkdir(join(shelf, 'frames'));
    await writeFile(join(shelf, 'note.txt'), '');
    await cp(join(shelf, 'ink'), join(shelf, 'new.123.partial'), { recursive: true });
    const given = [join(shelf, 'gone'), join(shelf, 'ink')];
    expect(await findPackages(shelf, given)).toMatchObject([
      { kind: 'broken', folder: given[0], problem: expect.stringContaining('is not there') },
      { kind: 'package', folder: given[1] },
    ]);
    expect(await findPackages(join(shelf, 'nowhere'))).toEqual([]);
  });

  it('knows before sampling that clips of two shapes cannot be compared', async () => {
    const shelf = await shelfOf('ink');
    const [found] = (await findPackages(shelf)) as readonly PackageFound[];
    const long = { ...(found as PackageFound), clip: { frames: 32, width: 64, height: 64 } };
    expect(whyNotBeside(found as PackageFound, found as PackageFound)).toBeUndefined();
    expect(whyNotBeside(found as PackageFound, long)).toBe(
      'It makes 32 frames of 64×64, and tiny makes 16 frames of 64×64: only clips of one shape can be compared.',
    );
  });
});

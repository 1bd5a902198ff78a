/** From loose files to a verified package, as users meet it: spawned, in an empty folder. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { temporaryFolder } from '../helpers/temporary.ts';

const PROGRAM = resolve('src/cli.ts');

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

function lcmMerge(...args: readonly string[]): Promise<{ code: unknown; stdout: string; stderr: string }> {
  return new Promise((done) => {
    execFile(process.execPath, [PROGRAM, ...args], { cwd: folder }, (error, stdout, stderr) =>
      done({ code: error ? error.code : 0, stdout, stderr }),
    );
  });
}

it('makes a recipe of the tiny family that is baked and passes as it stands', async () => {
  await cp('models/tiny', join(folder, 'my models'), { recursive: true });
  const made = await lcmMerge('init', 'my models');
  expect(made).toMatchObject({ code: 0, stdout: 'my models.yaml\n' });
  expect(made.stderr).toMatch(/^survey: my models\nsurvey: done: 5 of the 6 things/);
  const job = await lcmMerge('my models.yaml', '--profile', 'quick', '--json');
  expect({ code: job.code, ...JSON.parse(job.stdout) }).toMatchObject({ code: 0, verdict: 'passed' });
  expect((await readdir(join(folder, 'out'))).sort()).toEqual(['my models']);
});

it('prints it with --dry-run, where -o says that it would lie, and writes nothing', async () => {
  const { code, stdout } = await lcmMerge('init', resolve('models/tiny'), '-o', 'recipes/mine.yaml', '--dry-run', '-q');
  expect(code).toBe(0);
  expect(stdout).toContain('name: tiny\n');
  expect(stdout).toContain('base: ../'); // relative to the recipe
  expect(await readdir(folder)).toEqual([]);
  const { recipe, text, findings } = JSON.parse(
    (await lcmMerge('init', resolve('models/tiny'), '--dry-run', '--json')).stdout,
  );
  expect(recipe).toBeUndefined();
  expect(text).toContain('name: tiny\n');
  expect(findings).toHaveLength(6);
});

it('writes over no file, and tells of a folder that makes no recipe', async () => {
  await writeFile(join(folder, 'mine.yaml'), 'mine');
  expect(await lcmMerge('init', resolve('models/tiny'), '-o', 'mine.yaml')).toMatchObject({
    code: 2,
    stdout: '',
    stderr: 'error: mine.yaml exists already, and nothing is written over it. Choose another name.\n',
  });
  expect(await readFile(join(folder, 'mine.yaml'), 'utf8')).toBe('mine');
  await mkdir(join(folder, 'empty'));
  const none = await lcmMerge('init', 'empty');
  expect(none.code).toBe(66);
  expect(none.stderr).toContain('error: empty: there is no recipe in it, for it lacks a base.');
  expect((await lcmMerge('init', 'nowhere')).code).toBe(66);
  expect((await readdir(folder)).sort()).toEqual(['empty', 'mine.yaml']);
});

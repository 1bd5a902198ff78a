/** The program as npm installs it. Node runs no .tsx: what has no build, or an old one, is built aside, and dist/ is left alone. */
import { execFile } from 'node:child_process';
import { glob, stat, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from './temporary.ts';

export interface BuiltProgram {
  /** Of cli.js. */
  readonly path: string;
  /** Which build it is, for the name of a test. */
  readonly origin: string;
}

export async function builtProgram(): Promise<BuiltProgram> {
  const built = resolve('dist/cli.js');
  if ((await changedAt(built)) > (await newest('src/**/*.{ts,tsx}'))) return { path: built, origin: 'dist/' };
  const folder = await temporaryFolder();
  for (const name of ['package.json', 'node_modules', 'assets']) await symlink(resolve(name), join(folder, name));
  const dist = join(folder, 'dist');
  const tsc = resolve('node_modules/.bin/tsc');
  await promisify(execFile)(tsc, ['-p', 'tsconfig.build.json', '--outDir', dist]);
  return { path: join(dist, 'cli.js'), origin: 'a build made for the test, as dist/ is not there or older than src/' };
}

async function newest(pattern: string): Promise<number> {
  let last = 0;
  for await (const file of glob(pattern)) last = Math.max(last, await changedAt(file));
  return last;
}

/** Milliseconds since 1970; long ago for what is not there. */
async function changedAt(file: string): Promise<number> {
  return (await stat(file).catch(() => ({ mtimeMs: 0 }))).mtimeMs;
}

/** A folder in which `lcm-merge` is the program from source, with the recipes and models of the repository, and a shell that works there. */
import { spawn } from 'node:child_process';
import { chmod, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { temporaryFolder } from '../helpers/temporary.ts';

export interface Printed {
  readonly code: number | null;
  readonly stdout: string;
  /** Both streams, in the order in which they were written. */
  readonly all: string;
}

export interface Shell {
  readonly folder: string;
  run(script: string, env?: Readonly<Record<string, string>>): Promise<Printed>;
}

export async function openShell(): Promise<Shell> {
  const folder = await temporaryFolder();
  const bin = await temporaryFolder();
  for (const name of ['recipes', 'models']) await symlink(resolve(name), join(folder, name));
  const program = join(bin, 'lcm-merge');
  await writeFile(program, `#!/bin/sh\nexec '${process.execPath}' '${resolve('src/cli.ts')}' "$@"\n`);
  await chmod(program, 0o755);
  const { PATH, NODE_COMPILE_CACHE = '' } = process.env;
  const basis = { PATH: `${bin}:${PATH}`, HOME: bin, LCM_MERGE_CACHE: join(bin, 'cache'), NODE_COMPILE_CACHE };
  return {
    folder,
    run: (script, env = {}) =>
      new Promise((done, failed) => {
        const child = spawn('sh', ['-c', script], {
          cwd: folder,
          env: { ...basis, ...env },
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        let [stdout, all] = ['', ''];
        child.stdout.setEncoding('utf8').on('data', (text: string) => {
          stdout += text;
          all += text;
        });
        child.stderr.setEncoding('utf8').on('data', (text: string) => (all += text));
        child.on('error', failed);
        child.on('close', (code) => done({ code, stdout, all }));
      }),
  };
}

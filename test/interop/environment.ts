/** Python environments for the comparisons: one that is given, or one that is made in a folder and kept until its requirements change. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Why there is no environment; `missing` is no fault of ours. */
export interface NoPython {
  readonly reason: string;
  readonly missing: boolean;
}

/** The interpreter, by its path or name. */
export type Environment = string | NoPython;

const WINDOWS = process.platform === 'win32';

/** `given` as it is, else a virtual environment in `folder` with what `requirements` pins. */
export async function openEnvironment(
  given: string | undefined,
  folder: string,
  requirements: string,
): Promise<Environment> {
  if (given !== undefined) {
    return (await version(given)) ? given : { reason: `${given} does not run`, missing: false };
  }
  const pinned = await readFile(requirements);
  const stamp = createHash('sha256').update(pinned).digest('hex');
  const stampFile = join(folder, 'requirements.sha256');
  const python = join(folder, WINDOWS ? 'Scripts/python.exe' : 'bin/python');
  const made = await readFile(stampFile, 'utf8').catch(() => undefined);
  if (made === stamp && (await version(python))) return python;

  const base = WINDOWS ? 'python' : 'python3';
  if (!(await version(base))) return { reason: `${base} is not on this machine`, missing: true };
  console.log(`Installing ${requirements} into ${folder} (once; PyTorch is large)`);
  await rm(folder, { recursive: true, force: true });
  const steps = [
    [base, '-m', 'venv', folder],
    [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements],
  ] as const;
  for (const [command, ...args] of steps) {
    const code = await new Promise<number | null>((resolve) =>
      spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'] })
        .on('close', resolve)
        .on('error', () => resolve(null)),
    );
    if (code !== 0) return { reason: `${[command, ...args].join(' ')} ended with exit code ${code}`, missing: false };
  }
  await writeFile(stampFile, stamp);
  return python;
}

async function version(python: string): Promise<string | undefined> {
  return promisify(execFile)(python, ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}

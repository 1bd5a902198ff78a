/**
 * Unfinished downloads. Each belongs to the process that its name tells, `NAME.HOST-PID-N.part`; what a process that is gone has left
 * is taken over by the next that wants the same content, which goes on where it ended. While a living one is at it, others wait.
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheError, uniqueSuffix } from './cache.ts';

/** Milliseconds between two looks at the one who is at it. */
const LOOK_AGAIN = 200;
/** A process on another machine (a cache on a network disk) that has written nothing for so many milliseconds is taken for gone. */
const ABANDONED = 300_000;

/** This machine, in names of files that several machines may see. */
export const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);
const OWNER = /^\.([0-9a-f]{8})-(\d+)-(\d+)\.part$/;

/**
 * The path of an unfinished download named `name` in `folder` that is now ours alone, empty or not; undefined as soon as `isDone`
 * says that it is no longer needed. `name` has no dot.
 * @throws IoError, the signal's reason
 */
export async function claimPartial(
  folder: string,
  name: string,
  isDone: () => Promise<boolean>,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const own = join(folder, `${name}.${HOST}-${uniqueSuffix()}.part`);
  try {
    await mkdir(folder, { recursive: true });
    for (;;) {
      signal?.throwIfAborted();
      if (await isDone()) return undefined;
      const { living, dead } = await others(folder, name, own);
      if (living.length === 0 && (await takeOver(dead, own))) {
        // Whoever came at the same moment sees us as we see them; then both step back and look again, not in step.
        const { living: rivals } = await others(folder, name, own);
        if (rivals.length === 0 && !(await isDone())) return own;
        await abandon(own, folder, name);
      }
      await sleep(LOOK_AGAIN * (0.5 + Math.random()), undefined, { ...(signal && { signal }) }).catch(() =>
        signal?.throwIfAborted(),
      );
    }
  } catch (error) {
    throw cacheError('make', own, error);
  }
}

/** Makes `own` of the first of the dead that is still there, or new. False when somebody else was faster. */
async function takeOver([dead, ...more]: readonly string[], own: string): Promise<boolean> {
  for (const path of more) await rm(path, { force: true });
  if (dead === undefined) {
    await (await open(own, 'wx')).close();
    return true;
  }
  return rename(dead, own).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** Leaves a download to whoever comes next. */
export async function abandon(own: string, folder: string, name: string): Promise<void> {
  const size = await stat(own).then(
    (found) => found.size,
    () => 0, // somebody has removed the cache under us
  );
  if (size === 0) await rm(own, { force: true });
  else await rename(own, join(folder, `${name}.${HOST}-0-${uniqueSuffix().replace('-', '')}.part`));
}

async function others(folder: string, name: string, own: string) {
  const [living, dead]: [string[], string[]] = [[], []];
  for (const entry of await readdir(folder)) {
    const path = join(folder, entry);
    if (!entry.startsWith(`${name}.`) || path === own) continue;
    const [, host, pid] = OWNER.exec(entry.slice(name.length)) ?? [];
    if (host === undefined) continue;
    const alive = host === HOST ? isAlive(Number(pid)) : await isFresh(path);
    (alive ? living : dead).push(path);
  }
  return { living, dead };
}

/** Whether there is such a process on this machine. */
export function isAlive(pid: number): boolean {
  if (pid === 0) return false; // abandoned; and 0 would mean our own group of processes
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function isFresh(path: string): Promise<boolean> {
  return stat(path).then(
    ({ mtimeMs }) => Date.now() - mtimeMs < ABANDONED,
    () => false,
  );
}

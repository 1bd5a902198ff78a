/**
 * A folder comes into being whole or not at all: it is made under a `.partial` name beside its place and moved there when it is
 * complete. What stood there before is replaced only if it is of the same sort, and only at that moment. Names carry the
 * process's id, so that two at work on one place don't meet and what a killed one left is recognised and removed.
 */
import { access, lstat, mkdir, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { ioReason } from '../formats/byte-source.ts';
import { LOCK_FILE } from './lock.ts';

export interface Staging extends AsyncDisposable {
  /** Where to write. */
  readonly path: string;
  /** Moves the folder to its place (or to another); without it, disposal removes everything. */
  commit(to?: string): Promise<string>;
}

/** Says why a folder with these names in it must not be replaced, as the end of a sentence; undefined when it may. */
export type Objection = (names: readonly string[]) => string | undefined;

/** A lock alone is none: people keep copies of locks where they work, and would lose all of that folder. */
const PARTS_OF_PACKAGE = [LOCK_FILE, 'unet'];

const isNoPackage: Objection = (names) => {
  const lacking = PARTS_OF_PACKAGE.find((part) => !names.includes(part));
  return names.length > 0 && lacking !== undefined
    ? `is not empty and not a package of lcm-merge (it has no ${lacking})`
    : undefined;
};

/**
 * Prepares `out`. Disposal without commit leaves nothing behind, not even the parents that were made.
 * @throws UsageError when something stands in the way that `objection` does not let go.
 */
export async function openStaging(out: string, objection: Objection = isNoPackage): Promise<Staging> {
  const target = await followLink(out);
  await assertReplaceable(target, objection);
  const parent = dirname(target);
  const firstMade = await makeFolders(parent);
  const path = `${target}.${process.pid}.partial`;
  try {
    await removeLeftovers(target);
    await mkdir(path);
  } catch (error) {
    if (firstMade) await removeEmptyParents(parent, dirname(firstMade));
    throw error;
  }
  let committed = false;
  return {
    path,
    async commit(to = target) {
      await replace(path, to, objection);
      committed = true;
      return to;
    },
    async [Symbol.asyncDispose]() {
      if (committed) return;
      await rm(path, { recursive: true, force: true });
      if (firstMade) await removeEmptyParents(parent, dirname(firstMade));
    },
  };
}

/** What rename(2) answers when a folder that is not empty stands at the new place; Windows calls it a lack of permission. */
const OCCUPIED = new Set(['ENOTEMPTY', 'EEXIST', 'EPERM']);

/**
 * Moves `from` to `to`. What stands there is moved aside first, as no system call that Node has exchanges two folders; a process
 * that is killed between the two moves leaves `.replaced`, which the next one at this place moves back. Another process may put
 * a package there at any moment: then that is the one that is replaced, so that the last to finish wins and both succeed.
 */
async function replace(from: string, to: string, objection: Objection): Promise<void> {
  const old = `${to}.${process.pid}.replaced`;
  let aside = false;
  for (;;) {
    await assertReplaceable(to, objection);
    const error = await failureOf(rename(from, to));
    if (!error) break;
    if (!OCCUPIED.has(error.code ?? '') || !(await exists(to))) {
      if (aside) await rename(old, to);
      throw error;
    }
    if (aside) await rm(old, { recursive: true, force: true });
    const gone = await failureOf(rename(to, old)); // another process was faster
    if (gone && gone.code !== 'ENOENT') throw gone;
    aside = !gone;
  }
  if (aside) await rm(old, { recursive: true, force: true });
}

/** The error of the file system that `work` ends with, if it does. */
async function failureOf(work: Promise<unknown>): Promise<NodeJS.ErrnoException | undefined> {
  return work.then(
    () => undefined,
    (error: NodeJS.ErrnoException) => error,
  );
}

/** @throws UsageError when a folder stands at `target` that must not be replaced, or something that is no folder. */
export async function assertReplaceable(target: string, objection: Objection = isNoPackage): Promise<void> {
  const names = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(`The output ${target} cannot be a folder: ${ioReason(error)}. Choose another place.`);
  });
  const reason = objection(names);
  if (reason) throw new UsageError(`The output folder ${target} ${reason}. Nothing was written; choose another place.`);
}

/**
 * Where a folder that is to become `out` will be: a link to a folder stands for that folder, which may be on a larger disk.
 * @throws UsageError when it leads nowhere
 */
export async function followLink(out: string): Promise<string> {
  const path = resolve(out);
  const isLink = await lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
  if (!isLink) return path;
  return realpath(path).catch(() => {
    throw new UsageError(
      `The output ${path} is a symbolic link that leads nowhere. Remove it, or choose another place.`,
    );
  });
}

/**
 * Makes `path` and the folders above it, and says which was the first that was not there. (Node's own recursive mkdir never
 * returns below a folder like /proc, where nothing can be made.)
 */
export async function makeFolders(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return undefined;
    if (code !== 'ENOENT' || dirname(path) === path) throw error;
  }
  const first = await makeFolders(dirname(path));
  await mkdir(path).catch(async (error: unknown) => {
    if (first) await removeEmptyParents(dirname(path), dirname(first));
    throw error;
  });
  return first ?? path;
}

/** Clears up after processes that were killed: their unfinished folders go, a package they had moved aside comes back. */
async function removeLeftovers(target: string): Promise<void> {
  for (const name of await readdir(dirname(target))) {
    if (!name.startsWith(`${basename(target)}.`)) continue;
    const [, pid, state] = /^\.(\d+)\.(partial|replaced)$/.exec(name.slice(basename(target).length)) ?? [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const path = join(dirname(target), name);
    // a rename that fails was made by another process a moment ago, or its place is taken by now
    if (state === 'replaced' && !(await exists(target))) await failureOf(rename(path, target));
    else await rm(path, { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Removes the empty folders from `path` up to, and without, `until`. */
async function removeEmptyParents(from: string, until: string): Promise<void> {
  for (let path = from; path !== until; path = dirname(path)) {
    const removed = await rmdir(path).then(
      () => true,
      () => false, // somebody else has put something there
    );
    if (!removed) return;
  }
}

/**
 * A folder comes into being whole or not at all: it is made under a `.partial` name beside its place and moved there when it is
 * complete. What stood there before is replaced only if it is a package too, and only at that moment.
 */
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { LOCK_FILE } from './lock.ts';

export interface Staging extends AsyncDisposable {
  /** Where to write. */
  readonly path: string;
  /** Moves the folder to its place (or to another); without it, disposal removes everything. */
  commit(to?: string): Promise<string>;
}

/**
 * Prepares `out`. Disposal without commit leaves nothing behind, not even the parents that were made.
 * @throws UsageError when something that is no package stands in the way.
 */
export async function openStaging(out: string): Promise<Staging> {
  const target = resolve(out);
  await refuseForeign(target);
  const firstMade = await mkdir(dirname(target), { recursive: true });
  const path = join(dirname(target), `${basename(target)}.partial`);
  await rm(path, { recursive: true, force: true });
  await mkdir(path);
  let committed = false;
  return {
    path,
    async commit(to = target) {
      await refuseForeign(to);
      const old = `${to}.replaced`;
      await rm(old, { recursive: true, force: true });
      const had = await exists(to);
      if (had) await rename(to, old);
      await rename(path, to);
      committed = true;
      if (had) await rm(old, { recursive: true, force: true });
      return to;
    },
    async [Symbol.asyncDispose]() {
      if (committed) return;
      await rm(path, { recursive: true, force: true });
      if (firstMade) await removeEmptyParents(dirname(target), dirname(resolve(firstMade)));
    },
  };
}

/** A folder may be replaced when it is empty or carries our lock. */
async function refuseForeign(target: string): Promise<void> {
  const names = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(`The output ${target} cannot be a folder (${error.code}). Choose another with --out.`);
  });
  if (names.length > 0 && !names.some((name) => name === LOCK_FILE)) {
    throw new UsageError(
      `The output folder ${target} is not empty and not a package of lcm-merge (it has no ${LOCK_FILE}). Nothing was written; choose another with --out.`,
    );
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

async function removeEmptyParents(from: string, until: string): Promise<void> {
  for (let path = from; path !== until && path !== dirname(path); path = dirname(path)) {
    if ((await readdir(path)).length > 0) return;
    await rm(path, { recursive: true });
  }
}

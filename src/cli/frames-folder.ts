/**
 * The folder that `run` fills: it becomes visible when it is whole, and takes the place of nothing but the frames of an
 * earlier run.
 */
import { mkdir, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { UsageError } from '../errors.ts';

export const ANIMATION = 'frames.webp';

export function frameName(index: number): string {
  return `frame-${String(index).padStart(4, '0')}.png`;
}

const FRAME = /^frame-\d{4,}\.png$/;

export interface FramesFolder extends AsyncDisposable {
  /** Where to write. */
  readonly path: string;
  /** Moves the folder to its place; without it, disposal removes everything. */
  commit(): Promise<string>;
}

/**
 * Prepares `out`; `more` names a further file of ours that may stand there.
 * @throws UsageError when something else stands in the way.
 */
export async function openFramesFolder(out: string, more?: string): Promise<FramesFolder> {
  const target = resolve(out);
  const refuse = () => refuseForeign(target, (name) => FRAME.test(name) || name === ANIMATION || name === more);
  await refuse();
  const firstMade = await mkdir(dirname(target), { recursive: true });
  const path = `${target}.partial`;
  await rm(path, { recursive: true, force: true });
  await mkdir(path);
  let committed = false;
  return {
    path,
    async commit() {
      await refuse();
      await rm(target, { recursive: true, force: true });
      await rename(path, target);
      committed = true;
      return target;
    },
    async [Symbol.asyncDispose]() {
      if (committed) return;
      await rm(path, { recursive: true, force: true });
      if (firstMade !== undefined) await removeParents(dirname(target), dirname(firstMade));
    },
  };
}

async function refuseForeign(target: string, isOurs: (name: string) => boolean): Promise<void> {
  const names = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new UsageError(`The output ${target} cannot be a folder (${error.code}). Choose another with --out.`);
  });
  const foreign = names.find((name) => !isOurs(name));
  if (foreign !== undefined) {
    throw new UsageError(
      `The output folder ${target} holds ${foreign}, which is no frame of an earlier run. Nothing was written; choose another with --out.`,
    );
  }
}

/** Removes the empty folders from `path` up to, and without, `until`. */
async function removeParents(path: string, until: string): Promise<void> {
  for (let at = path; at !== until; at = dirname(at)) {
    const removed = await rmdir(at).then(
      () => true,
      () => false, // somebody else has put something there
    );
    if (!removed) return;
  }
}

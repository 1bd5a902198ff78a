/** A folder that a package is published to: what stands there now, and whether there is room. Nothing is written to find out. */
import { access, constants, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { FormatError, UsageError } from '../errors.ts';
import { assertReplaceable, followLink } from '../export/staging.ts';
import { ioError } from '../formats/byte-source.ts';
import { kindOf } from '../recipe/input-files.ts';
import { readLock } from '../runtime/lock-file.ts';
import type { PublishOptions, Standing, Target } from './place.ts';

/**
 * A package is copied to another place than itself, on this machine, and to where nothing stands but an older package.
 * @throws UsageError, IoError when nothing may be written there
 */
export async function openFolder(folder: string, { to }: PublishOptions): Promise<Target> {
  if (contains(folder, to))
    throw new UsageError(`${to} lies inside the package ${folder}, which cannot be copied into itself.`);
  if (contains(to, folder))
    throw new UsageError(`The package ${folder} lies inside ${to}, which it would replace. Choose another place.`);
  const target = await followLink(to);
  await assertReplaceable(target);
  const parent = await nearestFolder(dirname(target));
  await access(parent, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw ioError('write', parent, error);
  });
  const [replaces, free] = [await standing(target), await freeBytes(parent)];
  return { place: target, ...(replaces && { replaces }), ...(free !== undefined && { free }) };
}

export function contains(outer: string, inner: string): boolean {
  const [first] = relative(resolve(outer), resolve(inner)).split(sep);
  return first !== '..';
}

async function nearestFolder(path: string): Promise<string> {
  return (await kindOf(path)) === 'nothing' ? nearestFolder(dirname(path)) : path;
}

async function standing(target: string): Promise<Standing | undefined> {
  const entries = await readdir(target, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  if (files.length === 0) return undefined;
  const sizes = await Promise.all(files.map(async (entry) => (await stat(join(entry.parentPath, entry.name))).size));
  const lock = await readLock(target).catch((error: unknown) => {
    if (error instanceof FormatError) return undefined;
    throw error;
  });
  return { ...(lock && { name: lock.name }), files: files.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
}

/** Of a file system that tells no sizes at all (some network ones), nothing is known. */
async function freeBytes(path: string): Promise<number | undefined> {
  const { bavail, bsize, blocks } = await statfs(path);
  return blocks > 0 ? bavail * bsize : undefined;
}

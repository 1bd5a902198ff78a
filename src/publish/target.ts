/** Where a package is published to: what stands there now, and whether there is room. Nothing is written to find out. */
import { access, constants, readdir, stat, statfs } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { FormatError, UsageError } from '../errors.ts';
import { assertReplaceable, followLink } from '../export/staging.ts';
import { ioError } from '../formats/byte-source.ts';
import { kindOf } from '../recipe/input-files.ts';
import { readLock } from '../runtime/lock-file.ts';
import { formatBytes } from '../text/quantity.ts';
import type { Refusal } from './refusal.ts';

/** A package that would be replaced; its name is unknown where its lock is damaged. */
export interface Standing {
  readonly name?: string;
  readonly files: number;
  readonly bytes: number;
}

export interface Target {
  /** Absolute, a link followed. */
  readonly folder: string;
  readonly replaces?: Standing;
  /** Bytes that may be written there, where the file system tells. */
  readonly free?: number;
}

/**
 * A package is copied to another place than itself, on this machine, and to where nothing stands but an older package.
 * @throws UsageError, IoError when nothing may be written there
 */
export async function openTarget(folder: string, to: string): Promise<Target> {
  if (/^\w+:\/\//.test(to)) throw new UsageError(`This version does not publish to ${to} yet, only to a local folder.`);
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
  return { folder: target, ...(replaces && { replaces }), ...(free !== undefined && { free }) };
}

/** `tiny (24 files, 21.8 MB)` */
export function describeStanding({ name, files, bytes }: Standing): string {
  return `${name ?? 'a package whose lock is damaged'} (${files} ${files === 1 ? 'file' : 'files'}, ${formatBytes(bytes)})`;
}

/** What stands at the target stays until the copy is whole, so there must be room beside it. */
export function refuseRoom({ folder, free }: Target, bytes: number): readonly Refusal[] {
  if (free === undefined || free >= bytes) return [];
  const message = `${folder}: the package has ${bytes} bytes, and there is room for ${free}. Free some, or choose another place.`;
  return [{ kind: 'io', message }];
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

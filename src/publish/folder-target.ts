/**
 * A folder that a package is published to: what stands there now, and whether there is room. The copy becomes visible as a whole, when it
 * has been read again and is what was checked; the version that stood there before stays until then.
 */
import { access, constants, copyFile, mkdir, readdir, realpath, stat, statfs, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { FormatError, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { assertReplaceable, followLink, openStaging } from '../export/staging.ts';
import { ioError } from '../formats/byte-source.ts';
import { changedError, openChecked } from '../hub/content.ts';
import { kindOf } from '../recipe/input-files.ts';
import { readLock } from '../runtime/lock-file.ts';
import { digestCandidate } from './candidate.ts';
import type { Counted, OpenTarget, Parcel, PublishOptions, Sent, Standing, Target } from './place.ts';

/**
 * A package is copied to another place than itself, on this machine, and to where nothing stands but an older package.
 * @throws UsageError, IoError when nothing may be written there
 */
export async function openFolderTarget(folder: string, { to, signal }: PublishOptions): Promise<OpenTarget> {
  const target = await lookAt(to, folder);
  return {
    target,
    name: basename(target.place),
    passes: 3, // every byte is read, copied, and read again
    send: (parcel, counted) => copyTo(to, parcel, counted, signal),
    explain: (error) => error,
  };
}

async function lookAt(to: string, folder: string): Promise<Target> {
  const target = await followLink(to);
  const [from, place] = [await realPlace(folder), await realPlace(target)];
  if (contains(from, place))
    throw new UsageError(`${to} lies inside the package ${folder}, which cannot be copied into itself.`);
  if (contains(place, from))
    throw new UsageError(`The package ${folder} lies inside ${to}, which it would replace. Choose another place.`);
  await assertReplaceable(target);
  const parent = await nearestFolder(dirname(target));
  await access(parent, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw ioError('write', parent, error);
  });
  const [replaces, free] = [await standing(target), await freeBytes(parent)];
  return { place: target, ...(replaces && { replaces }), ...(free !== undefined && { free }) };
}

async function* copyTo(
  to: string,
  { folder, contents }: Parcel,
  { done, total }: Counted,
  signal: AbortSignal | undefined,
): Stage<Sent> {
  await using staging = await openStaging(to);
  for (const { name, bytes, data } of contents) {
    signal?.throwIfAborted();
    yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: `copy ${name}` };
    const path = join(staging.path, name);
    await mkdir(dirname(path), { recursive: true });
    if (typeof data === 'string') {
      await (await openChecked(data)).close(); // copyFile would wait for a pipe without end
      await copyFile(data, path, constants.COPYFILE_EXCL);
      done += bytes;
    } else await writeFile(path, data, { flag: 'wx', flush: true });
  }
  const files = contents.filter(({ data }) => typeof data === 'string');
  const hashing = { action: 'check the copy of', done, total, signal };
  const digests = yield* digestCandidate({ folder: staging.path, files }, hashing);
  const other = files.find(({ sha256 }, i) => digests[i]?.sha256 !== sha256);
  if (other) throw changedError(join(folder, other.name));
  return { to: await staging.commit() };
}

export function contains(outer: string, inner: string): boolean {
  const [first] = relative(resolve(outer), resolve(inner)).split(sep);
  return first !== '..';
}

/** Where `path` is or will be, whatever links lead there. */
async function realPlace(path: string): Promise<string> {
  const there = await nearestFolder(resolve(path));
  return join(await realpath(there), relative(there, resolve(path)));
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

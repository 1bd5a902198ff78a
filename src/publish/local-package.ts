/**
 * A package as an argument: a folder, or a reference whose files are fetched into a temporary folder of the cache and are gone when
 * it is disposed of. Nothing is written into that folder, and what a killed process has left the next one removes.
 */
import { constants, copyFile, link, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Stage } from '../events.ts';
import { makeFolders, openStaging } from '../export/staging.ts';
import { cacheError, openCache } from '../hub/cache.ts';
import type { HubWireOptions } from '../hub/hub-wire.ts';
import { HOST } from '../hub/partial.ts';
import { readHubSettings } from '../hub/settings.ts';
import { fetchPackage } from './fetch-package.ts';
import { isRemote, listRemotePackage } from './list-package.ts';

export interface LocalPackage extends AsyncDisposable {
  /** The package's files, none of them a link. */
  readonly folder: string;
  /** What results call it: the absolute path of a folder, a reference with its commit or digest. */
  readonly name: string;
  /** Of a reference: nobody finds here what is written into the folder. */
  readonly isTemporary: boolean;
}

export interface LocalPackageOptions extends HubWireOptions {
  /** Of a reference, which files are needed; default: all. */
  readonly wanted?: ((path: string) => boolean) | undefined;
}

let serial = 0;

/** A folder is taken as it is, and not looked at. @throws for a reference what pull throws */
export async function* openLocalPackage(
  text: string,
  { wanted, ...options }: LocalPackageOptions = {},
): Stage<LocalPackage> {
  if (!isRemote(text))
    return { folder: text, name: resolve(text), isTemporary: false, async [Symbol.asyncDispose]() {} };
  const settings = await readHubSettings();
  const cache = openCache(settings.cache);
  const remote = await listRemotePackage(text, { settings, cache, ...options });
  await using stack = new AsyncDisposableStack();
  serial += 1;
  const packages = join(cache.folder, 'packages');
  await makeFolders(packages).catch((error: unknown) => {
    throw cacheError('make', packages, error);
  });
  const staging = stack.use(await openStaging(join(packages, `${HOST}-${serial}`)));
  const folder = join(staging.path, remote.name);
  await mkdir(folder);
  yield* fetchPackage(remote, folder, { cache, put: shareContent, wanted, signal: options.signal });
  const kept = stack.move();
  return {
    folder,
    name: remote.reference,
    isTemporary: true,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/**
 * Several packages, as openLocalPackage opens one; one that is named twice is fetched once. Disposing of the result disposes of all.
 * In the order of `texts`.
 */
export async function* openLocalPackages(
  texts: readonly string[],
  options: LocalPackageOptions = {},
): Stage<AsyncDisposable & { readonly packages: readonly LocalPackage[] }> {
  await using stack = new AsyncDisposableStack();
  const opened = new Map<string, LocalPackage>();
  for (const text of texts) if (!opened.has(text)) opened.set(text, stack.use(yield* openLocalPackage(text, options)));
  const kept = stack.move();
  return {
    packages: texts.map((text) => opened.get(text) as LocalPackage),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

/** A second name for the cache's own content, where the file system cannot copy without writing: it is only read. */
async function shareContent(content: string, path: string): Promise<void> {
  await copyFile(content, path, constants.COPYFILE_FICLONE_FORCE)
    .catch(() => link(content, path))
    .catch(() => copyFile(content, path));
}

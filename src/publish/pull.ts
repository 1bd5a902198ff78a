/** A package from the Hub or a registry into a folder, byte for byte; the folder appears when all of it is there. */
import { constants, copyFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import { openCache } from '../hub/cache.ts';
import type { HubWireOptions } from '../hub/hub-wire.ts';
import { readHubSettings } from '../hub/settings.ts';
import { fetchPackage } from './fetch-package.ts';
import { listRemotePackage } from './list-package.ts';

export interface PullOptions extends HubWireOptions {
  /** The folder that becomes the package. */
  readonly out: string;
}

export interface Pulled {
  /** Absolute. */
  readonly folder: string;
  /** With the commit or the digest that it was at. */
  readonly reference: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * @throws UsageError for what is no reference, or a folder that holds something else than a package; InputMissingError when there is no
 * such package; FormatError for what is no package or whose bytes are not what is listed; UnavailableError, IoError
 */
export async function* pull(from: string, { out, ...options }: PullOptions): Stage<Pulled> {
  const settings = await readHubSettings();
  const cache = openCache(settings.cache);
  const remote = await listRemotePackage(from, { settings, cache, ...options });
  await using staging = await openStaging(resolve(out));
  const { signal } = options;
  const fetched = yield* fetchPackage(remote, staging.path, { cache, put: copyContent, signal });
  signal?.throwIfAborted();
  return { folder: await staging.commit(), reference: remote.reference, ...fetched };
}

/** What becomes of the copy is its owner's business, so that it shares no more than its blocks on the disk, where that can be. */
async function copyContent(content: string, path: string): Promise<void> {
  await copyFile(content, path, constants.COPYFILE_FICLONE);
}

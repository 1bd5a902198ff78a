/**
 * A package from an OCI registry into a folder, byte for byte: contents come through the cache that the Hub's have, by their digests, so
 * that what two versions share is fetched once and a broken connection is taken up where it ended.
 */
import { constants, copyFile, mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { InputMissingError, UnavailableError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import { writingTo } from '../formats/byte-source.ts';
import { openCache } from '../hub/cache.ts';
import { download } from '../hub/download.ts';
import { readHubSettings } from '../hub/settings.ts';
import { type ArtifactFile, filesOfManifest, MANIFEST_TYPE } from '../oci/artifact.ts';
import { printOciReference } from '../oci/reference.ts';
import { openRegistryAt, type RegistryOptions } from './registry.ts';

export interface Pulled {
  /** Absolute. */
  readonly folder: string;
  /** With the digest of the manifest. */
  readonly reference: string;
  readonly files: number;
  readonly bytes: number;
}

/**
 * @throws UsageError for what is no reference, or a folder that holds something else than a package; InputMissingError when there is no
 * such artifact; FormatError for one that is no package or whose bytes are not what it lists; UnavailableError, IoError
 */
export async function* pull(
  from: string,
  { out, ...options }: Omit<RegistryOptions, 'to'> & { readonly out: string },
): Stage<Pulled> {
  const started = performance.now();
  const { signal } = options;
  const { reference, registry, explain } = await openRegistryAt(from, options);
  const { cache: folder, offline } = await readHubSettings();
  if (offline.length > 0)
    throw new UnavailableError(`${offline.join(' and ')} forbid the network.`, `Unset them to pull ${from}.`);
  yield { type: 'stage-started', stage: 'fetch', subject: from };
  const cache = openCache(folder);
  try {
    const manifest = await registry.getManifest(reference.digest ?? (reference.tag as string), MANIFEST_TYPE);
    if (!manifest) throw new InputMissingError(`There is no ${from}. Check its name and its tag.`);
    const files = filesOfManifest(manifest.bytes, from);
    const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
    await using staging = await openStaging(resolve(out));
    let done = 0;
    for (const file of files) {
      const fetching = download(registry.addressOf(file), remoteFile(file), {
        cache,
        wire: registry.wire,
        label: from,
        signal,
      });
      for (let step = await fetching.next(); !step.done; step = await fetching.next())
        yield { type: 'progress', stage: 'fetch', done: done + step.value, total, unit: 'bytes', detail: file.name };
      const place = join(staging.path, file.name);
      const content = cache.blobPath(file.digest.slice('sha256:'.length));
      await writingTo(
        place,
        mkdir(dirname(place), { recursive: true }).then(() => copyFile(content, place, constants.COPYFILE_FICLONE)),
      );
      done += file.bytes;
      yield { type: 'progress', stage: 'fetch', done, total, unit: 'bytes', detail: file.name };
    }
    signal?.throwIfAborted();
    const pulled = {
      folder: await staging.commit(),
      reference: printOciReference({ ...reference, digest: manifest.digest }),
      files: files.length,
      bytes: total,
    };
    yield {
      type: 'stage-finished',
      stage: 'fetch',
      milliseconds: performance.now() - started,
      summary: `${pulled.files} files of ${pulled.reference}`,
    };
    return pulled;
  } catch (error) {
    throw explain(error);
  }
}

function remoteFile({ name, digest, bytes }: ArtifactFile) {
  return { path: name, bytes, hash: { kind: 'sha256', hex: digest.slice('sha256:'.length) } } as const;
}

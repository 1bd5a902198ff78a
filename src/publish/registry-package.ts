/** A package in an OCI registry: the layers of an artifact, as its manifest lists them. Manifests are remembered by their digest. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { InputMissingError } from '../errors.ts';
import type { Blob, CacheKey } from '../hub/cache.ts';
import type { RemoteFile } from '../hub/download.ts';
import { NotCached } from '../hub/repository.ts';
import { filesOfManifest, MANIFEST_TYPE } from '../oci/artifact.ts';
import { DIGEST, endpointOf, printOciReference } from '../oci/reference.ts';
import { openRegistryAt } from './registry-target.ts';
import type { RemoteOptions, RemotePackage } from './remote-package.ts';

/** @throws UsageError, InputMissingError, UnavailableError, FormatError */
export async function listRegistryPackage(text: string, options: RemoteOptions): Promise<RemotePackage> {
  const { cache, settings } = options;
  const isOffline = options.offline === true || settings.offline.length > 0;
  const { reference, registry, explain } = await openRegistryAt(text, options);
  const { repository: repo, tag = '' } = reference;
  const keyOf = (kind: CacheKey['kind'], at: string) => ({ endpoint: endpointOf(reference), repo, at, path: '', kind });

  const known =
    reference.digest ?? (isOffline ? await cache.recall(keyOf('digest', tag), z.string().regex(DIGEST)) : undefined);
  const recorded = known === undefined ? undefined : await recall(known);
  if (!recorded && isOffline) throw new NotCached(`${text} is not in the cache, and the network is not to be used.`);
  const { digest, bytes } = recorded ?? (await ask());

  async function recall(digest: string) {
    const manifest = await cache.recall(keyOf('manifest', digest), z.string());
    const bytes = Buffer.from(manifest ?? '', 'base64');
    const found = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    return found === digest ? { digest, bytes } : undefined; // whatever it is then, it is not what was recorded
  }

  async function ask() {
    const manifest = await registry.getManifest(known ?? tag, MANIFEST_TYPE).catch((error: unknown) => {
      throw explain(error);
    });
    if (!manifest) throw new InputMissingError(`There is no ${text}. Check its name and its tag.`);
    filesOfManifest(manifest.bytes, text); // what is no package is not remembered
    await cache.record(keyOf('manifest', manifest.digest), Buffer.from(manifest.bytes).toString('base64'));
    if (reference.digest === undefined) await cache.record(keyOf('digest', tag), manifest.digest);
    return manifest;
  }

  const files = filesOfManifest(bytes, text).map(
    ({ name, digest, bytes }): RemoteFile => ({
      path: name,
      bytes,
      hash: { kind: 'sha256', hex: digest.slice('sha256:'.length) },
    }),
  );
  return {
    reference: printOciReference({ ...reference, digest }),
    name: `${repo.split('/').at(-1)}@${tag || digest.slice('sha256:'.length, 'sha256:'.length + 8)}`,
    remembered: isOffline && reference.digest === undefined,
    files,
    wire: isOffline ? undefined : registry.wire,
    addressOf: (file) => registry.addressOf(blobOf(file)),
    async cached({ hash, bytes }) {
      const content: Blob = { sha256: hash.hex, bytes };
      return (await cache.has(content)) ? content : undefined;
    },
    remember: async () => undefined, // the digest says it
    explain,
  };
}

function blobOf({ hash, bytes }: RemoteFile) {
  return { digest: `sha256:${hash.hex}`, bytes };
}

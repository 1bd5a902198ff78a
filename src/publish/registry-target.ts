/**
 * A tag in an OCI registry that a package is published to, file by file as a ModelPack artifact. What the registry has is not sent; the
 * manifest, by which all of it is found, comes last, so that nothing half-sent can be seen.
 */
import { basename } from 'node:path';
import { FormatError, UnavailableError, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { openCache } from '../hub/cache.ts';
import type { Content } from '../hub/content.ts';
import { readHubSettings } from '../hub/settings.ts';
import {
  type ArtifactFile,
  artifactConfig,
  artifactManifest,
  type Described,
  filesOfManifest,
  MANIFEST_TYPE,
} from '../oci/artifact.ts';
import { readCredentials } from '../oci/credentials.ts';
import { explainRegistry } from '../oci/failures.ts';
import { type OciReference, parseOciReference, printOciReference } from '../oci/reference.ts';
import { openRegistry, type Registry } from '../oci/registry.ts';
import { openUploads } from '../oci/uploads.ts';
import { readLock } from '../runtime/lock-file.ts';
import {
  type Counted,
  networkForbidden,
  type OpenTarget,
  type Parcel,
  type PublishOptions,
  type Sent,
  type Target,
} from './place.ts';

export interface OpenedRegistry {
  readonly reference: OciReference;
  readonly registry: Registry;
  /** What is thrown instead of an error of the network. */
  readonly explain: (error: unknown) => unknown;
}

/** @throws UsageError for what is no reference */
export async function openRegistryAt(
  text: string,
  { signal, patience, chunk }: Pick<PublishOptions, 'signal' | 'patience' | 'chunk'>,
): Promise<OpenedRegistry> {
  const reference = parseOciReference(text);
  if ('fault' in reference) throw new UsageError(reference.fault);
  const credentials = await readCredentials(reference.registry);
  const { cache } = await readHubSettings();
  const uploads = openUploads(openCache(cache), reference);
  return {
    reference,
    registry: openRegistry(reference, { credentials, uploads, signal, patience, chunk }),
    explain: (error) => explainRegistry(error, { reference, hasCredentials: credentials !== undefined }),
  };
}

/**
 * @throws UsageError for what is no reference, names a digest, or holds something else than a package; UnavailableError, also where the
 * network is forbidden
 */
export async function openRegistryTarget(_: string, { to, ...options }: PublishOptions): Promise<OpenTarget> {
  const opened = await openRegistryAt(to, options);
  const { reference, explain } = opened;
  if (reference.digest !== undefined)
    throw new UsageError(`${to} names a digest, which is what comes of publishing. Give a tag, or neither.`);
  const { offline } = await readHubSettings();
  if (offline.length > 0) throw networkForbidden(offline, to);
  return {
    target: await lookAt(opened).catch((error: unknown) => {
      throw explain(error);
    }),
    name: basename(reference.repository),
    passes: 2, // every byte is read, and sent or found there
    send: (parcel, counted) => sendTo(opened, parcel, counted, options.signal),
    explain,
  };
}

/** What has the tag now. */
async function lookAt({ reference, registry }: OpenedRegistry): Promise<Target> {
  const place = printOciReference(reference);
  const manifest = await registry.getManifest(reference.tag as string, MANIFEST_TYPE);
  if (!manifest) return { place };
  const files = packageIn(manifest.bytes, place);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { place, replaces: { name: manifest.digest, files: files.length, bytes } };
}

function packageIn(manifest: Uint8Array, place: string): readonly ArtifactFile[] {
  try {
    return filesOfManifest(manifest, place);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new UsageError(`${error.message} It would be replaced. Choose another tag.`);
  }
}

async function* sendTo(
  { reference, registry }: OpenedRegistry,
  { folder, contents }: Parcel,
  counted: Counted,
  signal: AbortSignal | undefined,
): Stage<Sent> {
  const files = contents.map(({ name, sha256, bytes }) => ({ name, digest: `sha256:${sha256}`, bytes }));
  yield* pushFiles(registry, contents, files, counted);
  const config = await registry.pushBytes(json(artifactConfig(files, await described(folder))));
  const manifest = json(artifactManifest(files, config));
  signal?.throwIfAborted();
  const tag = reference.tag as string;
  const before = await registry.getManifest(tag, MANIFEST_TYPE);
  const unchanged = before !== undefined && Buffer.from(before.bytes).equals(manifest);
  const digest = unchanged ? before.digest : await registry.putManifest(manifest, MANIFEST_TYPE, tag);
  const to = printOciReference({ ...reference, digest });
  const stands = await registry.getManifest(tag, MANIFEST_TYPE);
  if (stands?.digest !== digest)
    throw new UnavailableError(
      `${printOciReference(reference)} names ${stands?.digest ?? 'nothing'} after ${digest} was put there.`,
      'Has somebody else published at the same time? If not, the registry does not keep artifacts, or does not move tags.',
    );
  return { to, ...(unchanged && { unchanged }) };
}

async function described(folder: string): Promise<Described | undefined> {
  const lock = await readLock(folder);
  return lock && { name: lock.name, dtype: lock.recipe.output.dtype };
}

async function* pushFiles(
  registry: Registry,
  contents: readonly Content[],
  files: readonly ArtifactFile[],
  { done, total }: Counted,
): Stage<void> {
  for (const [i, { name, bytes, data }] of contents.entries()) {
    const file = files[i] as ArtifactFile;
    if (typeof data !== 'string') {
      await registry.pushBytes(data);
      continue;
    }
    if (!(await registry.has(file))) {
      for await (const sent of registry.push(file, data))
        yield { type: 'progress', stage: 'publish', done: done + sent, total, unit: 'bytes', detail: `send ${name}` };
    }
    done += bytes;
    yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: name };
  }
}

const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));

/**
 * Publishes a verified package to an OCI registry, file by file as a ModelPack artifact. What the registry has is not sent; the manifest,
 * by which all of it is found, comes last, so that nothing half-sent can be seen.
 */

import { basename, join, resolve } from 'node:path';
import { UnavailableError, UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import type { FileDigest } from '../export/lock.ts';
import { openCache } from '../hub/cache.ts';
import type { Patience } from '../hub/http.ts';
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
import { bundleJson } from '../sign/bundle.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
import { count } from '../text/quantity.ts';
import { type Candidate, checkBytes, digestsByName, openCandidate } from './candidate.ts';
import { networkForbidden, type Published, type PublishOptions, type Target } from './place.ts';
import { assertNoRefusal } from './refusal.ts';

export interface RegistryOptions extends PublishOptions {
  readonly patience?: Patience;
  /** Bytes of a chunk. */
  readonly chunk?: number;
}

export interface OpenedRegistry {
  readonly reference: OciReference;
  readonly registry: Registry;
  /** What is thrown instead of an error of the network. */
  readonly explain: (error: unknown) => unknown;
}

/** @throws UsageError for what is no reference */
export async function openRegistryAt(
  text: string,
  { signal, patience, chunk }: Pick<RegistryOptions, 'signal' | 'patience' | 'chunk'>,
): Promise<OpenedRegistry> {
  const reference = parseOciReference(text);
  if ('fault' in reference) throw new UsageError(reference.fault);
  const credentials = await readCredentials(reference.registry);
  const { cache } = await readHubSettings();
  const uploads = openUploads(openCache(cache), reference);
  return {
    reference,
    registry: openRegistry(reference, {
      credentials,
      uploads,
      signal,
      ...(patience && { patience }),
      ...(chunk && { chunk }),
    }),
    explain: (error) => explainRegistry(error, { reference, hasCredentials: credentials !== undefined }),
  };
}

/** What has the tag now. @throws UsageError for what is no reference, or names a digest; UnavailableError, FormatError */
export async function openRegistryTarget(_: string, { to, ...options }: RegistryOptions): Promise<Target> {
  const { reference, registry, explain } = await openTag(to, options);
  const place = printOciReference(reference);
  try {
    const manifest = await registry.getManifest(reference.tag as string, MANIFEST_TYPE);
    if (!manifest) return { place };
    const files = filesOfManifest(manifest.bytes, to);
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    return { place, replaces: { name: manifest.digest, files: files.length, bytes } };
  } catch (error) {
    throw explain(error);
  }
}

/** A place to publish to. @throws UsageError for a digest; UnavailableError where the network is forbidden */
async function openTag(to: string, options: Omit<RegistryOptions, 'to'>): Promise<OpenedRegistry> {
  const opened = await openRegistryAt(to, options);
  if (opened.reference.digest !== undefined)
    throw new UsageError(`${to} names a digest, which is what comes of publishing. Give a tag, or neither.`);
  const { offline } = await readHubSettings();
  if (offline.length > 0) throw networkForbidden(offline, to);
  return opened;
}

/**
 * The result names the manifest by its digest.
 * @throws PublishError when the package has no passed report for exactly these bytes; UsageError for what is no reference, or names a
 * digest; UnavailableError when the registry refuses or is not there, or the network is forbidden
 */
export async function* publishToRegistry(folder: string, { to, ...options }: RegistryOptions): Stage<Published> {
  const started = performance.now();
  const { signal, signer } = options;
  const { reference, registry, explain } = await openTag(to, options);
  yield { type: 'stage-started', stage: 'publish', subject: to };
  const candidate = await openCandidate(folder, { resigned: signer !== undefined });
  assertNoRefusal(candidate.refusals);
  const total = 2 * candidate.bytes;
  const { digests, refusals } = yield* checkBytes(candidate, { done: 0, total, action: 'check', signal });
  assertNoRefusal(refusals);
  const own = artifactFiles(candidate, digests);
  try {
    yield* pushFiles(registry, candidate, own, { done: candidate.bytes, total });
    const signed = { name: basename(resolve(folder)), files: digestsByName(candidate.files, digests) };
    const signature = signer && (await registry.pushBytes(new TextEncoder().encode(bundleJson(signed, signer))));
    const files = signature ? [...own, { name: SIGNATURE_FILE, ...signature }] : own;
    const config = await registry.pushBytes(json(artifactConfig(files, await described(folder))));
    const manifest = json(artifactManifest(files, config));
    signal?.throwIfAborted();
    const tag = reference.tag as string;
    const before = await registry.getManifest(tag, MANIFEST_TYPE);
    const unchanged = before !== undefined && Buffer.from(before.bytes).equals(manifest);
    const digest = unchanged ? before.digest : await registry.putManifest(manifest, MANIFEST_TYPE, tag);
    const stands = await registry.getManifest(digest, MANIFEST_TYPE);
    if (!stands || filesOfManifest(stands.bytes, to).length !== files.length)
      throw new UnavailableError(
        `${to} took the manifest and does not have it.`,
        'Is it a registry that keeps artifacts?',
      );
    const at = printOciReference({ ...reference, digest });
    yield {
      type: 'stage-finished',
      stage: 'publish',
      milliseconds: performance.now() - started,
      summary: `${count(files.length, 'file')} in ${at}${unchanged ? ', which has them already' : ''}`,
    };
    return {
      to: at,
      files: files.length,
      bytes: candidate.bytes + (signature?.bytes ?? 0),
      ...(unchanged && { unchanged }),
      ...(signer && { signed: signer.hint }),
    };
  } catch (error) {
    throw explain(error);
  }
}

async function described(folder: string): Promise<Described | undefined> {
  const lock = await readLock(folder);
  return lock && { name: lock.name, dtype: lock.recipe.output.dtype };
}

function artifactFiles({ files }: Candidate, digests: readonly FileDigest[]): readonly ArtifactFile[] {
  return files.map(({ name }, i) => {
    const { sha256, bytes } = digests[i] as FileDigest;
    return { name, digest: `sha256:${sha256}`, bytes };
  });
}

async function* pushFiles(
  registry: Registry,
  { folder }: Candidate,
  files: readonly ArtifactFile[],
  { done, total }: { done: number; total: number },
): Stage<void> {
  for (const file of files) {
    const { name, bytes } = file;
    if (!(await registry.has(file))) {
      for await (const sent of registry.push(file, join(folder, name)))
        yield { type: 'progress', stage: 'publish', done: done + sent, total, unit: 'bytes', detail: `send ${name}` };
    }
    done += bytes;
    yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: name };
  }
}

const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));

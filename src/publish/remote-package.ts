/**
 * A package that is elsewhere, on the Hub or in a registry, as it is listed there: pinned to a commit or a digest, and of every file
 * its name, its hash and where it is. Listing it asks a few questions and fetches nothing.
 */
import { FormatError, InputMissingError, UsageError } from '../errors.ts';
import { LOCK_FILE } from '../export/lock.ts';
import type { Blob, Cache } from '../hub/cache.ts';
import type { RemoteFile } from '../hub/download.ts';
import type { Patience, Wire } from '../hub/http.ts';
import { isReference } from '../hub/reference.ts';
import { NotCached } from '../hub/repository.ts';
import type { HubSettings } from '../hub/settings.ts';
import { isOciReference } from '../oci/reference.ts';
import { listHubPackage } from './hub-package.ts';
import { listRegistryPackage } from './registry-package.ts';

export interface RemotePackage {
  /** With the commit or the digest that it is at: it means the same bytes for ever. */
  readonly reference: string;
  /** Short, and fit for the name of a folder: `tiny@v1`, `tiny@0a1b2c3d`. */
  readonly name: string;
  /** What it is at is what the cache remembers of a branch or a tag, because the network is not to be used. */
  readonly remembered: boolean;
  /** By paths in the package, which are safe. */
  readonly files: readonly RemoteFile[];
  /** None when the network is not to be used. */
  readonly wire: Wire | undefined;
  addressOf(file: RemoteFile): string;
  /** The content of `file` if it is in the cache. */
  cached(file: RemoteFile): Promise<Blob | undefined>;
  remember(file: RemoteFile, content: Blob): Promise<void>;
  /** What is thrown instead of an error of the network. */
  explain(error: unknown): unknown;
}

export interface RemoteOptions {
  readonly settings: HubSettings;
  readonly cache: Cache;
  /** Use the cache only; so do the settings, where the environment says it. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

interface Kind {
  readonly is: (text: string) => boolean;
  readonly list: (text: string, options: RemoteOptions) => Promise<RemotePackage>;
}

const KINDS: readonly Kind[] = [
  { is: isReference, list: listHubPackage },
  { is: isOciReference, list: listRegistryPackage },
];

/** Whether `text` names a package that is elsewhere, and no folder. */
export function isRemote(text: string): boolean {
  return KINDS.some(({ is }) => is(text));
}

/** Of a package and its weights, some dozen; one of a million files is an attack. */
const MAX_FILES = 10_000;
/** A package has one of them: the lock if lcm-merge baked it, the graph also if another tool did. */
const SIGNS = [LOCK_FILE, 'unet/model.onnx'];

/**
 * @throws UsageError for what is no reference to a package; InputMissingError when there is none, or, offline, none in the cache;
 * FormatError for what is no package, or has names that must not become paths; UnavailableError
 */
export async function listRemotePackage(text: string, options: RemoteOptions): Promise<RemotePackage> {
  const kind = KINDS.find(({ is }) => is(text));
  if (!kind)
    throw new UsageError(`${text} is no reference to a package: hf://owner/name@revision or oci://registry/name:tag.`);
  const found = await kind.list(text, options).catch((error: unknown) => {
    throw withRemedy(error);
  });
  const fault = (reason: string) => new FormatError(`${text} is no package: ${reason}. Nothing was fetched.`);
  if (!found.files.some(({ path }) => SIGNS.includes(path))) throw fault(`it has neither ${SIGNS.join(' nor ')}`);
  if (found.files.length > MAX_FILES)
    throw fault(`it has ${found.files.length} files, and ${MAX_FILES} at most are fetched`);
  return found;
}

/** How what is not in the cache gets there. */
export function withRemedy(error: unknown): unknown {
  if (!(error instanceof NotCached)) return error;
  return new InputMissingError(
    `${error.message} Run it once without --offline (and LCM_MERGE_OFFLINE, HF_HUB_OFFLINE), and it is.`,
  );
}

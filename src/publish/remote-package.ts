/**
 * A package that is elsewhere, on the Hub or in a registry, as it is listed there: pinned to a commit or a digest, and of every file
 * its name, its hash and where it is.
 */
import { InputMissingError } from '../errors.ts';
import type { Blob, Cache } from '../hub/cache.ts';
import type { RemoteFile } from '../hub/download.ts';
import type { Wire } from '../hub/http.ts';
import type { HubWireOptions } from '../hub/hub-wire.ts';
import { NotCached } from '../hub/repository.ts';
import type { HubSettings } from '../hub/settings.ts';

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

export interface RemoteOptions extends HubWireOptions {
  readonly settings: HubSettings;
  readonly cache: Cache;
}

/** How what is not in the cache gets there. */
export function withRemedy(error: unknown): unknown {
  if (!(error instanceof NotCached)) return error;
  return new InputMissingError(
    `${error.message} Run it once without --offline (and LCM_MERGE_OFFLINE, HF_HUB_OFFLINE), and it is.`,
  );
}

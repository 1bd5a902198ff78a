/** A place that a package is published to, whatever its kind: what stands there, and what comes of publishing. */
import type { Signer } from '../sign/keys.ts';
import { count, formatBytes } from '../text/quantity.ts';
import type { Refusal } from './refusal.ts';

/** A package that would be replaced. */
export interface Standing {
  /** Unknown where it cannot be read. */
  readonly name?: string;
  readonly files: number;
  readonly bytes: number;
}

export interface Target {
  /** An absolute path, a link followed; or a reference. */
  readonly place: string;
  readonly replaces?: Standing;
  /** Bytes that may be written there, where that can be told. */
  readonly free?: number;
}

export interface PublishOptions {
  readonly to: string;
  /** Signs what is published, in place of a signature that was there. */
  readonly signer?: Signer | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Published {
  /** Where it is now: an absolute path, or a reference with a digest. */
  readonly to: string;
  readonly files: number;
  readonly bytes: number;
  /** The key that it was signed with now, as its signature names it. */
  readonly signed?: string;
}

/** `tiny (24 files, 21.8 MB)` */
export function describeStanding({ name, files, bytes }: Standing): string {
  return `${name ?? 'a package whose lock is damaged'} (${count(files, 'file')}, ${formatBytes(bytes)})`;
}

/** What stands at the target stays until the copy is whole, so there must be room beside it. */
export function refuseRoom({ place, free }: Target, bytes: number): readonly Refusal[] {
  if (free === undefined || free >= bytes) return [];
  const message = `${place}: the package has ${bytes} bytes, and there is room for ${free}. Free some, or choose another place.`;
  return [{ kind: 'io', message }];
}

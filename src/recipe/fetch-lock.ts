/** What is fetched from the Hub held to a lock: the same reference must still be the same bytes. */
import { FormatError } from '../errors.ts';
import type { Blob } from '../hub/cache.ts';
import type { RemoteFile } from '../hub/download.ts';
import { printReference, type Reference } from '../hub/reference.ts';
import { quote } from '../text/quote.ts';
import { type KeyPath, keyName } from './located-yaml.ts';
import { atKey } from './place.ts';
import type { Recipe } from './schema.ts';

/** What a lock says of the references of the recipe that it was made from. */
export interface LockedInputs {
  /** How messages call the lock. */
  readonly name: string;
  readonly origins: Readonly<Record<string, LockedOrigin>>;
  /** Take the lock's commit for a branch or a tag, instead of asking which one it is today. */
  readonly pin: boolean;
}

export interface LockedOrigin {
  readonly reference: string;
  readonly commit: string;
  readonly files: Readonly<Record<string, { readonly sha256: string }>>;
}

/** What the lock says of the input at `key`, or of another that had the same reference. */
export function findLocked(lock: LockedInputs | undefined, key: KeyPath, reference: string): LockedOrigin | undefined {
  const origins = lock?.origins ?? {};
  const own = origins[keyName(key)];
  return own?.reference === reference ? own : Object.values(origins).find((origin) => origin.reference === reference);
}

export interface FetchedContent {
  readonly key: KeyPath;
  /** As the recipe writes it. */
  readonly text: string;
  readonly reference: Reference;
  readonly commit: string;
  readonly file: RemoteFile;
  /** Needed where the repository's listing does not tell the SHA-256; a file of unknown content is let pass. */
  readonly blob: Blob | undefined;
}

/** @throws FormatError when the lock has another content under the same reference. */
export function refuseOtherContent(lock: LockedInputs, recipe: Recipe, content: FetchedContent): void {
  const { key, text, reference, commit, file, blob } = content;
  const locked = findLocked(lock, key, text);
  const expected = locked?.files[file.path]?.sha256;
  const found = blob?.sha256 ?? (file.hash.kind === 'sha256' ? file.hash.hex : undefined);
  if (locked === undefined || expected === undefined || found === undefined || expected === found) return;
  const remedy =
    commit === locked.commit
      ? 'One of the two has been tampered with.'
      : `${reference.revision} has moved. Write ${quote(printReference(reference, locked.commit), 200)} for what it was, or @${commit} for what it is now.`;
  const { message, place } = atKey(
    recipe,
    key,
    `${quote(text, 200)}: the SHA-256 of ${file.path} is ${found} (commit ${commit}), but ${lock.name} says ${expected} (commit ${locked.commit}). ${remedy}`,
  );
  throw new FormatError(message, place);
}

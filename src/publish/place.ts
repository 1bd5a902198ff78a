/** A place that a package is published to, whatever its kind: what stands there, what is sent, and what comes of it. */
import { UnavailableError } from '../errors.ts';
import type { Stage } from '../events.ts';
import type { Content } from '../hub/content.ts';
import type { Patience } from '../hub/http.ts';
import type { Recipe } from '../recipe/schema.ts';
import type { Signer } from '../sign/keys.ts';
import { count, formatBytes } from '../text/quantity.ts';
import type { Refusal } from './refusal.ts';

/** A package that would be replaced. */
export interface Standing {
  /** Unknown where it cannot be read. */
  readonly name?: string;
  readonly files: number;
  readonly bytes: number;
  /** Where it is one of several versions that are kept. */
  readonly commit?: string;
}

/** What publishing to the Hub would be. */
export interface HubTarget {
  /** What it would be on top of; left out where there is no repository. */
  readonly head?: string;
  /** Whose token it is. */
  readonly account: string;
  /** Of some tokens only trying tells. */
  readonly mayWrite: 'yes' | 'unknown';
  /** What would be made first. */
  readonly creates?: 'repository' | 'private repository' | 'public repository' | 'branch';
  readonly pullRequest?: true;
}

export interface Target {
  /** An absolute path, a link followed; or a reference. */
  readonly place: string;
  readonly replaces?: Standing;
  /** Bytes that may be written there, where that can be told. */
  readonly free?: number;
  readonly hub?: HubTarget;
}

/** What only the Hub has. */
export interface HubWishes {
  /** Who may see a repository that is made; default: what its owner has set. One that is there stays as it is. */
  readonly private?: boolean | undefined;
  /** The commit is offered as a pull request. */
  readonly pullRequest?: boolean | undefined;
  /** Of the commit: its title, and what comes after the first line. */
  readonly message?: string | undefined;
  /** The commit that a preview has shown; where another stands by then, nothing is published. */
  readonly over?: string | undefined;
}

export interface PublishOptions extends HubWishes {
  readonly to: string;
  /** Signs what is published, in place of a signature that was there. */
  readonly signer?: Signer | undefined;
  readonly signal?: AbortSignal | undefined;
  /** With the Hub or a registry. */
  readonly patience?: Patience | undefined;
  /** Bytes that a registry gets at a time. */
  readonly chunk?: number | undefined;
}

/** Every file of a package by the hash that it has passed with, and the signature that was made of them. */
export interface Parcel {
  /** The package's. */
  readonly folder: string;
  readonly contents: readonly Content[];
}

/** Bytes that are behind it, of how many; those of a signature do not count. */
export interface Counted {
  readonly done: number;
  readonly total: number;
}

/** A place that has been looked at, and may be published to. */
export interface OpenTarget {
  readonly target: Target;
  /** What a package is called there. */
  readonly name: string;
  /** How often progress counts every byte: when it is checked, and whenever it is read again. */
  readonly passes: number;
  /** Sends all of it, or leaves what stood there as it was. */
  readonly send: (parcel: Parcel, counted: Counted) => Stage<Sent>;
  /** What is thrown instead of an error of the network. */
  readonly explain: (error: unknown) => unknown;
}

export interface Sent {
  /** Where it is now: an absolute path, or a reference with a commit or a digest. */
  readonly to: string;
  /** It stood there already, byte for byte. */
  readonly unchanged?: true;
  /** The address of the pull request that offers it. */
  readonly pullRequest?: string;
}

export interface Published extends Sent {
  readonly files: number;
  readonly bytes: number;
  /** The key that it was signed with now, as its signature names it. */
  readonly signed?: string;
}

/** `offline`: the variables of the environment that say so. */
export function networkForbidden(offline: readonly string[], place: string): UnavailableError {
  const [forbid, them] = offline.length > 1 ? ['forbid', 'them'] : ['forbids', 'it'];
  return new UnavailableError(
    `${offline.join(' and ')} ${forbid} the network.`,
    `Unset ${them} to publish to ${place}.`,
  );
}

/** What a recipe says, as `publish` takes it. */
export function wishesOf({ pull_request, ...publish }: NonNullable<Recipe['publish']>) {
  return { ...publish, ...(pull_request && { pullRequest: true }) };
}

/** `tiny (24 files, 21.8 MB)` */
export function describeStanding({ name, files, bytes, commit }: Standing): string {
  const at = commit === undefined ? '' : `, commit ${commit.slice(0, 12)}`;
  return `${name ?? 'a package whose lock is damaged'} (${count(files, 'file')}, ${formatBytes(bytes)}${at})`;
}

/** What stands at the target stays until the copy is whole, so there must be room beside it. */
export function refuseRoom({ place, free }: Target, bytes: number): readonly Refusal[] {
  if (free === undefined || free >= bytes) return [];
  const message = `${place}: the package has ${bytes} bytes, and there is room for ${free}. Free some, or choose another place.`;
  return [{ kind: 'io', message }];
}

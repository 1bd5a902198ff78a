/** Places that a package is published to, by their kind: one row for each. */
import { UsageError } from '../errors.ts';
import { isReference } from '../hub/reference.ts';
import { isOciReference } from '../oci/reference.ts';
import { openFolderTarget } from './folder-target.ts';
import { openHubTarget } from './hub-target.ts';
import type { HubWishes, OpenTarget, PublishOptions } from './place.ts';
import { openRegistryTarget } from './registry-target.ts';

interface Kind {
  readonly is: (to: string) => boolean;
  /** It understands what only the Hub has. */
  readonly isHub?: true;
  /** What stands there; nothing is written to find out. */
  readonly open: (folder: string, options: PublishOptions) => Promise<OpenTarget>;
}

/** A scheme, `hf:/` with one slash too; the letter of a drive is none. */
const ADDRESS = /^[a-z][a-z\d+.-]+:/i;

/** The first that fits. */
const KINDS: readonly Kind[] = [
  { is: isReference, isHub: true, open: openHubTarget },
  { is: isOciReference, open: openRegistryTarget },
  { is: (to) => !ADDRESS.test(to), open: openFolderTarget },
];

const HUB_ONLY: Readonly<Record<keyof HubWishes, string>> = {
  private: 'private or public repository',
  pullRequest: 'pull request',
  message: 'message',
  over: 'commits',
};

function kindOf({ to, ...options }: PublishOptions): Kind {
  const kind = KINDS.find(({ is }) => is(to));
  if (!kind)
    throw new UsageError(
      `${to} is no place to publish to: a folder, a repository on the Hub (hf://owner/name) or a registry (oci://registry/name:tag) is one.`,
    );
  const wish = (Object.keys(HUB_ONLY) as (keyof HubWishes)[]).find((name) => options[name] !== undefined);
  if (wish !== undefined && !kind.isHub)
    throw new UsageError(`${to} has no ${HUB_ONLY[wish]}; only the Hub (hf://owner/name) has.`);
  return kind;
}

/** @throws UsageError for a place that cannot be published to, IoError or UnavailableError when it cannot be looked at */
export async function openTarget(folder: string, options: PublishOptions): Promise<OpenTarget> {
  return kindOf(options).open(folder, options);
}

/** Publishing, by the kind of place: one row for each. */
import { UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { isReference } from '../hub/reference.ts';
import { isOciReference } from '../oci/reference.ts';
import { publishToFolder } from './folder.ts';
import { openFolder } from './folder-target.ts';
import { publishToHub } from './hub.ts';
import { openHubTarget } from './hub-target.ts';
import type { HubWishes, Published, PublishOptions, Target } from './place.ts';
import { openRegistryTarget, publishToRegistry } from './registry.ts';

interface Kind {
  readonly is: (to: string) => boolean;
  /** It understands what only the Hub has. */
  readonly isHub?: true;
  /** What stands there; nothing is written to find out. */
  readonly open: (folder: string, options: PublishOptions) => Promise<Target>;
  readonly publish: (folder: string, options: PublishOptions) => Stage<Published>;
}

/** A scheme, `hf:/` with one slash too; the letter of a drive is none. */
const ADDRESS = /^[a-z][a-z\d+.-]+:/i;

/** The first that fits. */
const KINDS: readonly Kind[] = [
  { is: isReference, isHub: true, open: openHubTarget, publish: publishToHub },
  { is: isOciReference, open: openRegistryTarget, publish: publishToRegistry },
  { is: (to) => !ADDRESS.test(to), open: openFolder, publish: publishToFolder },
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
export async function openTarget(folder: string, options: PublishOptions): Promise<Target> {
  return kindOf(options).open(folder, options);
}

/**
 * @throws PublishError when the package has no passed report for exactly these bytes; there is no way around it. UsageError for a
 * place that cannot be published to, IoError when there is no room, UnavailableError when the Hub or a registry is not there or refuses.
 */
export async function* publish(folder: string, options: PublishOptions): Stage<Published> {
  return yield* kindOf(options).publish(folder, options);
}

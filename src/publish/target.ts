/** Publishing, by the kind of place: one row for each. */
import { UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { isOciReference } from '../oci/reference.ts';
import { publishToFolder } from './folder.ts';
import { openFolder } from './folder-target.ts';
import type { Published, PublishOptions, Target } from './place.ts';
import { openRegistryTarget, publishToRegistry } from './registry.ts';

interface Kind {
  readonly is: (to: string) => boolean;
  /** What stands there; nothing is written to find out. */
  readonly open: (folder: string, options: PublishOptions) => Promise<Target>;
  readonly publish: (folder: string, options: PublishOptions) => Stage<Published>;
}

const ADDRESS = /^\w+:\/\//;

/** The first that fits. */
const KINDS: readonly Kind[] = [
  { is: isOciReference, open: openRegistryTarget, publish: publishToRegistry },
  { is: (to) => !ADDRESS.test(to), open: openFolder, publish: publishToFolder },
];

function kindOf(to: string): Kind {
  const kind = KINDS.find(({ is }) => is(to));
  if (kind) return kind;
  throw new UsageError(
    `This version does not publish to ${to} yet, only to a local folder or a registry (oci://registry/name:tag).`,
  );
}

/** @throws UsageError for a place that cannot be published to, IoError or UnavailableError when it cannot be looked at */
export async function openTarget(folder: string, options: PublishOptions): Promise<Target> {
  return kindOf(options.to).open(folder, options);
}

/**
 * @throws PublishError when the package has no passed report for exactly these bytes; there is no way around it. UsageError for a
 * place that cannot be published to, IoError when there is no room, UnavailableError when a registry is not there or refuses.
 */
export async function* publish(folder: string, options: PublishOptions): Stage<Published> {
  return yield* kindOf(options.to).publish(folder, options);
}

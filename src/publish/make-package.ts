/**
 * The whole job as one stage: bake, verify, and publish if the recipe says so. What stood at the output stays there until the
 * new package has passed; one that has not passed is kept beside it as `<out>.failed`.
 */
import { resolve } from 'node:path';
import type { Stage } from '../events.ts';
import { bake } from '../export/package.ts';
import { assertReplaceable, openStaging } from '../export/staging.ts';
import type { Plan } from '../merge/plan.ts';
import type { Profile } from '../recipe/profile.ts';
import { assertOffered, type Device } from '../runtime/device.ts';
import { probeDevice } from '../runtime/probe.ts';
import { verify } from '../verify/gate.ts';
import type { Report } from '../verify/report.ts';
import { wishesOf } from './place.ts';
import { publish } from './publish.ts';
import { openTarget } from './target.ts';

export interface MakeOptions {
  /** The folder that becomes the package. */
  readonly out: string;
  /** Default: what the recipe says. */
  readonly device?: Device | 'auto' | undefined;
  /** As for `verify`. */
  readonly allowFallback?: boolean | undefined;
  /** Default: what the recipe says. */
  readonly profile?: Profile | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MadePackage {
  /** Absolute; ends in `.failed` when the gate did not let it pass. */
  readonly folder: string;
  readonly report: Report;
  /** Where it was published to, if it was. */
  readonly published?: string;
  /** The address of the pull request that offers it there. */
  readonly pullRequest?: string;
}

/**
 * Makes the package that `plan` describes. An abort or an error leaves nothing behind; one while publishing leaves the package.
 * @throws UnavailableError, before anything is written, when the device is not there or does not work; UsageError when something
 * that is no package stands at `out`; what bake, verify and publish throw.
 */
export async function* makePackage(
  plan: Plan,
  { out, device, allowFallback, profile, signal }: MakeOptions,
): Stage<MadePackage> {
  const { recipe } = plan;
  const runsOn = device ?? recipe.verify.device;
  assertOffered(runsOn);
  if (runsOn !== 'cpu' && runsOn !== 'auto') await probeDevice(runsOn, signal); // a device that does not work is found before baking
  const target = resolve(out);
  const failed = `${target}.failed`;
  await assertReplaceable(failed); // where the package goes if it does not pass
  const goesTo = recipe.publish && wishesOf(recipe.publish);
  if (goesTo) await openTarget(target, { ...goesTo, signal }); // what publishing would refuse is found before baking
  await using staging = await openStaging(target);
  yield* bake(plan, { into: staging.path, signal });
  const report = yield* verify(staging.path, {
    plan,
    replaces: target,
    device: runsOn,
    allowFallback,
    profile,
    signal,
  });
  signal?.throwIfAborted();
  if (report.verdict !== 'passed') return { folder: await staging.commit(failed), report };
  const folder = await staging.commit();
  if (!goesTo) return { folder, report };
  const { to, pullRequest } = yield* publish(folder, { ...goesTo, signal });
  return { folder, report, published: to, ...(pullRequest !== undefined && { pullRequest }) };
}

/** The whole job: plan, bake, verify, and publish if the recipe says so. What stood at the output stays until the new package has passed. */

import { resolve } from 'node:path';
import { bake } from '../../export/package.ts';
import { assertReplaceable, openStaging } from '../../export/staging.ts';
import { publish } from '../../publish/folder.ts';
import { resolveDevice } from '../../runtime/device.ts';
import { probeDevice } from '../../runtime/probe.ts';
import { verify } from '../../verify/gate.ts';
import type { Command } from '../context.ts';
import { defaultOut } from './bake.ts';
import { describePlan } from './plan.ts';
import { planRecipe } from './plan-recipe.ts';
import { verdictOutcome } from './verify.ts';

export const make: Command<'make'> = async (args, { signal, follow, paint }) => {
  const plan = await follow(planRecipe(args.recipe, signal));
  const { recipe } = plan;
  const device = resolveDevice(args.device ?? recipe.verify.device); // a device that is not there is found before baking
  if (args['dry-run']) return describePlan(plan, paint);
  if (device !== 'cpu') await probeDevice(device, signal);

  const out = resolve(args.out ?? defaultOut(recipe));
  const failed = `${out}.failed`;
  await assertReplaceable(failed); // where the package goes if it does not pass
  await using staging = await openStaging(out);
  await follow(bake(plan, { into: staging.path, signal }));
  const report = await follow(verify(staging.path, { plan, device, signal }));
  signal.throwIfAborted();
  if (report.verdict !== 'passed') return verdictOutcome(report, await staging.commit(failed));
  const folder = await staging.commit();
  const { text, value } = verdictOutcome(report, folder);
  if (!recipe.publish) return { text, value };
  const { to } = await follow(publish(folder, { to: recipe.publish.to, signal }));
  return { text, value: { ...value, published: to } };
};

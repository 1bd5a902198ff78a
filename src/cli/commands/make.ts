/** The whole job: plan, bake, verify, and publish if the recipe says so. What stood at the output stays until the new package has passed. */

import { defaultOut } from '../../export/default-out.ts';
import { makePackage } from '../../publish/make-package.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import { assertOffered } from '../../runtime/device.ts';
import type { Command } from '../context.ts';
import { describePlan } from './plan.ts';
import { verdictOutcome } from './verify.ts';

export const make: Command<'make'> = async (args, { signal, follow, paint }) => {
  const plan = await follow(planRecipe(args.recipe, { ...args, signal }));
  const device = args.device ?? plan.recipe.verify.device;
  assertOffered(device); // that it is not there, a dry run says as well
  if (args['dry-run']) return describePlan(plan, paint);
  const out = args.out ?? defaultOut(plan.recipe);
  const { folder, report, published, pullRequest } = await follow(
    makePackage(plan, { out, device, allowFallback: args['allow-fallback'], profile: args.profile, signal }),
  );
  const outcome = verdictOutcome(report, folder);
  return published === undefined
    ? outcome
    : { ...outcome, value: { ...outcome.value, published, ...(pullRequest !== undefined && { pullRequest }) } };
};

/** `bake`: from a recipe to a package, without looking at what it makes. */

import { defaultOut } from '../../export/default-out.ts';
import { bake } from '../../export/package.ts';
import { openStaging } from '../../export/staging.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import type { Command } from '../context.ts';
import { describePlan } from './plan.ts';

export const bakeCommand: Command<'bake'> = async (args, { signal, follow, paint }) => {
  const plan = await follow(planRecipe(args.recipe, { ...args, signal }));
  if (args['dry-run']) return describePlan(plan, paint);
  await using staging = await openStaging(args.out ?? defaultOut(plan.recipe));
  const { bytes, lock } = await follow(bake(plan, { into: staging.path, signal }));
  signal.throwIfAborted();
  const folder = await staging.commit();
  return { text: folder, value: { package: folder, name: lock.name, bytes } };
};

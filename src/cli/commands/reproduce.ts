/** `reproduce`: is a package, to the last bit, what its lock makes? */
import { findSources, localSources } from '../../compare/find-sources.ts';
import { lockOfPackage, type Reproduction, recipeOfLock, reproducePackage } from '../../compare/reproduce.ts';
import { linkSources } from '../../compare/source-links.ts';
import { UsageError } from '../../errors.ts';
import { EXIT_CODES } from '../../exit-codes.ts';
import { openLocalPackage } from '../../publish/local-package.ts';
import { planLoaded, planRecipe } from '../../publish/plan-recipe.ts';
import { describeDifferences } from '../../sign/manifest.ts';
import type { Command, Outcome } from '../context.ts';

export const reproduceCommand: Command<'reproduce'> = async (args, { signal, follow }) => {
  const { package: named, recipe, sources: folders, out: keep, offline } = args;
  if (recipe !== undefined && folders.length > 0)
    throw new UsageError('--recipe and --sources are both given; one of them is enough to say where the inputs are.');
  await using local = await follow(openLocalPackage(named, { offline, signal }));
  const { folder, name } = local;
  const lock = await lockOfPackage(folder);
  const options = { signal, offline, lock: folder };
  const sources = folders.length > 0 ? localSources(lock) : [];
  const found = sources.length > 0 ? await follow(findSources(sources, folders, signal)) : new Map<string, string>();
  await using linked = await linkSources(sources, found);
  const plan = await follow(
    recipe === undefined ? planLoaded(recipeOfLock(lock, name, linked.paths), options) : planRecipe(recipe, options),
  );
  return describe(name, await follow(reproducePackage(folder, plan, { name, keep, signal })));
};

function describe(folder: string, reproduction: Reproduction): Outcome {
  const value = { package: folder, ...reproduction };
  if (reproduction.identical) return { text: folder, value };
  const { altered, missing, added, sources } = reproduction;
  const reasons = [
    ...sources.map(
      ({ role, expected, found }) => `  the source ${role} has the SHA-256 ${found}, and the lock says ${expected}`,
    ),
    `  made anew: ${describeDifferences({ altered, missing, added })}`,
  ];
  return {
    text: '',
    value,
    complaint: `${folder} is not what its lock makes here:\n${reasons.join('\n')}`,
    exitCode: EXIT_CODES.refused,
  };
}

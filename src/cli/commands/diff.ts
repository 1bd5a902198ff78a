/** `diff`: what differs between two packages. Exit code 0 whether or not anything does, unless that is asked for. */
import { diffPackages } from '../../compare/diff/package-diff.ts';
import { describeDiff } from '../../compare/diff/text.ts';
import { EXIT_CODES } from '../../exit-codes.ts';
import { type LocalPackage, openLocalPackages } from '../../publish/local-package.ts';
import type { Command } from '../context.ts';

export const diffCommand: Command<'diff'> = async ({ a, b, offline, ...args }, { signal, follow, paint }) => {
  await using local = await follow(openLocalPackages([a, b], { offline, signal }));
  const [own, other] = local.packages as readonly [LocalPackage, LocalPackage];
  const called = ({ isTemporary, name, folder }: LocalPackage) => (isTemporary ? name : folder);
  const names = [called(own), called(other)] as const;
  const diff = await follow(diffPackages(own.folder, other.folder, { names, signal }));
  return {
    text: describeDiff(diff, paint),
    value: { ...diff, a: { ...diff.a, package: own.name }, b: { ...diff.b, package: other.name } },
    ...(args['exit-code'] && !diff.identical && { exitCode: EXIT_CODES.refused }),
  };
};

/** `diff`: what differs between two packages. Exit code 0 whether or not anything does, unless that is asked for. */
import { resolve } from 'node:path';
import { diffPackages } from '../../compare/diff/package-diff.ts';
import { describeDiff } from '../../compare/diff/text.ts';
import { EXIT_CODES } from '../../exit-codes.ts';
import type { Command } from '../context.ts';

export const diffCommand: Command<'diff'> = async (args, { signal, follow, paint }) => {
  const diff = await follow(diffPackages(args.a, args.b, { signal }));
  const [a, b] = [diff.a, diff.b].map((side) => ({ ...side, folder: resolve(side.folder) }));
  return {
    text: describeDiff(diff, paint),
    value: { ...diff, a, b },
    ...(args['exit-code'] && !diff.identical && { exitCode: EXIT_CODES.refused }),
  };
};

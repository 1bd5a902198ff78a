/** `verify`: the gate's verdict on a package. */

import { join, resolve } from 'node:path';
import { EXIT_CODES } from '../../exit-codes.ts';
import { LOCK_FILE } from '../../export/lock.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import { kindOf } from '../../recipe/input-files.ts';
import { verify } from '../../verify/gate.ts';
import type { Report } from '../../verify/report.ts';
import type { Command, Outcome } from '../context.ts';

export const verifyCommand: Command<'verify'> = async (
  { package: folder, recipe, device, 'allow-fallback': allowFallback, profile, offline },
  { signal, follow },
) => {
  const plan =
    recipe === undefined
      ? undefined
      : await follow(planRecipe(recipe, { signal, offline, lock: await lockOf(folder) }));
  return verdictOutcome(
    await follow(verify(folder, { plan, device, allowFallback, profile, signal })),
    resolve(folder),
  );
};

/** The package's own, so that it is compared with the commits that it was made from. */
async function lockOf(folder: string): Promise<string | undefined> {
  const file = join(folder, LOCK_FILE);
  return (await kindOf(file)) === 'file' ? file : undefined;
}

/** Only a package that has passed is a result; of another one stderr says where it is and what is wrong with it. */
export function verdictOutcome(report: Report, folder: string): Outcome {
  const value = { package: folder, verdict: report.verdict, report };
  if (report.verdict === 'passed') return { text: folder, value };
  const reasons = report.checks
    .filter(({ verdict }) => verdict !== 'passed')
    .map(({ id, verdict, reason }) => `  ${id} ${VERDICTS[verdict]}: ${reason}`);
  return {
    text: '',
    value,
    complaint: `${folder} has not passed verification and must not be used:\n${reasons.join('\n')}`,
    exitCode: EXIT_CODES.refused,
  };
}

const VERDICTS = { passed: 'passed', failed: 'failed', unknown: 'could not tell' } as const;

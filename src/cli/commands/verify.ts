/** `verify`: the gate's verdict on a package. */

import { resolve } from 'node:path';
import { verify } from '../../verify/gate.ts';
import type { Report } from '../../verify/report.ts';
import type { Command, Outcome } from '../context.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { planRecipe } from './plan-recipe.ts';

export const verifyCommand: Command<'verify'> = async ({ package: folder, recipe, device }, { signal, follow }) => {
  const plan = recipe === undefined ? undefined : await follow(planRecipe(recipe, signal));
  return verdictOutcome(await follow(verify(folder, { plan, device, signal })), resolve(folder));
};

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

/** `verify`: the gate's verdict on a package; of one that is signed or elsewhere, also whose it is and whether it is still what was verified. */

import { join } from 'node:path';
import { UsageError } from '../../errors.ts';
import { EXIT_CODES } from '../../exit-codes.ts';
import { LOCK_FILE } from '../../export/lock.ts';
import {
  EVIDENCE,
  type Evidence,
  isSigned,
  type Proof,
  proveEvidence,
  verifyUnsigned,
} from '../../publish/evidence.ts';
import { openLocalPackage } from '../../publish/local-package.ts';
import { planRecipe } from '../../publish/plan-recipe.ts';
import { kindOf } from '../../recipe/input-files.ts';
import { openVerifier } from '../../sign/keys.ts';
import type { Report } from '../../verify/report.ts';
import type { Command, Outcome } from '../context.ts';

export const verifyCommand: Command<'verify'> = async (args, { signal, follow }) => {
  const { package: named, recipe, signature, 'public-key': key, device, profile, offline } = args;
  if (signature !== undefined && key === undefined)
    throw new UsageError('A --signature can be checked with its --public-key only.');
  const verifier = key === undefined ? undefined : await openVerifier(key);
  await using local = await follow(openLocalPackage(named, { offline, signal }));
  const { folder, name } = local;
  const isProved = local.isTemporary || verifier !== undefined || (await isSigned(folder));
  const plan =
    recipe === undefined
      ? undefined
      : await follow(planRecipe(recipe, { signal, offline, lock: await lockOf(folder) }));
  const options = { plan, device, allowFallback: args['allow-fallback'], profile, signal };
  if (isProved)
    return proofOutcome(await follow(proveEvidence(folder, { ...options, verifier, signature, name })), name);
  const { report, evidence } = await follow(verifyUnsigned(folder, options));
  return verdictOutcome(report, name, evidence);
};

/** The package's own, so that it is compared with the commits that it was made from. */
async function lockOf(folder: string): Promise<string | undefined> {
  const file = join(folder, LOCK_FILE);
  return (await kindOf(file)) === 'file' ? file : undefined;
}

/** Only a package that has passed is a result; of another one stderr says where it is and what is wrong with it. */
export function verdictOutcome(report: Report, folder: string, evidence?: Evidence): Outcome {
  const value = { package: folder, verdict: report.verdict, ...(evidence && { evidence }), report };
  return report.verdict === 'passed' ? { text: folder, value } : refusal(folder, value, report.checks);
}

/** The same of a package that came from elsewhere. */
function proofOutcome({ verdict, evidence, report }: Proof, folder: string): Outcome {
  const value = { package: folder, verdict, evidence, ...(report && { report }) };
  if (verdict === 'passed') return { text: folder, value };
  const [signature, hashes, fingerprint] = EVIDENCE.map((id) => ({ id, ...evidence[id] }));
  const others = report?.checks.filter(({ id }) => id !== fingerprint?.id) ?? [];
  return refusal(
    folder,
    value,
    [signature, hashes, fingerprint, ...others].flatMap((finding) => finding ?? []),
  );
}

function refusal(
  folder: string,
  value: object,
  findings: readonly { readonly id: string; readonly verdict: keyof typeof VERDICTS; readonly reason: string }[],
): Outcome {
  const reasons = findings
    .filter(({ verdict }) => verdict !== 'passed')
    .map(({ id, verdict, reason }) => `  ${id} ${VERDICTS[verdict]}: ${reason}`);
  return {
    text: '',
    value,
    complaint: `${folder} has not passed verification and must not be used:\n${reasons.join('\n')}`,
    exitCode: EXIT_CODES.refused,
  };
}

const VERDICTS = {
  passed: 'passed',
  failed: 'failed',
  unknown: 'could not tell',
  'not checked': 'was not checked',
} as const;

/**
 * What can be told of a package that came from elsewhere, without changing it: whose it is (signature), whether it is what was
 * verified (hashes), and whether it still does what it did there (fingerprint). Nothing of it runs before the first two have held.
 */
import { join, resolve } from 'node:path';
import { FormatError } from '../errors.ts';
import type { CheckVerdict, Event, Stage } from '../events.ts';
import { kindOf } from '../recipe/input-files.ts';
import { readBundle, verifiedManifest } from '../sign/bundle.ts';
import { describeKey, type Verifier } from '../sign/keys.ts';
import {
  compareFiles,
  compareSigned,
  type Digests,
  describeDifferences,
  type FileDifferences,
  SIGNATURE_FILE,
} from '../sign/manifest.ts';
import { type VerifyOptions, verify } from '../verify/gate.ts';
import { overall, type Report, readReport } from '../verify/report.ts';
import { digestCandidate, digestsByName, openCandidate, toldDigests, UNTOLD } from './candidate.ts';

export interface Finding {
  readonly verdict: CheckVerdict | 'not checked';
  /** A sentence. */
  readonly reason: string;
  /** Where files are the reason. */
  readonly files?: FileDifferences;
}

export const EVIDENCE = ['signature', 'hashes', 'fingerprint'] as const;

export type Evidence = Readonly<Record<(typeof EVIDENCE)[number], Finding>>;

export interface Proof {
  readonly verdict: CheckVerdict;
  readonly evidence: Evidence;
  /** The gate's; left out where something was wrong before anything ran. */
  readonly report?: Report;
}

export interface ProofOptions extends VerifyOptions {
  readonly verifier?: Verifier | undefined;
  /** The file of the signature; default: model.sig in the package. */
  readonly signature?: string | undefined;
  /** How events call the package; default: its folder. */
  readonly name?: string | undefined;
}

/** Whether somebody has signed the package, so that it must not be written to any more. */
export async function isSigned(folder: string): Promise<boolean> {
  return (await kindOf(join(folder, SIGNATURE_FILE))) === 'file';
}

/** @throws InputMissingError when there is no package, or no `signature` where one was named; what the gate throws. */
export async function* proveEvidence(
  folder: string,
  { verifier, signature, name = folder, ...options }: ProofOptions,
): Stage<Proof> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'verify', subject: `signature and hashes of ${name}` };
  const candidate = await openCandidate(folder);
  const digests = yield* digestCandidate(candidate, {
    stage: 'verify',
    action: 'hash',
    done: 0,
    total: candidate.bytes,
    signal: options.signal,
  });
  const found = new Map([
    ...digestsByName(candidate.files, digests),
    ...candidate.odd.map((name) => [name, 'no file'] as const), // a link is not what was signed, wherever it leads
  ]);
  const brought = {
    signature: await judgeSignature(folder, found, { verifier, signature }),
    hashes: await judgeHashes(folder, found),
  };
  for (const [id, finding] of Object.entries(brought)) yield findingEvent(id as keyof Brought, finding);
  const isOther = Object.values(brought).some(({ verdict }) => verdict === 'failed');
  const proof = isOther ? notRun(brought) : yield* proveByRunning(folder, brought, options);
  yield findingEvent('fingerprint', proof.evidence.fingerprint);
  yield {
    type: 'stage-finished',
    stage: 'verify',
    milliseconds: performance.now() - started,
    summary: EVIDENCE.map((id) => `${id} ${TOLD[proof.evidence[id].verdict]}`).join(', '),
  };
  return proof;
}

/**
 * The gate on a package of one's own, which nobody has signed: it writes the verification anew. What the hashes are held to is the lock.
 * @throws what the gate throws
 */
export async function* verifyUnsigned(folder: string, options: VerifyOptions): Stage<Required<Proof>> {
  const report = yield* verify(folder, options);
  const evidence: Evidence = {
    signature: UNSIGNED,
    hashes: findingOf(report, 'integrity') ?? {
      verdict: 'not checked',
      reason: 'Nothing says what the bytes should be.',
    },
    fingerprint: findingOf(report, 'fingerprint') ?? NO_FINGERPRINT,
  };
  for (const id of EVIDENCE) yield findingEvent(id, evidence[id]);
  return { verdict: report.verdict, evidence, report };
}

const UNSIGNED: Finding = { verdict: 'not checked', reason: 'The package is not signed.' };
const NO_FINGERPRINT: Finding = {
  verdict: 'not checked',
  reason: 'The package has no fingerprint, or nothing ran to compare with it.',
};

function findingOf({ checks }: Report, wanted: string): Finding | undefined {
  const check = checks.find(({ id }) => id === wanted);
  return check && { verdict: check.verdict, reason: check.reason };
}

const TOLD = { passed: 'passed', failed: 'failed', unknown: 'could not tell', 'not checked': 'not checked' } as const;

type Brought = Omit<Evidence, 'fingerprint'>;

function findingEvent(id: keyof Evidence, { verdict, reason }: Finding): Event {
  return { type: 'finding', stage: 'verify', id, verdict, reason };
}

function notRun(brought: Brought): Proof {
  const reason = 'Nothing of the package was run: it is not what was signed or verified.';
  return { verdict: 'failed', evidence: { ...brought, fingerprint: { verdict: 'not checked', reason } } };
}

async function* proveByRunning(folder: string, brought: Brought, options: VerifyOptions): Stage<Proof> {
  const report = yield* verify(folder, { ...options, keep: true });
  const fingerprint = findingOf(report, 'fingerprint') ?? NO_FINGERPRINT;
  const checked = [brought.signature, brought.hashes, report].flatMap((found) =>
    found.verdict === 'not checked' ? [] : [{ verdict: found.verdict }],
  );
  return { verdict: overall(checked), evidence: { ...brought, fingerprint }, report };
}

async function judgeSignature(
  folder: string,
  found: Digests,
  { verifier, signature }: Pick<ProofOptions, 'verifier' | 'signature'>,
): Promise<Finding> {
  const isThere = signature !== undefined || (await isSigned(folder));
  if (!isThere && !verifier) return UNSIGNED;
  if (!verifier)
    return { verdict: 'not checked', reason: 'Whose signature it is shows with the public key (--public-key) only.' };
  if (!isThere) return { verdict: 'failed', reason: `The package has no signature (${SIGNATURE_FILE}).` };
  const file = signature ?? join(resolve(folder), SIGNATURE_FILE);
  try {
    const manifest = verifiedManifest(await readBundle(file), verifier);
    const files = compareSigned(manifest, found);
    const differences = describeDifferences(files);
    if (differences !== undefined)
      return { verdict: 'failed', reason: `Other files than these were signed: ${differences}.`, files };
    const unsigned = [...found.keys()].filter((name) => !manifest.files.has(name) && name !== SIGNATURE_FILE);
    const but = unsigned.length > 0 ? ` It leaves out ${unsigned.join(', ')}.` : '';
    return {
      verdict: 'passed',
      reason: `${manifest.files.size} files are those that the owner of the ${describeKey(verifier)} signed.${but}`,
    };
  } catch (error) {
    return failedFinding(error);
  }
}

function failedFinding(error: unknown): Finding {
  if (error instanceof FormatError) return { verdict: 'failed', reason: error.message };
  throw error;
}

/** The report that came with the package is of these bytes, and passed. */
async function judgeHashes(folder: string, found: Digests): Promise<Finding> {
  const report = await readReport(folder).catch(failedFinding);
  if (!report) return { verdict: 'not checked', reason: 'The package has no report of a verification.' };
  if ('reason' in report) return report;
  const told = toldDigests(report);
  const files = compareFiles(told, new Map([...found].filter(([name]) => !UNTOLD.has(name))));
  const differences = describeDifferences(files);
  if (differences !== undefined)
    return { verdict: 'failed', reason: `Other files than these were verified: ${differences}.`, files };
  return {
    verdict: report.verdict,
    reason: `${told.size} files are those of the report, whose verdict is ${report.verdict} (on ${report.device}).`,
  };
}

/**
 * Publishing, in the same way to every kind of place: what has not passed is refused, every byte is held to the report, the signature is
 * made, and only then is anything sent.
 */
import { join } from 'node:path';
import { UnavailableError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { digestBytes } from '../export/digest.ts';
import type { FileDigest } from '../export/lock.ts';
import type { Content } from '../hub/content.ts';
import { bundleJson } from '../sign/bundle.ts';
import { describeKey, type Signer } from '../sign/keys.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
import { count } from '../text/quantity.ts';
import { type Candidate, checkBytes, digestsByName, openCandidate } from './candidate.ts';
import { type Published, type PublishOptions, refuseRoom, type Sent, type Target } from './place.ts';
import { assertNoRefusal } from './refusal.ts';
import { openTarget } from './target.ts';

/**
 * @throws PublishError when the package has no passed report for exactly these bytes, or changes on the way; there is no way around it.
 * UsageError for a place that cannot be published to, IoError when there is no room, UnavailableError when the Hub or a registry is not
 * there or refuses, or has changed meanwhile.
 */
export async function* publish(folder: string, options: PublishOptions): Stage<Published> {
  const started = performance.now();
  const { to, signer, signal } = options;
  yield { type: 'stage-started', stage: 'publish', subject: to };
  const candidate = await openCandidate(folder, { resigned: signer !== undefined });
  assertNoRefusal(candidate.refusals);
  const { target, name, passes, send, explain } = await openTarget(folder, options);
  assertNoRefusal(refuseRoom(target, candidate.bytes));
  assertShown(target, options.over);
  const total = passes * candidate.bytes;
  const { digests, refusals } = yield* checkBytes(candidate, { done: 0, total, action: 'check', signal });
  assertNoRefusal(refusals);
  const own = contentsOf(candidate, digests);
  const contents = signer
    ? [...own, signatureOf({ name, files: digestsByName(candidate.files, digests) }, signer)]
    : own;
  let sent: Sent;
  try {
    sent = yield* send({ folder, contents }, { done: candidate.bytes, total });
  } catch (error) {
    throw explain(error);
  }
  yield {
    type: 'stage-finished',
    stage: 'publish',
    milliseconds: performance.now() - started,
    summary: `${count(contents.length, 'file')} in ${sent.to}${howSent(sent, options)}`,
  };
  const bytes = contents.reduce((sum, file) => sum + file.bytes, 0);
  return { ...sent, files: contents.length, bytes, ...(signer && { signed: signer.hint }) };
}

function assertShown({ place, hub }: Target, over: string | undefined): void {
  if (over === undefined || hub?.head === over) return;
  throw new UnavailableError(
    `${place} has changed since it was shown: ${hub?.head ?? 'nothing'} stands where ${over} stood. Nothing was published.`,
    'Look at it, then publish again.',
  );
}

function contentsOf({ folder, files }: Candidate, digests: readonly FileDigest[]): readonly Content[] {
  return files.map(({ name }, i) => ({ name, ...(digests[i] as FileDigest), data: join(folder, name) }));
}

function signatureOf(manifest: Parameters<typeof bundleJson>[0], signer: Signer): Content {
  const data = new TextEncoder().encode(bundleJson(manifest, signer));
  return { name: SIGNATURE_FILE, ...digestBytes(data), data };
}

function howSent({ unchanged }: Sent, { pullRequest, signer }: PublishOptions): string {
  if (unchanged) return ', which has them already';
  return `${pullRequest ? ', a pull request' : ''}${signer ? `, signed with the ${describeKey(signer)}` : ''}`;
}

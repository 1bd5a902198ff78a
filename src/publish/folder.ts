/**
 * Publishes a verified package to a folder: the copy is checked byte for byte against the report and becomes visible as a whole;
 * the version that stood there before stays until then.
 */
import { constants, copyFile, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Stage } from '../events.ts';
import { openStaging } from '../export/staging.ts';
import { describeKey } from '../sign/keys.ts';
import { type Candidate, checkBytes, digestsByName, openCandidate } from './candidate.ts';
import { openFolder } from './folder-target.ts';
import { type Published, type PublishOptions, refuseRoom } from './place.ts';
import { assertNoRefusal } from './refusal.ts';
import { writeSignature } from './sign.ts';

/** Every byte is read, copied, and read again: so often does progress count it. */
const PASSES = 3;

/**
 * @throws PublishError when the package has no passed report for exactly these bytes; there is no way around it. UsageError for a
 * place that cannot be published to, IoError when there is no room.
 */
export async function* publishToFolder(folder: string, { to, signer, signal }: PublishOptions): Stage<Published> {
  const started = performance.now();
  const target = await openFolder(folder, { to });
  yield { type: 'stage-started', stage: 'publish', subject: to };
  const candidate = await openCandidate(folder, { resigned: signer !== undefined });
  const { files, bytes } = candidate;
  assertNoRefusal([...candidate.refusals, ...refuseRoom(target, bytes)]);
  const total = PASSES * bytes;
  assertNoRefusal((yield* checkBytes(candidate, { done: 0, total, action: 'check', signal })).refusals);
  await using staging = await openStaging(to);
  yield* copyFiles(candidate, staging.path, { done: bytes, total, signal });
  const copied = await openCandidate(staging.path);
  assertNoRefusal(copied.refusals);
  const checked = yield* checkBytes(copied, { done: total - bytes, total, action: 'check the copy of', signal });
  assertNoRefusal(checked.refusals);
  const name = basename(target.place);
  const signature = signer
    ? await writeSignature({ name, files: digestsByName(files, checked.digests) }, signer, { folder: staging.path })
    : undefined;
  const published: Published = {
    to: await staging.commit(),
    files: files.length + (signature ? 1 : 0),
    bytes: bytes + (signature?.bytes ?? 0),
    ...(signer && { signed: signer.hint }),
  };
  yield {
    type: 'stage-finished',
    stage: 'publish',
    milliseconds: performance.now() - started,
    summary: `${published.files} files in ${published.to}${signer ? `, signed with the ${describeKey(signer)}` : ''}`,
  };
  return published;
}

async function* copyFiles(
  { folder, files }: Candidate,
  into: string,
  { done, total, signal }: { done: number; total: number; signal?: AbortSignal | undefined },
): Stage<void> {
  for (const { name, bytes } of files) {
    signal?.throwIfAborted();
    yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: `copy ${name}` };
    await mkdir(dirname(join(into, name)), { recursive: true });
    await copyFile(join(folder, name), join(into, name), constants.COPYFILE_EXCL);
    done += bytes;
  }
}

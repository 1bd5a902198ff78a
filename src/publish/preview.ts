/** What publishing would do, told without doing it: exactly what `publish` sends, what it replaces, and everything it would refuse for. */
import { resolve } from 'node:path';
import type { Stage } from '../events.ts';
import type { KeyName } from '../sign/keys.ts';
import { type Candidate, type CandidateFile, checkBytes, openCandidate } from './candidate.ts';
import { type HubWishes, refuseRoom, type Target } from './place.ts';
import { orRefusal, type Refusal } from './refusal.ts';
import { openTarget } from './target.ts';

export interface Publication extends Pick<Candidate, 'verdict' | 'verifiedAt' | 'bytes'> {
  readonly folder: string;
  readonly to: string;
  /** Everything that is sent; the hashes once it has been read. */
  readonly files: readonly (CandidateFile & { readonly sha256?: string })[];
  /** The key that it would be signed with, whose signature is added to the files; left out where none is given. */
  readonly signer?: KeyName;
  /** Left out where nothing can be published to. */
  readonly target?: Target;
  /** None: it can be published. */
  readonly refusals: readonly Refusal[];
}

/** All that shows without reading the files. @throws InputMissingError when there is no package. */
export async function surveyPublication(folder: string, to: string, wishes: HubWishes = {}): Promise<Publication> {
  return (await survey(folder, { to, ...wishes })).publication;
}

export interface PreviewOptions extends HubWishes {
  readonly to: string;
  readonly signer?: KeyName | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The same, and whether the bytes are those that passed. What is refused anyhow is not read.
 * @throws InputMissingError when there is no package, IoError for what cannot be read.
 */
export async function* previewPublication(folder: string, { signal, ...wishes }: PreviewOptions): Stage<Publication> {
  const started = performance.now();
  const { candidate, publication } = await survey(folder, wishes, signal);
  if (publication.refusals.length > 0) return publication;
  yield { type: 'stage-started', stage: 'publish', subject: `${folder}, a preview` };
  const options = { done: 0, total: candidate.bytes, action: 'check', signal };
  const { digests, refusals } = yield* checkBytes(candidate, options);
  const files = candidate.files.map((file, i) => ({ ...file, ...digests[i] }));
  yield {
    type: 'stage-finished',
    stage: 'publish',
    milliseconds: performance.now() - started,
    summary: `${files.length} files would be published`,
  };
  return { ...publication, files, refusals };
}

async function survey(folder: string, { to, signer, ...wishes }: PreviewOptions, signal?: AbortSignal) {
  const found = await orRefusal(openTarget(folder, { to, ...wishes, signal }));
  const candidate = await openCandidate(folder, { resigned: signer !== undefined });
  const { verdict, verifiedAt, files, bytes } = candidate;
  const isTarget = 'target' in found;
  const publication: Publication = {
    folder: resolve(folder),
    to: isTarget ? found.target.place : to,
    verdict,
    ...(verifiedAt !== undefined && { verifiedAt }),
    ...(signer && { signer: { curve: signer.curve, hint: signer.hint } }),
    files,
    bytes,
    ...(isTarget && { target: found.target }),
    refusals: [
      ...(isTarget ? [] : [found]),
      ...candidate.refusals,
      ...(isTarget ? refuseRoom(found.target, bytes) : []),
    ],
  };
  return { candidate, publication };
}

/**
 * Signs a package that has passed, where it lies: model.sig, which speaks of every other file of it, the verification included.
 */
import { rename, rm, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { writingTo } from '../formats/byte-source.ts';
import { bundleJson } from '../sign/bundle.ts';
import { describeKey, type Signer } from '../sign/keys.ts';
import { SIGNATURE_FILE } from '../sign/manifest.ts';
import { checkBytes, digestsByName, openCandidate } from './candidate.ts';
import { contains } from './folder-target.ts';
import { assertNoRefusal } from './refusal.ts';

export interface SignOptions {
  readonly signer: Signer;
  /** A file outside of the package that becomes the signature; default: model.sig in it. */
  readonly out?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Signed {
  /** The file, absolute. */
  readonly signature: string;
  /** How many files it speaks of, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly key: { readonly curve: string; readonly hint: string };
}

/**
 * Everything is read and held to the report first: what has not passed is not signed.
 * @throws PublishError for a package that could not be published, UsageError for a place in the package that is not model.sig.
 */
export async function* signPackage(folder: string, { signer, out, signal }: SignOptions): Stage<Signed> {
  const started = performance.now();
  const own = join(resolve(folder), SIGNATURE_FILE);
  const file = out === undefined ? own : resolve(out);
  if (file !== own && contains(folder, file))
    throw new UsageError(
      `${out} lies in the package, where its signature is called ${SIGNATURE_FILE}. Choose another place.`,
    );
  yield { type: 'stage-started', stage: 'sign', subject: folder };
  const candidate = await openCandidate(folder, { resigned: true });
  assertNoRefusal(candidate.refusals);
  const { files, bytes } = candidate;
  const { digests, refusals } = yield* checkBytes(candidate, {
    stage: 'sign',
    action: 'check',
    done: 0,
    total: bytes,
    signal,
  });
  assertNoRefusal(refusals);
  signal?.throwIfAborted();
  await writeWhole(file, bundleJson({ name: basename(resolve(folder)), files: digestsByName(files, digests) }, signer));
  yield {
    type: 'stage-finished',
    stage: 'sign',
    milliseconds: performance.now() - started,
    summary: `${files.length} files, signed with the ${describeKey(signer)}`,
  };
  const { curve, hint } = signer;
  return { signature: file, files: files.length, bytes, key: { curve, hint } };
}

async function writeWhole(file: string, text: string): Promise<void> {
  const partial = `${file}.${process.pid}.partial`;
  try {
    await writingTo(file, writeFile(partial, text, { flag: 'wx', flush: true }));
    await writingTo(file, rename(partial, file));
  } finally {
    await rm(partial, { force: true });
  }
}

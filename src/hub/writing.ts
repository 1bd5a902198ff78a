/**
 * What has to be asked of and made on the Hub around a commit, through @huggingface/hub: whose token it is, which commit a branch is, what
 * stands there, a new repository, a new branch. Nothing is remembered: it is about what stands there now.
 */
import { createBranch, createRepo, modelInfo } from '@huggingface/hub';
import { z } from 'zod';
import type { RemoteFile } from './download.ts';
import { collect, HttpRefusal } from './http.ts';
import { type HubRepository, listTree, misunderstood } from './repository.ts';

/** The library wants a token; the wire shows its own, and that to the endpoint alone. */
export const SHOWN_BY_THE_WIRE = 'hf_';

/** By path, whatever it is: these paths are only ever sent back. */
export type Tree = ReadonlyMap<string, RemoteFile>;

const commitHash = z.string().regex(/^[0-9a-f]{40}$/);

/** @throws HttpRefusal, ConnectionFailure, UnavailableError: all functions here */
export async function headOf(
  { wire, endpoint, repo }: HubRepository,
  revision: string,
): Promise<string | 'no repository' | 'no revision'> {
  try {
    const info = await modelInfo({
      name: repo,
      revision,
      hubUrl: endpoint,
      fetch: wire.fetch,
      additionalFields: ['sha'],
    });
    const sha = commitHash.safeParse(info.sha);
    if (!sha.success) throw misunderstood(endpoint, `which commit ${revision} of ${repo} is`);
    return sha.data;
  } catch (error) {
    // of repositories that one may not see, or that are not there, the Hub says 401 or 404
    if (!(error instanceof HttpRefusal) || (error.status !== 404 && error.code !== 'RepoNotFound')) throw error;
    return error.code === 'RevisionNotFound' ? 'no revision' : 'no repository';
  }
}

export async function treeOf(repository: HubRepository, commit: string): Promise<Tree> {
  const files = await Array.fromAsync(listTree(repository, commit, ''));
  return new Map(files.map((file) => [file.path, file]));
}

/** A small file at the root of a commit. */
export async function readSmall(
  { wire, endpoint, repo }: HubRepository,
  commit: string,
  name: string,
  most: number,
): Promise<string> {
  const answer = await wire.open(`${endpoint}/${repo}/resolve/${commit}/${name}`, {});
  return String(await collect(answer, most, `${new URL(endpoint).host} answers with ${name}`));
}

/** One that is there already is taken as it is. `isPrivate` left out: what the owner has set for new ones. */
export async function makeRepository(
  { wire, endpoint, repo }: HubRepository,
  isPrivate: boolean | undefined,
): Promise<void> {
  await createRepo({
    repo,
    accessToken: SHOWN_BY_THE_WIRE,
    hubUrl: endpoint,
    fetch: wire.fetch,
    ...(isPrivate !== undefined && { visibility: isPrivate ? 'private' : 'public' }),
  }).catch(unlessThere);
}

export async function makeBranch(
  { wire, endpoint, repo }: HubRepository,
  branch: string,
  commit: string,
): Promise<void> {
  await createBranch({ repo, branch, revision: commit, hubUrl: endpoint, fetch: wire.fetch }).catch(unlessThere);
}

/** A call that was cut off and made again finds its own work. */
function unlessThere(error: unknown): void {
  if (!(error instanceof HttpRefusal && error.status === 409)) throw error;
}

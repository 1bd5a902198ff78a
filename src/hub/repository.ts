/**
 * What the Hub says about a repository, asked through @huggingface/hub: which commit a revision is, what stands at a path, what a
 * folder holds. Answers are anybody's text until the schemas here have taken them, and then recorded: a commit never changes.
 */
import { listFiles, modelInfo, pathsInfo } from '@huggingface/hub';
import { z } from 'zod';
import { InputMissingError, UnavailableError } from '../errors.ts';
import { nearest } from '../text/nearest.ts';
import { quote } from '../text/quote.ts';
import { wrongPath } from '../text/safe-path.ts';
import type { Blob, Cache } from './cache.ts';
import { type CardLicense, cardLicense, readCardLicense } from './card-license.ts';
import type { RemoteFile } from './download.ts';
import { explain } from './failures.ts';
import type { Wire } from './http.ts';
import { isCommit, printReference, type Reference } from './reference.ts';

/** More than any repository of models has; a listing has a thousand a page. */
const MAX_LISTED = 50_000;

const hex = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`));
const size = z.int().min(0);
const safePath = z.string().refine((path) => wrongPath(path) === undefined);

/** An entry of the tree API; Git LFS' oid is the SHA-256 of the content, git's own the object id. */
const treeEntry = z.object({
  type: z.string(),
  path: z.string(),
  size: size.optional(),
  oid: hex(40).optional(),
  lfs: z.object({ oid: hex(64), size }).nullish(),
});

const remoteFile: z.ZodType<RemoteFile> = z.object({
  path: safePath,
  bytes: size,
  hash: z.object({ kind: z.enum(['sha256', 'git']), hex: z.string().regex(/^([0-9a-f]{40}|[0-9a-f]{64})$/) }),
});

const recordedTarget = z.union([
  z.object({ kind: z.literal('file'), file: remoteFile, beside: z.array(remoteFile) }),
  z.object({ kind: z.literal('folder'), files: z.array(remoteFile), unsafe: z.array(z.string()).default([]) }),
]);

const blob: z.ZodType<Blob> = z.object({ sha256: hex(64), bytes: size });

/**
 * What a reference names: one file with those beside it that were asked for, or a folder with everything below it. `unsafe`: what it
 * holds besides, under names that must not become paths. A recipe asks for none of that; who wants all of a folder has to refuse it.
 */
export type Target =
  | { readonly kind: 'file'; readonly file: RemoteFile; readonly beside: readonly RemoteFile[] }
  | { readonly kind: 'folder'; readonly files: readonly RemoteFile[]; readonly unsafe: readonly string[] };

export interface Repository {
  /** As the recipe names it. */
  readonly reference: Reference;
  readonly commit: string;
  /** The commit is what the cache remembers of a branch or a tag, because the network is not to be used. */
  readonly remembered: boolean;
  /** What its card says at that commit; undefined where it says nothing, or that was not asked before the network was out of use. */
  license(): Promise<CardLicense | undefined>;
  /** `beside` names files that a single file needs, where they are there. @throws InputMissingError, UnavailableError */
  target(beside: readonly string[]): Promise<Target>;
  url(file: RemoteFile): string;
  /** The content of `file` if it is here. */
  cached(file: RemoteFile): Promise<Blob | undefined>;
  remember(file: RemoteFile, blob: Blob): Promise<void>;
}

export interface RepositoryOptions {
  readonly endpoint: string;
  readonly hasToken: boolean;
  readonly cache: Cache;
  /** None when the network is not to be used. */
  readonly wire: Wire | undefined;
  /** Taken for the revision's commit without asking; what is no commit is not. */
  readonly pinned?: string | undefined;
}

/** @throws InputMissingError when there is no such repository or revision (or not in the cache, offline); UnavailableError */
export async function openRepository(reference: Reference, options: RepositoryOptions): Promise<Repository> {
  const { endpoint, cache, wire, hasToken, pinned } = options;
  const { repo, path, revision } = reference;
  const known = [pinned, revision].find((one) => one !== undefined && isCommit(one));
  const ask = <Answer>(question: Promise<Answer>): Promise<Answer> =>
    question.catch((error: unknown) => {
      throw explain(error, { reference, endpoint, hasToken });
    });
  const base = { endpoint, repo };
  const revisionKey = { ...base, kind: 'commit', at: revision, path: '' } as const;

  const commit = known ?? (wire ? await ask(commitOf(wire)) : await cache.recall(revisionKey, hex(40)));
  if (commit === undefined) throw notCached(reference);
  if (known === undefined && wire) await cache.record(revisionKey, commit);

  async function commitOf({ fetch }: Wire): Promise<string> {
    const info = await about(revision, fetch);
    const sha = hex(40).safeParse(info.sha);
    if (!sha.success) throw misunderstood(endpoint, `which commit ${revision} is`);
    await rememberLicense(sha.data, info);
    return sha.data;
  }

  async function rememberLicense(at: string, info: unknown): Promise<CardLicense | undefined> {
    const stated = readCardLicense(info, `https://huggingface.co/${repo}/blob/${at}/`);
    await cache.record({ ...base, kind: 'license', at, path: '' }, { stated });
    return stated;
  }

  function about(at: string, fetch: Wire['fetch']) {
    return modelInfo({
      name: repo,
      revision: at,
      hubUrl: endpoint,
      fetch,
      additionalFields: ['sha', 'cardData', 'tags'],
    });
  }

  async function lookUp(online: Wire, beside: readonly string[]): Promise<Target> {
    if (path !== '') {
      const found = await pathsInfo({
        repo,
        revision: commit as string,
        paths: [path, ...beside],
        hubUrl: endpoint,
        fetch: online.fetch,
      });
      const entry = found.find((one) => one.path === path);
      if (!entry) throw await notThere(online);
      const file = readEntry(entry, endpoint);
      const others = found.filter((one) => one !== entry && beside.includes(one.path));
      const wanted = others.map((one) => readEntry(one, endpoint)).filter((one) => one !== undefined);
      if (file) return { kind: 'file', file, beside: wanted };
    }
    const listed = await Array.fromAsync(listTree({ ...base, wire: online }, commit as string, path));
    const files = listed.filter((file) => wrongPath(file.path) === undefined);
    const unsafe = listed.map((file) => file.path).filter((name) => wrongPath(name) !== undefined);
    return { kind: 'folder', files, unsafe };
  }

  async function notThere(online: Wire): Promise<Error> {
    const paths: string[] = [];
    for await (const file of listTree({ ...base, wire: online }, commit as string, '')) paths.push(file.path);
    const near = nearest(path, paths) ?? paths.find((one) => one.endsWith(`/${path}`));
    const hint = near === undefined ? '' : ` Did you mean ${quote(near, 200)}?`;
    return new InputMissingError(
      `The repository ${repo} on the Hub has no ${quote(path, 200)} at ${revision} (commit ${commit}).${hint}`,
    );
  }

  const key = (kind: 'target' | 'content' | 'license', at: string) =>
    ({ ...base, kind, at: commit, path: at }) as const;
  return {
    reference,
    commit,
    remembered: known === undefined && !wire,
    async license() {
      const recorded = await cache.recall(key('license', ''), z.object({ stated: cardLicense.optional() }));
      if (recorded || !wire) return recorded?.stated;
      return rememberLicense(commit, await ask(about(commit, wire.fetch)));
    },
    async target(beside) {
      const recorded = await cache.recall(key('target', path), recordedTarget);
      if (recorded) return recorded;
      if (!wire) throw notCached(reference);
      const found = await ask(lookUp(wire, beside));
      await cache.record(key('target', path), found);
      return found;
    },
    url: (file) => `${endpoint}/${repo}/resolve/${commit}/${encodePath(file.path)}`,
    async cached(file) {
      const wanted =
        file.hash.kind === 'sha256'
          ? { sha256: file.hash.hex, bytes: file.bytes }
          : await cache.recall(key('content', file.path), blob);
      return wanted && (await cache.has(wanted)) ? wanted : undefined;
    },
    remember: (file, content) => cache.record(key('content', file.path), content),
  };
}

/** For the caller to say how it gets there. */
export class NotCached extends InputMissingError {}

export function notCached({ repo, path, revision }: Reference): NotCached {
  return new NotCached(
    `${printReference({ repo, path }, revision)} is not in the cache, and the network is not to be used.`,
  );
}

/** A model repository and what asks the Hub about it. */
export interface HubRepository {
  readonly wire: Wire;
  readonly endpoint: string;
  /** `owner/name` */
  readonly repo: string;
}

/** Every file below `folder` ('' is all of it), by names that nobody has looked at. @throws HttpRefusal, ConnectionFailure, UnavailableError */
export async function* listTree(
  { wire, endpoint, repo }: HubRepository,
  commit: string,
  folder: string,
): AsyncGenerator<RemoteFile> {
  let listed = 0;
  const path = encodePath(folder);
  const fetch = paged(wire.fetch, { endpoint, repo });
  for await (const entry of listFiles({ repo, revision: commit, path, recursive: true, hubUrl: endpoint, fetch })) {
    if ((listed += 1) > MAX_LISTED) throw misunderstood(endpoint, `what ${repo} holds: there is no end to it`);
    const file = readEntry(entry, endpoint);
    if (file) yield file;
  }
}

function readEntry(entry: unknown, endpoint: string): RemoteFile | undefined {
  const parsed = treeEntry.safeParse(entry);
  if (!parsed.success) throw misunderstood(endpoint, 'what the repository holds');
  const { type, path, size: bytes, oid, lfs } = parsed.data;
  if (type !== 'file') return undefined;
  if (lfs) return { path, bytes: lfs.size, hash: { kind: 'sha256', hex: lfs.oid } };
  if (oid === undefined || bytes === undefined) throw misunderstood(endpoint, `which bytes ${quote(path)} has`);
  return { path, bytes, hash: { kind: 'git', hex: oid } };
}

/** Of one listing; pages with nothing on them are counted, too. */
const MAX_PAGES = 1000;

/** For one listing, which a server must not go on with for ever. */
function paged(fetch: Wire['fetch'], { endpoint, repo }: { endpoint: string; repo: string }): Wire['fetch'] {
  let pages = 0;
  return async (input, init) => {
    if ((pages += 1) > MAX_PAGES) throw misunderstood(endpoint, `what ${repo} holds: there is no end to it`);
    return fetch(input, init);
  };
}

export function misunderstood(endpoint: string, what: string): UnavailableError {
  return new UnavailableError(
    `${new URL(endpoint).host} does not say in a way that can be understood ${what}.`,
    'Is HF_ENDPOINT the address of a Hugging Face Hub?',
  );
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}

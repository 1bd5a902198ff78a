/**
 * One commit by the Hub's commit API: what the Hub wants to have in Git LFS (preupload), and the operations as NDJSON
 * (huggingface_hub, `_commit_api.py`; @huggingface/hub, commit.ts). `parentCommit` makes it fail when somebody else was there first.
 */
import { z } from 'zod';
import { UnavailableError } from '../errors.ts';
import { jsonIn } from '../formats/json.ts';
import { type Content, partOf, readWhole } from './content.ts';
import { collect } from './http.ts';
import { type HubRepository, misunderstood } from './repository.ts';

export interface Destination extends HubRepository {
  readonly branch: string;
  /** The commit becomes a pull request to the branch. */
  readonly isProposal: boolean;
}

export interface Message {
  readonly title: string;
  readonly description: string;
}

export interface Changes {
  /** By what the Hub wants to have of them. */
  readonly small: readonly Content[];
  readonly large: readonly Content[];
  readonly deleted: readonly string[];
}

export interface Committed {
  readonly commit: string;
  readonly pullRequest?: string;
}

/** What the Hub looks at to tell texts from other files. */
const SAMPLE_BYTES = 512;
/** Files in one question. */
const PAGE = 100;
/** The Hub takes no more of a file in a commit; larger ones are for Git LFS. */
const MAX_SMALL = 10 << 20;
const MAX_ANSWER = 1 << 20;

const preuploadAnswer = z.looseObject({
  files: z.array(z.looseObject({ path: z.string(), uploadMode: z.enum(['lfs', 'regular']) })),
});
const commitAnswer = z.looseObject({
  commitOid: z.string().regex(/^[0-9a-f]{40}$/),
  pullRequestUrl: z.url({ protocol: /^https?$/ }).optional(),
});

const query = ({ isProposal }: Destination) => (isProposal ? '?create_pr=1' : '');

/** @throws UnavailableError for an answer that makes no sense; HttpRefusal, ConnectionFailure */
export async function sortBySize(
  files: readonly Content[],
  { from, ...destination }: Destination & { readonly from: string },
): Promise<Pick<Changes, 'small' | 'large'>> {
  const { wire, endpoint, repo } = destination;
  const modes = new Map<string, string>();
  for (let at = 0; at < files.length; at += PAGE) {
    const asked = await Promise.all(
      files
        .slice(at, at + PAGE)
        .map(async (file) => ({ path: file.name, size: file.bytes, sample: await sample(file) })),
    );
    const answer = await wire.fetch(
      `${endpoint}/api/models/${repo}/preupload/${encodeURIComponent(from)}${query(destination)}`,
      { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ files: asked }) },
    );
    const parsed = preuploadAnswer.safeParse(await answer.json().catch(() => undefined));
    for (const { path, uploadMode } of parsed.data?.files ?? []) modes.set(path, uploadMode);
  }
  const unsaid = files.find(
    ({ name, bytes }) => !modes.has(name) || (modes.get(name) === 'regular' && bytes > MAX_SMALL),
  );
  if (unsaid) throw misunderstood(endpoint, `how ${unsaid.name} is to be sent`);
  const isLarge = ({ name }: Content) => modes.get(name) === 'lfs';
  return { small: files.filter((file) => !isLarge(file)), large: files.filter(isLarge) };
}

async function sample(file: Content): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of partOf(file, 0, Math.min(SAMPLE_BYTES, file.bytes)).body.pieces()) pieces.push(piece);
  return Buffer.concat(pieces).toString('base64');
}

/**
 * Tried once: whoever asks looks what stands there before trying again.
 * @throws PublishError when a file is no longer what was checked; HttpRefusal, ConnectionFailure
 */
export async function sendCommit(
  { small, large, deleted }: Changes,
  { title, description }: Message,
  { parent, ...destination }: Destination & { readonly parent: string },
): Promise<Committed> {
  const { wire, endpoint, repo, branch } = destination;
  const lines: object[] = [{ key: 'header', value: { summary: title, description, parentCommit: parent } }];
  for (const file of small) {
    const content = (await readWhole(file)).toString('base64');
    lines.push({ key: 'file', value: { path: file.name, content, encoding: 'base64' } });
  }
  for (const { name: path, sha256: oid, bytes: size } of large)
    lines.push({ key: 'lfsFile', value: { path, algo: 'sha256', oid, size } });
  for (const path of deleted) lines.push({ key: 'deletedFile', value: { path } });
  const answer = await wire.send(
    `${endpoint}/api/models/${repo}/commit/${encodeURIComponent(branch)}${query(destination)}`,
    {
      method: 'POST',
      headers: { 'content-type': 'application/x-ndjson' },
      body: Buffer.from(lines.map((line) => JSON.stringify(line)).join('\n')),
      attempts: 1,
    },
  );
  const { host } = new URL(endpoint);
  const parsed = commitAnswer.safeParse(jsonIn(await collect(answer, MAX_ANSWER, `${host} answers to a commit`)));
  if (!parsed.success)
    throw new UnavailableError(
      `${host} took a commit to ${repo} and does not say which it is.`,
      `Look at ${endpoint}/${repo}, and publish again: what stands there is compared first.`,
    );
  const { commitOid: commit, pullRequestUrl: pullRequest } = parsed.data;
  return { commit, ...(pullRequest !== undefined && { pullRequest }) };
}

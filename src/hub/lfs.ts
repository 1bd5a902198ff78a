/**
 * Large files into a repository's Git LFS: the batch API (git-lfs, docs/api/batch.md) with the transfer "basic" and the Hub's own
 * "multipart". Not by @huggingface/hub's `commit`: that hashes each file anew and commits what it then finds instead of what was checked,
 * sends it by fetch, which keeps what the line has not taken in memory (body.ts), gives a file up whose addresses have run out, and does
 * not ask for the verification that git-lfs has.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { UnavailableError } from '../errors.ts';
import { type Content, type Part, partOf } from './content.ts';
import { HttpRefusal, isSafe, type Opened } from './http.ts';
import { type HubRepository, misunderstood } from './repository.ts';

const action = z.looseObject({ href: z.url(), header: z.record(z.string(), z.string()).default({}) });
type Action = z.output<typeof action>;

const batchAnswer = z.looseObject({
  objects: z
    .array(
      z.looseObject({
        oid: z.string(),
        actions: z.looseObject({ upload: action.optional(), verify: action.optional() }).optional(),
        error: z.looseObject({ code: z.number(), message: z.string() }).optional(),
      }),
    )
    .length(1),
});

const LFS_JSON = { accept: 'application/vnd.git-lfs+json', 'content-type': 'application/vnd.git-lfs+json' };
/** So often new addresses are asked for when those that were given are no longer taken. */
const MAX_RENEWALS = 2;
/** Between two looks at how far it is, in milliseconds. */
const LOOK_EVERY = 100;
/** S3 has no more parts. */
const MAX_PARTS = 10_000;

/**
 * Sends `file` unless it is there already; yields how many of its bytes have gone out, which can become fewer when a part is sent again.
 * @throws PublishError when it is no longer what was checked; IoError; UnavailableError; HttpRefusal, ConnectionFailure
 */
export async function* pushLarge(file: Content, repository: HubRepository): AsyncGenerator<number, void> {
  for (let renewals = 0; ; renewals += 1) {
    const { upload, verify } = await offer(file, repository);
    if (!upload) return;
    try {
      yield* upload.header['chunk_size'] === undefined
        ? sendWhole(file, upload, repository)
        : sendParts(file, upload, repository);
      if (verify) await post(repository, verify, { oid: file.sha256, size: file.bytes });
      return;
    } catch (error) {
      if (!isStale(error, repository) || renewals >= MAX_RENEWALS) throw error;
    }
  }
}

/** Where the file is to go; nowhere when the Hub has it. */
async function offer({ name, sha256, bytes }: Content, repository: HubRepository) {
  const { wire, endpoint, repo } = repository;
  const answer = await wire.fetch(`${endpoint}/${repo}.git/info/lfs/objects/batch`, {
    method: 'POST',
    headers: LFS_JSON,
    body: JSON.stringify({
      operation: 'upload',
      transfers: ['basic', 'multipart'],
      hash_algo: 'sha256',
      objects: [{ oid: sha256, size: bytes }],
    }),
  });
  const parsed = batchAnswer.safeParse(await answer.json().catch(() => undefined));
  const [object] = parsed.data?.objects ?? [];
  if (object?.oid !== sha256) throw misunderstood(endpoint, `where ${name} is to be sent`);
  if (object.error) {
    const { status, told } = { status: object.error.code, told: object.error.message };
    throw new HttpRefusal(new URL(endpoint), new Response(null, { status: isError(status) ? status : 500 }), { told });
  }
  const { upload, verify } = object.actions ?? {};
  for (const one of [upload, verify, ...addressesOf(upload)]) if (one) assertSafe(one.href, endpoint);
  return { upload, verify };
}

const isError = (status: number) => Number.isInteger(status) && status >= 400 && status <= 599;

async function* sendWhole(file: Content, { href, header }: Action, { wire }: HubRepository): AsyncGenerator<number> {
  const part = partOf(file, 0, file.bytes);
  const put = async () => wire.send(href, { method: 'PUT', headers: header, body: part.body });
  await (yield* watch(put(), part)).cancel();
}

/** One part after the other, so that the hash of what was sent goes along; a part that is cut off is sent again, not the file. */
async function* sendParts(file: Content, upload: Action, repository: HubRepository): AsyncGenerator<number> {
  const { wire, endpoint } = repository;
  const size = Number(upload.header['chunk_size']);
  const addresses = addressesOf(upload);
  const isPlan =
    Number.isInteger(size) &&
    size > 0 &&
    addresses.length === Math.ceil(file.bytes / size) &&
    addresses.length <= MAX_PARTS;
  if (!isPlan || addresses.some(({ number }, i) => number !== i + 1))
    throw misunderstood(endpoint, `in which parts ${file.name} is to be sent`);
  const parts: { readonly partNumber: number; readonly etag: string }[] = [];
  let before: ReturnType<Part['hash']> | undefined;
  for (const { number, href } of addresses) {
    const part = partOf(file, (number - 1) * size, Math.min(number * size, file.bytes), before);
    const answer = yield* watch(wire.send(href, { method: 'PUT', headers: {}, body: part.body }), part);
    await answer.cancel();
    const etag = answer.headers.get('etag');
    if (etag === null) throw misunderstood(endpoint, `what it has got of ${file.name}: a part has no ETag`);
    parts.push({ partNumber: number, etag });
    before = part.hash();
  }
  await post(repository, { href: upload.href, header: {} }, { oid: file.sha256, parts });
}

/** The parts' addresses are the headers whose names are numbers, "00001" and on. */
function addressesOf(upload: Action | undefined): readonly { readonly number: number; readonly href: string }[] {
  return Object.entries(upload?.header ?? {})
    .filter(([name]) => /^\d{1,5}$/.test(name))
    .map(([name, href]) => ({ number: Number(name), href }))
    .sort((a, b) => a.number - b.number);
}

async function post({ wire }: HubRepository, { href, header }: Action, value: object): Promise<void> {
  const call = { method: 'POST', headers: { ...header, ...LFS_JSON }, body: JSON.stringify(value) };
  await (await wire.send(href, call)).cancel();
}

/** Tells how far it is while it goes on. */
async function* watch(sending: Promise<Opened>, { sent }: Part): AsyncGenerator<number, Opened> {
  const clock = new AbortController();
  const tick = () => sleep(LOOK_EVERY, false, { signal: clock.signal }).catch(() => true);
  const settled = sending.then(
    () => true,
    () => true,
  );
  try {
    while (!(await Promise.race([settled, tick()]))) yield sent();
    const answer = await sending;
    yield sent();
    return answer;
  } finally {
    clock.abort();
  }
}

/** Addresses that have run out, and uploads that are gone, perhaps because they are complete: the batch API knows more. */
function isStale(error: unknown, { endpoint }: HubRepository): boolean {
  if (!(error instanceof HttpRefusal) || error.status === 429 || error.status >= 500) return false;
  const isHub = error.origin === new URL(endpoint).origin;
  return !isHub || [400, 404, 409, 410, 422].includes(error.status);
}

function assertSafe(href: string, endpoint: string): void {
  const url = URL.parse(href);
  if (url && isSafe(url, new URL(endpoint))) return;
  throw new UnavailableError(
    `${new URL(endpoint).host} wants a file to be sent to ${url ? `${url.protocol}//${url.host}` : 'no address'}, which is not safe.`,
    'Is HF_ENDPOINT the address of a Hugging Face Hub?',
  );
}

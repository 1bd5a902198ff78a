/**
 * A verified package to the Hugging Face Hub: large files first, into Git LFS, where nobody sees them; then everything at once, with one
 * commit on top of what stood there when it began, after which the branch is the package and nothing else.
 */
import { basename, resolve } from 'node:path';
import { UnavailableError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { type Changes, type Committed, type Destination, type Message, sendCommit, sortBySize } from '../hub/commit.ts';
import { type Content, gitHash } from '../hub/content.ts';
import { ConnectionFailure, HttpRefusal, mayPass } from '../hub/http.ts';
import { pushLarge } from '../hub/lfs.ts';
import { printReference } from '../hub/reference.ts';
import { headOf, makeBranch, makeRepository, type Tree, treeOf } from '../hub/writing.ts';
import { readLock } from '../runtime/lock-file.ts';
import { count } from '../text/quantity.ts';
import { VERSION } from '../version.ts';
import { type Look, lookAt } from './hub-look.ts';
import { OWN_OF_THE_HUB } from './hub-package.ts';
import type { Counted, HubWishes, Parcel, PublishOptions, Sent } from './place.ts';

export interface Sending extends Counted {
  readonly destination: Destination;
  readonly look: Look;
  /** As it is printed. */
  readonly place: string;
  readonly options: Omit<PublishOptions, 'to'>;
}

/**
 * What has been sent is there for the next attempt, whatever ends this one.
 * @throws PublishError for a file that changes on the way; UnavailableError when somebody else has changed what stands there meanwhile;
 * HttpRefusal, ConnectionFailure
 */
export async function* sendToHub(parcel: Parcel, sending: Sending): Stage<Sent> {
  const { destination, options, done, total } = sending;
  const { contents } = parcel;
  const { head, reaches, tree } = await foundation(sending);
  const at = (commit: string) => printReference({ repo: destination.repo, path: '' }, commit);
  const { changed, deleted } = await differences(contents, tree);
  if (changed.length + deleted.length === 0) {
    if (reaches !== 'branch') await makeBranch(destination, destination.branch, head);
    yield { type: 'progress', stage: 'publish', done: total, total, unit: 'bytes' };
    return { to: at(head), unchanged: true };
  }
  const sorted = await sortBySize(changed, { ...destination, from: reaches === 'branch' ? destination.branch : head });
  yield* pushFiles(sorted.large, destination, { done, total });
  options.signal?.throwIfAborted();
  if (reaches !== 'branch') await makeBranch(destination, destination.branch, head);
  const message = await messageFor(parcel, options);
  const made = await commit({ ...sorted, deleted }, message, { ...sending, contents, parent: head, before: tree });
  await assertStands(contents, made, sending);
  yield { type: 'progress', stage: 'publish', done: total, total, unit: 'bytes' };
  return { to: at(made.commit), ...(made.pullRequest !== undefined && { pullRequest: made.pullRequest }) };
}

/** A repository to put it in; where there was none, it is made. */
async function foundation({ destination, look, place, options }: Sending): Promise<Look & { readonly head: string }> {
  if (look.head !== undefined) return { ...look, head: look.head };
  const { wire } = destination;
  for (let attempt = 1; attempt <= wire.patience.attempts; attempt += 1) {
    await makeRepository(destination, options.private);
    const { head, ...made } = await lookAt(destination);
    if (head !== undefined) return { ...made, head };
    await wire.pause(attempt); // the Hub makes one repository at a time for an owner
  }
  throw new UnavailableError(`${place} was made and cannot be seen.`, 'May the token that is used read it?');
}

/** What a commit has to do so that what stands there is the package. */
async function differences(contents: readonly Content[], tree: Tree) {
  const same = await Promise.all(contents.map((file) => isStanding(file, tree)));
  const names = new Set(contents.map(({ name }) => name));
  return {
    changed: contents.filter((_, i) => !same[i]),
    deleted: [...tree.keys()].filter((path) => path !== OWN_OF_THE_HUB && !names.has(path)),
  };
}

async function isStanding(file: Content, tree: Tree): Promise<boolean> {
  const stands = tree.get(file.name);
  if (stands?.bytes !== file.bytes) return false;
  return stands.hash.hex === (stands.hash.kind === 'sha256' ? file.sha256 : await gitHash(file));
}

async function* pushFiles(files: readonly Content[], destination: Destination, { done, total }: Counted): Stage<void> {
  for (const file of files) {
    let most = 0;
    for await (const sent of pushLarge(file, destination)) {
      most = Math.max(most, sent); // what is sent again has been counted
      const detail = `send ${file.name}`;
      yield { type: 'progress', stage: 'publish', done: done + most, total, unit: 'bytes', detail };
    }
    done += file.bytes;
    yield { type: 'progress', stage: 'publish', done, total, unit: 'bytes', detail: file.name };
  }
}

interface Committing extends Sending {
  readonly contents: readonly Content[];
  readonly parent: string;
  readonly before: Tree;
}

/** An answer that was lost may have been a yes: what stands there tells, before it is tried again. */
async function commit(changes: Changes, message: Message, committing: Committing): Promise<Committed> {
  const { destination, parent, options } = committing;
  const { wire } = destination;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await sendCommit(changes, message, { ...destination, parent });
    } catch (error) {
      options.signal?.throwIfAborted();
      const isUnsure = error instanceof ConnectionFailure || (error instanceof HttpRefusal && error.status !== 429);
      if (isUnsure && destination.isProposal) throw notSure(error, committing);
      const landed = isUnsure ? await sinceThen(committing) : undefined;
      if (landed) return landed;
      if (!mayPass(error, wire.patience) || attempt >= wire.patience.attempts) throw error;
      await wire.pause(attempt, error instanceof HttpRefusal ? error.retryAfter : undefined);
    }
  }
}

/** The commit that stands where `parent` stood, if it is ours. @throws UnavailableError if it is somebody else's */
async function sinceThen({ destination, parent, before, contents, place }: Committing): Promise<Committed | undefined> {
  const head = await headOf(destination, destination.branch);
  if (head === parent) return undefined;
  const tree: Tree = head.startsWith('no ') ? new Map() : await treeOf(destination, head);
  const { changed, deleted } = await differences(contents, tree);
  if (changed.length + deleted.length === 0) return { commit: head };
  const names = [...new Set([...before.keys(), ...tree.keys()])].filter((path) => {
    const [was, is] = [before.get(path), tree.get(path)];
    return was?.hash.hex !== is?.hash.hex;
  });
  const others = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  throw new UnavailableError(
    `Somebody has changed ${place} meanwhile: ${head} stands where ${parent} stood (${names.slice(0, MAX_NAMES).join(', ')}${others}). Nothing was committed, and nothing of theirs is lost.`,
    'Look at it, then publish again, over it; what the Hub has already is not sent again.',
  );
}

/** Names that a sentence has room for. */
const MAX_NAMES = 5;

function notSure(error: unknown, { destination, place }: Committing): unknown {
  if (error instanceof HttpRefusal && error.status < 500) return error;
  return new UnavailableError(
    `${place}: the Hub's answer to the pull request was lost (${(error as Error).message}).`,
    `Look at ${destination.endpoint}/${destination.repo}/discussions before you publish again: it may be there.`,
  );
}

/** The Hub is asked what it has now. @throws UnavailableError */
async function assertStands(contents: readonly Content[], { commit }: Committed, sending: Sending): Promise<void> {
  const { destination, place } = sending;
  const wrong = await treeOf(destination, commit).then(
    async (tree) => {
      const { changed, deleted } = await differences(contents, tree);
      return [...changed.map(({ name }) => name), ...deleted][0];
    },
    (error: unknown) => {
      sending.options.signal?.throwIfAborted();
      throw new UnavailableError(
        `${place} was published as ${commit}, and what stands there cannot be looked at: ${(error as Error).message}.`,
        'Publish again: what stands there is compared first.',
      );
    },
  );
  if (wrong === undefined) return;
  throw new UnavailableError(
    `${place} took ${commit}, and what stands there is not the package: ${wrong} is other than what was sent.`,
    'Do not use it. Publish again, and if it stays so, tell those who run the Hub.',
  );
}

async function messageFor({ folder, contents }: Parcel, { message }: HubWishes): Promise<Message> {
  const [title = '', ...rest] = (message ?? '').trim().split('\n');
  if (title !== '') return { title, description: rest.join('\n').trim() };
  const lock = await readLock(folder);
  const files = count(contents.length, 'file');
  return {
    title: `Publish ${lock?.name ?? basename(resolve(folder))}`,
    description: `A package of lcm-merge ${VERSION} that has passed its verification: ${files}. verification/report.json says what was checked.`,
  };
}

/** A repository on the Hugging Face Hub that a package is published to: what stands there now, and who asks. Nothing is written to find out. */
import { z } from 'zod';
import { UnavailableError, UsageError } from '../errors.ts';
import { LOCK_FILE } from '../export/lock.ts';
import { type Account, readAccount } from '../hub/account.ts';
import type { Destination } from '../hub/commit.ts';
import { isPrivate, type Patience } from '../hub/http.ts';
import { openHubWire } from '../hub/hub-wire.ts';
import { printReference } from '../hub/reference.ts';
import { readHubSettings } from '../hub/settings.ts';
import { parseTarget } from '../hub/target.ts';
import { explainUpload } from '../hub/upload-failures.ts';
import { headOf, readSmall, type Tree, treeOf } from '../hub/writing.ts';
import { quote } from '../text/quote.ts';
import { OWN_OF_THE_HUB } from './hub-package.ts';
import type { HubTarget, HubWishes, PublishOptions, Standing, Target } from './place.ts';

export interface HubOptions extends PublishOptions {
  readonly patience?: Patience;
}

export interface OpenedHub {
  readonly destination: Destination;
  /** As it is printed. */
  readonly place: string;
  /** What is thrown instead of an error of the network. */
  readonly explain: (error: unknown) => unknown;
}

export interface Look {
  /** What is there already, from the outside in. */
  readonly reaches: 'nothing' | 'repository' | 'branch';
  /** The branch's, or main's where there is no such branch; undefined where there is no repository. */
  readonly head: string | undefined;
  /** What stands at `head`. */
  readonly tree: Tree;
}

const MAIN = 'main';
/** What a repository may hold and still be none that somebody uses for something else. */
const SIDE_FILES: ReadonlySet<string> = new Set([OWN_OF_THE_HUB, 'README.md', 'LICENSE']);
/** A lock has some 100 kB. */
const MAX_LOCK_BYTES = 8 << 20;

/** @throws UsageError for what is no repository and branch; UnavailableError where the network is forbidden or there is no token */
export async function openHub(
  to: string,
  { signal, patience, pullRequest }: Omit<HubOptions, 'to'>,
): Promise<OpenedHub> {
  const reference = parseTarget(to);
  if ('fault' in reference) throw new UsageError(reference.fault);
  const { repo, revision: branch } = reference;
  const settings = await readHubSettings();
  const { endpoint, token, offline } = settings;
  const place = printReference({ repo, path: '' }, branch);
  const wire = openHubWire(settings, { signal, patience });
  if (!wire)
    throw new UnavailableError(`${offline.join(' and ')} forbid the network.`, `Unset them to publish to ${place}.`);
  if (!isPrivate(new URL(endpoint)))
    throw new UsageError(
      `HF_ENDPOINT is ${endpoint}. A token is only shown over https, so nothing can be published there.`,
    );
  if (token === undefined)
    throw new UnavailableError(
      `To publish to ${place} the Hub must know who you are, and there is no token.`,
      `Make one that may write at ${endpoint}/settings/tokens, then run \`hf auth login\`, or put it into HF_TOKEN.`,
    );
  return {
    destination: { wire, endpoint, repo, branch, isProposal: pullRequest === true },
    place,
    explain: (error) => explainUpload(error, { place, repo, endpoint, token }),
  };
}

/** What the preview tells. @throws UsageError for a repository that holds something else; UnavailableError, FormatError */
export async function openHubTarget(_: string, { to, ...options }: HubOptions): Promise<Target> {
  const { destination, place, explain } = await openHub(to, options);
  try {
    const { account, look } = await enter(destination, place);
    const replaces = await standing(destination, look);
    return { place, ...(replaces && { replaces }), hub: describeHub(account, look, options) };
  } catch (error) {
    throw explain(error);
  }
}

function describeHub({ name, mayWrite }: Account, { reaches, head }: Look, options: HubWishes): HubTarget {
  const { private: secret, pullRequest } = options;
  const fresh = secret === undefined ? 'repository' : secret ? 'private repository' : 'public repository';
  return {
    ...(head !== undefined && { head }),
    account: name,
    mayWrite,
    ...(reaches === 'nothing' && { creates: fresh }),
    ...(reaches === 'repository' && { creates: 'branch' }),
    ...(pullRequest && { pullRequest }),
  } as const;
}

/** Who asks, and what stands there, as long as it may be written over. */
export async function enter(destination: Destination, place: string): Promise<{ account: Account; look: Look }> {
  const account = await readAccount(destination, destination);
  const look = await lookAt(destination);
  assertProposable(destination, look, place);
  return { account, look };
}

/** @throws UsageError for a repository that holds something else */
export async function lookAt(destination: Destination): Promise<Look> {
  const look = await reach(destination);
  assertReplaceable(look.tree, printReference({ repo: destination.repo, path: '' }, destination.branch));
  return look;
}

async function reach(destination: Destination): Promise<Look> {
  const { branch } = destination;
  const own = await headOf(destination, branch);
  if (own === 'no repository') return { reaches: 'nothing', head: undefined, tree: new Map() };
  if (own !== 'no revision') return { reaches: 'branch', head: own, tree: await treeOf(destination, own) };
  const main = branch === MAIN ? own : await headOf(destination, MAIN);
  if (main === 'no revision' || main === 'no repository')
    throw new UnavailableError(`${destination.repo} has no branch ${MAIN} to begin from.`, 'Make one on the Hub.');
  return { reaches: 'repository', head: main, tree: await treeOf(destination, main) };
}

function assertReplaceable(tree: Tree, place: string): void {
  if (tree.has(LOCK_FILE)) return;
  const other = [...tree.keys()].find((path) => !SIDE_FILES.has(path));
  if (other === undefined) return;
  throw new UsageError(
    `${place} holds ${quote(other, 200)} and is not a package of lcm-merge: it would be replaced as a whole. Choose another repository.`,
  );
}

function assertProposable({ isProposal, branch, repo }: Destination, { reaches }: Look, place: string): void {
  if (isProposal && reaches !== 'branch')
    throw new UsageError(
      `A pull request goes to what is there, and there is no ${reaches === 'nothing' ? repo : place}. Publish without --pull-request.`,
    );
  if (reaches === 'repository' && branch.startsWith('refs/'))
    throw new UsageError(`${place} is not there, and only branches can be made. Check its name.`);
}

async function standing(destination: Destination, { head, tree }: Look): Promise<Standing | undefined> {
  const files = [...tree].filter(([path]) => path !== OWN_OF_THE_HUB);
  if (files.length === 0 || head === undefined) return undefined;
  const bytes = files.reduce((sum, [, file]) => sum + file.bytes, 0);
  const name = tree.has(LOCK_FILE) ? await lockedName(destination, head) : files.map(([path]) => path).join(' and ');
  return { ...(name !== undefined && { name }), files: files.length, bytes, commit: head };
}

const named = z.looseObject({ name: z.string().min(1).max(200) });

async function lockedName(destination: Destination, commit: string): Promise<string | undefined> {
  const text = await readSmall(destination, commit, LOCK_FILE, MAX_LOCK_BYTES);
  try {
    return named.parse(JSON.parse(text)).name;
  } catch {
    return undefined; // damaged, which is no reason not to replace it
  }
}

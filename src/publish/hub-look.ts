/** What stands at a branch of a repository on the Hugging Face Hub, as long as it may be written over. Nothing is written to find out. */
import { z } from 'zod';
import { UnavailableError, UsageError } from '../errors.ts';
import { LOCK_FILE } from '../export/lock.ts';
import { jsonIn } from '../formats/json.ts';
import type { Destination } from '../hub/commit.ts';
import { printReference } from '../hub/reference.ts';
import { headOf, readSmall, type Tree, treeOf } from '../hub/writing.ts';
import { quote } from '../text/quote.ts';
import { OWN_OF_THE_HUB } from './hub-package.ts';
import type { Standing } from './place.ts';

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

/** What a preview tells of it. */
export async function standing(destination: Destination, { head, tree }: Look): Promise<Standing | undefined> {
  const files = [...tree].filter(([path]) => path !== OWN_OF_THE_HUB);
  if (files.length === 0 || head === undefined) return undefined;
  const bytes = files.reduce((sum, [, file]) => sum + file.bytes, 0);
  const name = tree.has(LOCK_FILE) ? await lockedName(destination, head) : files.map(([path]) => path).join(' and ');
  return { ...(name !== undefined && { name }), files: files.length, bytes, commit: head };
}

const named = z.looseObject({ name: z.string().min(1).max(200) });

async function lockedName(destination: Destination, commit: string): Promise<string | undefined> {
  const text = await readSmall(destination, commit, LOCK_FILE, MAX_LOCK_BYTES);
  return named.safeParse(jsonIn(text)).data?.name; // a lock that is damaged is no reason not to replace it
}

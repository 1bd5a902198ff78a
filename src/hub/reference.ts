/**
 * `hf://owner/repo[/path/in/repo][@revision]`: a file or folder of a model repository on the Hugging Face Hub. The revision (a
 * branch, a tag, a commit, refs/pr/N) stands at the end, behind the last "@"; without it the branch main is meant. Names are
 * checked here once, so that whatever a reference holds may become part of an address and of a path in the cache.
 */
import { printable, quote } from '../text/quote.ts';
import { wrongPath } from '../text/safe-path.ts';

export interface Reference {
  /** `owner/repo` */
  readonly repo: string;
  /** Path of a file or folder in the repository; empty for the whole. */
  readonly path: string;
  /** As it is written; `main` when it is left out. */
  readonly revision: string;
}

const SCHEME = 'hf://';
const DEFAULT_REVISION = 'main';

/** The Hub's own rule (huggingface_hub, validate_repo_id): 96 characters of these, no "--" nor "..", none of ".-" at either end. */
const REPO_PART = /^(?![.-])(?!.*(--|\.\.))[A-Za-z0-9._-]{1,96}(?<![.-])$/;
/** Git's rule for the names of refs (git-check-ref-format), a little stricter. */
const REVISION = /^(?!.*(\.\.|\/\/|@\{|\.lock(\/|$)))(?![/.-])[\w./+@=-]{1,256}(?<![/.])$/;
const COMMIT = /^[0-9a-f]{40}$/;
/** What other addresses on the Hub begin with. */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  datasets: 'a data set',
  spaces: 'a Space',
  buckets: 'a bucket',
  kernels: 'a kernel',
};
/** A revision that ends like this is a path that was written behind it, as huggingface_hub's own file system has it. */
const FILE_ENDING = /\.(safetensors|ckpt|pt|pth|bin|json)$/i;

export function isReference(text: string): boolean {
  return /^hf:\/\//i.test(text);
}

/** Commits never change; branches and tags do. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/** The reference, or what is wrong with it as a sentence. `text` must be one according to isReference. */
export function parseReference(text: string): Reference | { readonly fault: string } {
  const fault = (reason: string) => ({
    fault: `${quote(text, 200)} ${reason}. A reference to the Hub is hf://owner/repo, /path/in/repo if it is a file, and @revision.`,
  });
  if (!text.startsWith(SCHEME)) return fault('must begin with hf:// in small letters');
  const rest = text.slice(SCHEME.length);
  const at = rest.lastIndexOf('@');
  const revision = at < 0 ? DEFAULT_REVISION : rest.slice(at + 1);
  const [owner = '', name = '', ...parts] = (at < 0 ? rest : rest.slice(0, at)).split('/');
  const kind = Object.hasOwn(OTHER_KINDS, owner) ? OTHER_KINDS[owner] : undefined;
  if (kind !== undefined) return fault(`names ${kind}; only model repositories are read`);
  if (owner === '' || name === '') return fault('does not name a repository by its owner and its name');
  for (const part of [owner, name]) {
    if (!REPO_PART.test(part)) return fault(`has ${quote(part)}, which is no name on the Hub`);
  }
  const wrong = parts.length === 0 ? undefined : wrongPath(parts.join('/'));
  if (wrong !== undefined) return fault(wrong);
  if (revision === '') return fault('has an "@" with no revision behind it');
  if (!REVISION.test(revision)) return fault(`has the revision ${quote(revision)}, which cannot be one`);
  if (parts.length === 0 && revision.includes('/') && FILE_ENDING.test(revision)) {
    const [first = '', ...path] = revision.split('/');
    return fault(
      `has its path behind the revision; write ${printable(`${SCHEME}${owner}/${name}/${path.join('/')}@${first}`, 200)}`,
    );
  }
  return { repo: `${owner}/${name}`, path: parts.join('/'), revision };
}

/** `hf://…` with the revision that is given instead of its own. */
export function printReference({ repo, path }: Pick<Reference, 'repo' | 'path'>, revision: string): string {
  return `${SCHEME}${repo}${path && `/${path}`}@${revision}`;
}

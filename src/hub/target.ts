/** `hf://owner/name[@branch]` as a place to publish to: a whole repository, at a branch that a commit can be added to. */
import { quote } from '../text/quote.ts';
import { isCommit, parseReference, type Reference } from './reference.ts';

/** The reference, or why nothing can be published there, as a sentence. `text` must be a reference according to isReference. */
export function parseTarget(text: string): Reference | { readonly fault: string } {
  const reference = parseReference(text);
  if ('fault' in reference) return reference;
  const { repo, path, revision } = reference;
  if (path !== '')
    return { fault: `${quote(text, 200)} names a path in a repository, and a package is a whole one: hf://${repo}.` };
  if (isCommit(revision))
    return { fault: `${quote(text, 200)} names a commit, which is what comes of publishing. Give a branch, or none.` };
  return reference;
}

/** Refusals of the Hub and failures of the connection, as what they mean for whoever wrote the reference. */
import { InputMissingError, LcmMergeError, UnavailableError } from '../errors.ts';
import { ConnectionFailure, HttpRefusal } from './http.ts';
import { printReference, type Reference } from './reference.ts';

export interface Circumstances {
  readonly reference: Reference;
  readonly endpoint: string;
  readonly hasToken: boolean;
}

const LOG_IN = 'log in with `hf auth login`, or put a token with read access into HF_TOKEN';

/** What is thrown instead of `error`; everything that is not of the network stays as it is. */
export function explain(error: unknown, { reference, endpoint, hasToken }: Circumstances): unknown {
  if (error instanceof LcmMergeError) return error;
  const { repo, revision } = reference;
  const name = printReference(reference, revision);
  const { host } = new URL(endpoint);
  if (error instanceof ConnectionFailure) {
    const remedy = 'Try again when there is a connection; with --offline only the cache is used.';
    return new UnavailableError(`${name} cannot be fetched: ${error.message}.`, remedy);
  }
  if (!(error instanceof HttpRefusal)) {
    // @huggingface/hub on an answer that is no JSON, or none that it knows
    if (!(error instanceof SyntaxError || error instanceof TypeError)) return error;
    return new UnavailableError(
      `${host} answers a question about ${name} with something that is no answer of a Hub.`,
      'Is HF_ENDPOINT right?',
    );
  }
  const { status, code, retryAfter } = error;
  if (code === 'GatedRepo' || (status === 403 && code === undefined)) {
    const how = hasToken
      ? 'The token that is used has no access to it: use one of an account that has.'
      : `Then ${LOG_IN}.`;
    return new UnavailableError(
      `${repo} is gated: its owner gives access on request.`,
      `Ask for it at ${endpoint}/${repo}. ${how}`,
    );
  }
  if (code === 'RevisionNotFound') {
    return new InputMissingError(
      `The repository ${repo} on the Hub has no revision ${revision}. Branches, tags and commits are revisions.`,
    );
  }
  if (code === 'EntryNotFound')
    return new InputMissingError(`The repository ${repo} on the Hub no longer has a file that it lists for ${name}.`);
  if (status === 401 || status === 403) {
    // The Hub does not tell strangers whether a repository is private or not there at all.
    return hasToken
      ? new UnavailableError(
          `${host} does not let the token that is used read ${repo}.`,
          `Is the name right? If it is, ${LOG_IN} of an account that may.`,
        )
      : new UnavailableError(
          `${repo} does not exist on the Hub, or is private or gated.`,
          `Check its name; if it is right, ${LOG_IN}.`,
        );
  }
  if (status === 404)
    return new InputMissingError(
      `There is no repository ${repo} on the Hub (${host}). Check its name; private ones are found by those who have access.`,
    );
  if (status === 429) {
    const when = retryAfter === undefined ? 'later' : `in ${Math.ceil(retryAfter)} seconds`;
    const more = hasToken ? '' : ` Those who are logged in may ask more often: ${LOG_IN}.`;
    return new UnavailableError(
      `${host} is asked too often from here (429) and gives nothing for ${name}.`,
      `Try again ${when}.${more}`,
    );
  }
  return new UnavailableError(`${name} cannot be fetched: ${error.message}.`, 'Try again later.');
}

/** Refusals of the Hub and failures of the connection while something is published, as what they mean for whoever publishes. */
import { LcmMergeError, UnavailableError } from '../errors.ts';
import { quote } from '../text/quote.ts';
import { ConnectionFailure, HttpRefusal } from './http.ts';

export interface UploadCircumstances {
  /** As it was named. */
  readonly place: string;
  readonly repo: string;
  readonly endpoint: string;
  /** Never shown, also where a server repeats it. */
  readonly token: string;
}

/** Of what a server says. */
const MAX_SAID = 300;
const KEPT = 'Nothing was committed, and what the Hub has already is not sent again.';

/** What is thrown instead of `error`; everything that is not of the network stays as it is. */
export function explainUpload(error: unknown, { place, repo, endpoint, token }: UploadCircumstances): unknown {
  if (error instanceof LcmMergeError) return error;
  const { host, origin } = new URL(endpoint);
  if (error instanceof ConnectionFailure)
    return new UnavailableError(
      `${place} cannot be reached: ${error.message}.`,
      `${KEPT} Publish again when there is a connection.`,
    );
  if (!(error instanceof HttpRefusal)) {
    // @huggingface/hub on an answer that is no JSON, or none that it knows
    if (!(error instanceof SyntaxError || error instanceof TypeError)) return error;
    return new UnavailableError(`${host} answers with something that is no answer of a Hub.`, 'Is HF_ENDPOINT right?');
  }
  const { status, retryAfter, told } = error;
  const said = told === undefined ? '' : `, saying ${quote(told.replaceAll(token, '…'), MAX_SAID)}`;
  const refuse = (reason: string, remedy: string) => new UnavailableError(`${reason}${said}.`, remedy);
  if (error.origin !== origin)
    return refuse(
      `The storage of ${host} (${new URL(error.origin).host}) does not take a file of ${place}: it answers ${status}`,
      `${KEPT} Publish again later.`,
    );
  switch (status) {
    case 401:
      return refuse(
        `${host} does not take the token that is used; it may have run out`,
        `${KEPT} Make a new one at ${endpoint}/settings/tokens, put it into HF_TOKEN or log in with it (\`hf auth login\`), and publish again.`,
      );
    case 402:
    case 403:
      return refuse(
        `${host} does not let the token that is used write to ${repo} (${status})`,
        `${KEPT} Is it a token that may write, of an account that may and has room for it? ${endpoint}/settings/tokens has them.`,
      );
    case 404:
      return refuse(
        `${host} has no ${repo}, or not for the token that is used`,
        `${KEPT} Check the name; private and gated repositories are found by those who have access.`,
      );
    case 429:
      return refuse(
        `${host} is asked too often from here (429)`,
        `${KEPT} Publish again ${retryAfter === undefined ? 'later' : `in ${Math.ceil(retryAfter)} seconds`}.`,
      );
    default:
      return refuse(`${place} was not published: ${host} answers ${status}`, `${KEPT} Publish again later.`);
  }
}

/** A repository on the Hugging Face Hub that a package is published to: who asks, and what stands at the branch. Nothing is written to find out. */
import { UnavailableError, UsageError } from '../errors.ts';
import { type Account, readAccount } from '../hub/account.ts';
import type { Destination } from '../hub/commit.ts';
import { isPrivate } from '../hub/http.ts';
import { openHubWire } from '../hub/hub-wire.ts';
import { printReference } from '../hub/reference.ts';
import { readHubSettings } from '../hub/settings.ts';
import { parseTarget } from '../hub/target.ts';
import { explainUpload } from '../hub/upload-failures.ts';
import { type Look, lookAt, standing } from './hub-look.ts';
import { type HubTarget, type HubWishes, networkForbidden, type OpenTarget, type PublishOptions } from './place.ts';
import { sendToHub } from './send-to-hub.ts';

/**
 * @throws UsageError for what is no repository and branch, or holds something else than a package; UnavailableError where the network is
 * forbidden, the Hub is not there, or there is no token that may write
 */
export async function openHubTarget(_: string, options: PublishOptions): Promise<OpenTarget> {
  const { destination, place, explain } = await connect(options);
  try {
    const account = await readAccount(destination, destination);
    const look = await lookAt(destination);
    assertProposable(destination, look, place);
    const replaces = await standing(destination, look);
    return {
      target: { place, ...(replaces && { replaces }), hub: describeHub(account, look, options) },
      name: destination.repo.split('/')[1] as string,
      passes: 2, // every byte is read, and sent or found there
      send: (parcel, counted) => sendToHub(parcel, { destination, look, place, options, ...counted }),
      explain,
    };
  } catch (error) {
    throw explain(error);
  }
}

interface Connection {
  readonly destination: Destination;
  /** As it is printed. */
  readonly place: string;
  readonly explain: OpenTarget['explain'];
}

/** Asks for nothing yet. */
async function connect({ to, signal, patience, pullRequest }: PublishOptions): Promise<Connection> {
  const reference = parseTarget(to);
  if ('fault' in reference) throw new UsageError(reference.fault);
  const { repo, revision: branch } = reference;
  const settings = await readHubSettings();
  const { endpoint, token, offline } = settings;
  const place = printReference({ repo, path: '' }, branch);
  const wire = openHubWire(settings, { signal, patience });
  if (!wire) throw networkForbidden(offline, place);
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

function assertProposable({ isProposal, branch, repo }: Destination, { reaches }: Look, place: string): void {
  if (isProposal && reaches !== 'branch')
    throw new UsageError(
      `A pull request goes to what is there, and there is no ${reaches === 'nothing' ? repo : place}. Publish without --pull-request.`,
    );
  if (reaches === 'repository' && branch.startsWith('refs/'))
    throw new UsageError(`${place} is not there, and only branches can be made. Check its name.`);
}

/** Refusals of a registry and failures of the connection, as what they mean for whoever wrote the reference. */
import { LcmMergeError, UnavailableError } from '../errors.ts';
import { ConnectionFailure, HttpRefusal } from '../hub/http.ts';
import { type OciReference, printOciReference } from './reference.ts';

export interface RegistryCircumstances {
  readonly reference: OciReference;
  readonly hasCredentials: boolean;
}

/** What is thrown instead of `error`; everything that is not of the network stays as it is. */
export function explainRegistry(error: unknown, { reference, hasCredentials }: RegistryCircumstances): unknown {
  if (error instanceof LcmMergeError) return error;
  const name = printOciReference(reference);
  const { registry } = reference;
  if (error instanceof ConnectionFailure) {
    return new UnavailableError(
      `${name} cannot be reached: ${error.message}.`,
      'Try again when there is a connection; what has got there, or here, does not travel again.',
    );
  }
  if (!(error instanceof HttpRefusal)) return error;
  const { status, retryAfter } = error;
  if (status === 401 || status === 403) {
    return hasCredentials
      ? new UnavailableError(
          `${registry} does not let the user that is logged in do this with ${name}.`,
          'Is the name right? If it is, log in as somebody who may: docker login, or LCM_MERGE_REGISTRY_USER and LCM_MERGE_REGISTRY_PASSWORD.',
        )
      : new UnavailableError(
          `${registry} wants to know who asks for ${name}.`,
          `Log in with docker login ${registry}, or set LCM_MERGE_REGISTRY_USER and LCM_MERGE_REGISTRY_PASSWORD. Credential helpers are not run.`,
        );
  }
  if (status === 404)
    return new UnavailableError(
      `${registry} has no place ${reference.repository}.`,
      'Check the name; some registries want repositories to be made first.',
    );
  if (status === 413)
    return new UnavailableError(
      `${registry} takes no parts of that size (413).`,
      'A proxy before the registry limits requests; raise its limit.',
    );
  if (status === 429) {
    const when = retryAfter === undefined ? 'later' : `in ${Math.ceil(retryAfter)} seconds`;
    return new UnavailableError(`${registry} is asked too often from here (429).`, `Try again ${when}.`);
  }
  return new UnavailableError(
    `${name}: ${error.message}.`,
    'Try again later; what has got there, or here, does not travel again.',
  );
}

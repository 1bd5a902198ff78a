/**
 * `oci://registry/name[:tag][@digest]`: an artifact in an OCI registry. Names, tags and digests are checked here once, by the rules of
 * the OCI distribution specification, so that whatever a reference holds may become part of an address.
 */
import { quote } from '../text/quote.ts';

export interface OciReference {
  /** `host` or `host:port` */
  readonly registry: string;
  /** `team/models/ink` */
  readonly repository: string;
  /** Undefined where a digest is all that is said. */
  readonly tag: string | undefined;
  /** `sha256:…` of the manifest. */
  readonly digest: string | undefined;
}

const SCHEME = 'oci://';
const DEFAULT_TAG = 'latest';

const REGISTRY =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[::1\])(?::\d{1,5})?$/;
/** distribution-spec, "Pulling manifests": path components joined by slashes, 255 characters with the registry. */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const MAX_NAME = 255;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
export const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isOciReference(text: string): boolean {
  return /^oci:\/\//i.test(text);
}

/** The reference, or what is wrong with it as a sentence. `text` must be one according to isOciReference. */
export function parseOciReference(text: string): OciReference | { readonly fault: string } {
  const fault = (reason: string) => ({
    fault: `${quote(text, 200)} ${reason}. A reference to a registry is oci://registry/name, with :tag or @sha256:… behind it.`,
  });
  if (!text.startsWith(SCHEME)) return fault('must begin with oci:// in small letters');
  if (/^oci:\/\/[^/]*@/.test(text))
    // what stands there may be a password, and is not repeated
    return {
      fault:
        'A reference to a registry holds no user: log in with `docker login`, or set LCM_MERGE_REGISTRY_USER and LCM_MERGE_REGISTRY_PASSWORD.',
    };
  const [named = '', digest, ...more] = text.slice(SCHEME.length).split('@');
  const slash = named.indexOf('/');
  if (more.length > 0 || slash < 0) return fault('does not name a registry and a repository in it');
  const [registry, rest] = [named.slice(0, slash), named.slice(slash + 1)];
  const colon = rest.lastIndexOf(':');
  const [repository, tag] = colon < 0 ? [rest, undefined] : [rest.slice(0, colon), rest.slice(colon + 1)];
  if (!REGISTRY.test(registry))
    return fault(`has ${quote(registry)} where the registry is expected, a host like ghcr.io or localhost:5000`);
  if (!REPOSITORY.test(repository) || registry.length + 1 + repository.length > MAX_NAME)
    return fault(
      `has ${quote(repository)} where the name is expected: small letters and digits, with . _ - between them, and slashes`,
    );
  if (tag !== undefined && !TAG.test(tag))
    return fault(`has the tag ${quote(tag)}; letters, digits and . _ - are allowed, 128 at most`);
  if (digest !== undefined && !DIGEST.test(digest))
    return fault(`has ${quote(digest)} where sha256: and 64 hexadecimal digits are expected`);
  return { registry, repository, tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined), digest };
}

export function printOciReference({ registry, repository, tag, digest }: OciReference): string {
  return `${SCHEME}${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** Registries speak https; one on this machine, as tests and development have it, may speak http. */
export function endpointOf({ registry }: Pick<OciReference, 'registry'>): string {
  const local = /^(localhost|127(\.\d+){3}|\[::1\])(:\d+)?$/.test(registry);
  return `${local ? 'http' : 'https'}://${registry}`;
}

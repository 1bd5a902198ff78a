/**
 * provenance.json: how a package came about, as an in-toto statement with a predicate of SLSA Provenance v1 (slsa.dev/spec/v1.0),
 * for tools that read that. It says what the lock says, so that equal locks give equal files.
 */
import { isCommit, parseReference, printReference } from '../hub/reference.ts';
import { type FileDigest, LOCK_FILE, type Lock, type LockedOrigin } from './lock.ts';

export const PROVENANCE_FILE = 'provenance.json';

/** Where the fields are explained, as a package URL: the tool has no address of its own. */
const BUILD_TYPE = 'pkg:npm/lcm-merge?build=v1#docs/signing.md';
const BUILDER = 'pkg:npm/lcm-merge';

/** A ResourceDescriptor of in-toto; without `uri` for a file that was local. */
interface Resource {
  readonly name?: string;
  readonly uri?: string;
  readonly digest: { readonly sha256: string };
  readonly annotations?: Readonly<Record<string, string | number>>;
}

/** The file's text. `lockDigest` is of the lock's own file, which it cannot name itself. */
export function provenanceJson(lock: Lock, lockDigest: Pick<FileDigest, 'sha256'>): string {
  const subjects = Object.entries({ ...lock.outputs, [LOCK_FILE]: lockDigest });
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: subjects
      .map(([name, { sha256 }]) => ({ name, digest: { sha256 } }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: { recipe: lock.recipe },
        internalParameters: {},
        resolvedDependencies: [...inputs(lock), ...configFiles(lock)],
      },
      runDetails: { builder: { id: BUILDER, version: { [lock.tool.name]: lock.tool.version } } },
    },
  };
  return `${JSON.stringify(sorted(statement), null, 2)}\n`;
}

/** Files of weights, in the order in which they were merged. */
function inputs({ inputs, origins = {} }: Lock): Resource[] {
  return inputs.map(({ role, file, sha256, bytes, origin }) => {
    const from = origin === undefined ? undefined : origins[origin];
    return {
      ...(from ? { uri: hubUri(from, file) } : { name: file }),
      digest: { sha256 },
      annotations: { role, bytes },
    };
  });
}

/** What was read of the Hub beside weights. */
function configFiles({ inputs, origins = {} }: Lock): Resource[] {
  const known = new Set(inputs.map(({ origin, file }) => `${origin} ${file}`));
  return Object.entries(origins).flatMap(([key, origin]) =>
    Object.entries(origin.files)
      .filter(([path]) => !known.has(`${key} ${path}`))
      .map(([path, { sha256, bytes }]) => ({
        uri: hubUri(origin, path),
        digest: { sha256 },
        annotations: { role: key, bytes },
      })),
  );
}

/** The file by the commit that it was taken from. */
function hubUri({ reference, commit }: LockedOrigin, path: string): string {
  const parsed = parseReference(reference);
  const pinned = isCommit(commit) && !('fault' in parsed);
  return pinned ? printReference({ repo: parsed.repo, path }, commit) : reference;
}

/** Keys by name at every depth: a lock that was read again may have them in another order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

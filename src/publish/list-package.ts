/** Packages that are elsewhere, by the kind of place: one row for each. Listing one asks a few questions and fetches nothing. */
import { FormatError, UsageError } from '../errors.ts';
import { LOCK_FILE } from '../export/lock.ts';
import { isReference } from '../hub/reference.ts';
import { isOciReference } from '../oci/reference.ts';
import { listHubPackage } from './hub-package.ts';
import { listRegistryPackage } from './registry-package.ts';
import { type RemoteOptions, type RemotePackage, withRemedy } from './remote-package.ts';

interface Kind {
  readonly is: (text: string) => boolean;
  readonly list: (text: string, options: RemoteOptions) => Promise<RemotePackage>;
}

const KINDS: readonly Kind[] = [
  { is: isReference, list: listHubPackage },
  { is: isOciReference, list: listRegistryPackage },
];

/** Whether `text` names a package that is elsewhere, and no folder. */
export function isRemote(text: string): boolean {
  return KINDS.some(({ is }) => is(text));
}

/** Of a package and its weights, some dozen; one of a million files is an attack. */
const MAX_FILES = 10_000;
/** A package has one of them: the lock if lcm-merge baked it, the graph also if another tool did. */
const SIGNS = [LOCK_FILE, 'unet/model.onnx'];

/**
 * @throws UsageError for what is no reference to a package; InputMissingError when there is none, or, offline, none in the cache;
 * FormatError for what is no package, or has names that must not become paths; UnavailableError
 */
export async function listRemotePackage(text: string, options: RemoteOptions): Promise<RemotePackage> {
  const kind = KINDS.find(({ is }) => is(text));
  if (!kind)
    throw new UsageError(`${text} is no reference to a package: hf://owner/name@revision or oci://registry/name:tag.`);
  const found = await kind.list(text, options).catch((error: unknown) => {
    throw withRemedy(error);
  });
  const fault = (reason: string) => new FormatError(`${text} is no package: ${reason}. Nothing was fetched.`);
  if (!found.files.some(({ path }) => SIGNS.includes(path))) throw fault(`it has neither ${SIGNS.join(' nor ')}`);
  if (found.files.length > MAX_FILES)
    throw fault(`it has ${found.files.length} files, and ${MAX_FILES} at most are fetched`);
  return found;
}

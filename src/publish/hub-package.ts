/** A package on the Hugging Face Hub: a model repository that is one, as its tree lists it at a commit. */
import { FormatError, UsageError } from '../errors.ts';
import { explain } from '../hub/failures.ts';
import { openHubWire } from '../hub/hub-wire.ts';
import { parseReference, printReference } from '../hub/reference.ts';
import { openRepository } from '../hub/repository.ts';
import { wrongPaths } from '../text/safe-path.ts';
import type { RemoteOptions, RemotePackage } from './remote-package.ts';

/** What the Hub itself puts into every repository; no file of the package. */
export const OWN_OF_THE_HUB = '.gitattributes';

/** @throws UsageError, InputMissingError, UnavailableError, FormatError for names that must not become paths */
export async function listHubPackage(text: string, options: RemoteOptions): Promise<RemotePackage> {
  const { settings, cache } = options;
  const { endpoint, token } = settings;
  const reference = parseReference(text);
  if ('fault' in reference) throw new UsageError(reference.fault);
  const { repo } = reference;
  const whole = { repo, path: '' };
  if (reference.path !== '')
    throw new UsageError(
      `${text} names a part of a repository, and a package is all of one: ${printReference(whole, reference.revision)}.`,
    );
  const circumstances = { reference, endpoint, hasToken: token !== undefined };
  const wire = openHubWire(settings, options);
  const repository = await openRepository(reference, { ...circumstances, cache, wire });
  const target = await repository.target([]);
  const { files, unsafe } = target.kind === 'folder' ? target : { files: [target.file], unsafe: [] };
  const own = files.filter(({ path }) => path !== OWN_OF_THE_HUB);
  const wrong = wrongPaths([...unsafe, ...own.map(({ path }) => path)]);
  if (wrong !== undefined)
    throw new FormatError(`${text} is no package that can be fetched: it ${wrong}. Nothing was fetched.`);
  return {
    reference: printReference(whole, repository.commit),
    name: `${repo.split('/')[1]}@${repository.commit.slice(0, 8)}`,
    remembered: repository.remembered,
    files: own,
    wire,
    addressOf: repository.url,
    cached: repository.cached,
    remember: repository.remember,
    explain: (error) => explain(error, circumstances),
  };
}

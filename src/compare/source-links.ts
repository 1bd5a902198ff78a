/**
 * Found sources under the names that a lock has for them: what they are called, and how they lie to each other, stands in lock, model
 * card and provenance, and is to come out the same again. A folder of links, gone when it is disposed of.
 */
import { mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { FormatError } from '../errors.ts';
import { writingTo } from '../formats/byte-source.ts';
import { wrongPath } from '../text/safe-path.ts';
import { insideOf, type LocalSource } from './find-sources.ts';

export interface LinkedSources extends AsyncDisposable {
  /** The link of each source, by its field. */
  readonly paths: ReadonlyMap<string, string>;
}

/** @throws FormatError for names in the lock that must not become paths, IoError */
export async function linkSources(
  sources: readonly LocalSource[],
  found: ReadonlyMap<string, string>,
): Promise<LinkedSources> {
  const model = sources.find(({ field }) => field === 'base.model')?.name;
  const places = sources.map((source) => [source, safePlace(source, model)] as const);
  const root = await mkdtemp(join(tmpdir(), 'lcm-merge-sources-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const paths = new Map<string, string>();
  for (const [{ field }, place] of places) {
    const target = found.get(field) as string;
    const path = join(root, place);
    await mkdir(dirname(path), { recursive: true });
    const type = (await stat(target)).isDirectory() ? 'junction' : 'file'; // Windows tells them apart
    await writingTo(path, symlink(target, path, type));
    paths.set(field, path);
  }
  const kept = stack.move();
  return { paths, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/**
 * Parts of a base are told from where its model lies (export/lock.ts, fileName), so that they lie to it as they did; one that lay in
 * the model's own folder, and everything else, stands for itself.
 */
function safePlace({ field, name, inputs }: LocalSource, model: string | undefined): string {
  const file = inputs[0]?.file ?? '';
  const inside = insideOf(name, file)?.length ?? 0;
  const beside = file.split('/').slice(0, file.split('/').length - inside);
  const isPart = field === 'base.model' || (field.startsWith('base.') && beside.at(-1) === name && beside[0] !== model);
  const place = isPart ? ['base', ...(field === 'base.model' ? [name] : beside)].join('/') : `own/${field}/${name}`;
  const wrong = wrongPath(place);
  if (wrong === undefined) return place;
  throw new FormatError(`The lock calls the source ${field} by a name that must not become a path: it ${wrong}.`);
}

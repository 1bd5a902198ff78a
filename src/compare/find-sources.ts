/**
 * The sources of a lock on this machine, wherever they lie and whatever they are called now: by their SHA-256, which is asked only of
 * files that are as long as one of them. A folder is the one in which all that was read of it lies.
 */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { COMPONENTS } from '../architecture/names.ts';
import { InputMissingError } from '../errors.ts';
import { type Stage, telling } from '../events.ts';
import { digestInSteps } from '../export/digest.ts';
import type { Lock, LockedInput } from '../export/lock.ts';
import { isReference } from '../hub/reference.ts';
import { describeMissing, kindOf, namedInputs } from '../recipe/input-files.ts';
import { keyName } from '../recipe/located-yaml.ts';
import { fieldOfRole } from '../recipe/sources.ts';
import { count } from '../text/quantity.ts';
import { quote } from '../text/quote.ts';

/** A field of the recipe that names a file or folder of a machine, and what was read of it. */
export interface LocalSource {
  /** As keyName has it: `personalized[0].lora`. */
  readonly field: string;
  /** Name of the file or folder, as it was. */
  readonly name: string;
  /** Empty for a folder of configs, of which locks keep no hash. */
  readonly inputs: readonly LockedInput[];
}

/** What a bake needs and the Hub does not have. What a run is only held to (`verify.reference`) is none of it. */
export function localSources({ recipe, inputs }: Pick<Lock, 'recipe' | 'inputs'>): readonly LocalSource[] {
  return namedInputs(recipe)
    .filter(([[section], path]) => section !== 'verify' && !isReference(path))
    .map(([key, name]) => {
      const field = keyName(key);
      return { field, name, inputs: inputs.filter(({ role }) => fieldOfRole(role, recipe) === field) };
    });
}

/**
 * The path of every source, by its field. @throws InputMissingError for a folder that is not there, and for sources that are in none of
 * them: all are named, with size and hash
 */
export async function* findSources(
  sources: readonly LocalSource[],
  folders: readonly string[],
  signal?: AbortSignal,
): Stage<ReadonlyMap<string, string>> {
  const started = performance.now();
  yield {
    type: 'stage-started',
    stage: 'survey',
    subject: `${count(sources.length, 'source')} in ${folders.join(', ')}`,
  };
  const lengths = new Set(sources.flatMap(({ inputs }) => inputs.map(({ bytes }) => bytes)));
  const candidates = await filesOfLength(folders, lengths, signal);
  const byHash = yield* hashed(candidates, signal);
  const found = new Map<string, string>();
  for (const source of sources) {
    const path = placeOf(source, byHash);
    if (path !== undefined) found.set(source.field, path);
  }
  const missing = sources.filter(({ field }) => !found.has(field));
  if (missing.length > 0)
    throw new InputMissingError(
      [
        `Not in ${folders.join(', ')}, under whatever name:`,
        ...missing.flatMap((source) => describeSource(source, byHash)),
      ].join('\n'),
    );
  yield {
    type: 'stage-finished',
    stage: 'survey',
    milliseconds: performance.now() - started,
    summary: `${count(sources.length, 'source')} by their hashes; ${count(candidates.length, 'file')} read`,
  };
  return found;
}

interface Candidate {
  /** As it is found, links not followed. */
  readonly path: string;
  readonly bytes: number;
}

/** Regular files, also behind links, as the cache of huggingface_hub has them; folders behind links are not gone into. */
async function filesOfLength(
  folders: readonly string[],
  lengths: ReadonlySet<number>,
  signal: AbortSignal | undefined,
): Promise<readonly Candidate[]> {
  const found: Candidate[] = [];
  for (const folder of folders) {
    if ((await kindOf(folder)) !== 'folder')
      throw new InputMissingError(await describeMissing(folder, 'folder'), { file: folder });
  }
  const queue = folders.map((folder) => resolve(folder));
  for (const folder of queue) {
    signal?.throwIfAborted();
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []); // what may not be looked at is not ours
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) queue.push(path);
      else if (entry.isFile() || entry.isSymbolicLink()) {
        const file = await stat(path).catch(() => undefined);
        if (file?.isFile() && lengths.has(file.size)) found.push({ path, bytes: file.size });
      }
    }
  }
  return found;
}

/** The paths of each content; one that several links lead to is read once. */
async function* hashed(
  candidates: readonly Candidate[],
  signal: AbortSignal | undefined,
): Stage<ReadonlyMap<string, readonly string[]>> {
  const total = candidates.reduce((sum, { bytes }) => sum + bytes, 0);
  const byFile = new Map<string, string>();
  const byHash = new Map<string, string[]>();
  let done = 0;
  for (const { path, bytes } of candidates) {
    const file = await realpath(path);
    let sha256 = byFile.get(file);
    if (sha256 === undefined) {
      let read = done;
      ({ sha256 } = yield* telling(digestInSteps(file, signal), (more) => {
        read += more;
        return { type: 'progress', stage: 'survey', done: read, total, unit: 'bytes', detail: basename(path) };
      }));
      byFile.set(file, sha256);
    }
    done += bytes;
    byHash.set(sha256, [...(byHash.get(sha256) ?? []), path]);
  }
  return byHash;
}

type ByHash = ReadonlyMap<string, readonly string[]>;

/** Where all inputs of a source are: the file itself, or the folder that they have in common; one of its own name before others. */
function placeOf({ name, inputs }: LocalSource, byHash: ByHash): string | undefined {
  const [first, ...others] = inputs.map((input) => places(name, input, byHash));
  const common = (first ?? []).filter((place) => others.every((set) => set.includes(place)));
  return common.find((place) => basename(place) === name) ?? common[0];
}

function places(name: string, { file, sha256 }: LockedInput, byHash: ByHash): readonly string[] {
  const paths = byHash.get(sha256) ?? [];
  if (basename(file) === name) return paths;
  const inside = insideOf(name, file);
  if (inside === undefined) return paths.map((path) => folderOf(name, path));
  const tail = `${sep}${inside.join(sep)}`;
  return paths.filter((path) => path.endsWith(tail)).map((path) => path.slice(0, -tail.length));
}

/** A file's place in the folder `name`, where the lock tells it. */
export function insideOf(name: string, file: string): readonly string[] | undefined {
  const parts = file.split('/');
  const at = parts.indexOf(name);
  return at < 0 || at === parts.length - 1 ? undefined : parts.slice(at + 1);
}

/** Where the lock has no more than the name of a file: the folder above it of that name, else the one that holds it or its component. */
function folderOf(name: string, path: string): string {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder))
    if (basename(folder) === name) return folder;
  const parent = dirname(path);
  return COMPONENT_FOLDERS.has(basename(parent)) ? dirname(parent) : parent;
}

const COMPONENT_FOLDERS: ReadonlySet<string> = new Set([...COMPONENTS, 'vae']);

/** One line for each file that was not found; one that was found lies apart from the others. */
function describeSource({ field, name, inputs }: LocalSource, byHash: ByHash): readonly string[] {
  const called = `${field} (${quote(name)})`;
  if (inputs.length === 0)
    return [`  ${called}: a folder of configs, of which the lock has no hash; give --recipe instead`];
  return inputs.map(({ file, bytes, sha256 }) => {
    const [elsewhere] = byHash.get(sha256) ?? [];
    const apart = elsewhere === undefined ? '' : `, which is ${elsewhere}, but the rest of its folder is not with it`;
    return `  ${called}: ${quote(file, 200)}, ${bytes} bytes, SHA-256 ${sha256}${apart}`;
  });
}

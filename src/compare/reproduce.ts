/**
 * A package made once more from what its lock says and held to it file by file. The gate's check `reproduce` merges the weights anew and
 * writes nothing; this is the whole bake, graphs, configs, lock and provenance included.
 */
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { InputMissingError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { LOCK_FILE, type Lock } from '../export/lock.ts';
import { bake } from '../export/package.ts';
import { openStaging } from '../export/staging.ts';
import type { Plan } from '../merge/plan.ts';
import { mapInputs } from '../recipe/input-files.ts';
import { parseRecipe } from '../recipe/load.ts';
import { keyName } from '../recipe/located-yaml.ts';
import type { Recipe } from '../recipe/schema.ts';
import { readLock } from '../runtime/lock-file.ts';
import { compareFiles, type Digests, type FileDifferences } from '../sign/manifest.ts';
import { provedAs } from '../verify/expected-lock.ts';
import { digestPackage } from '../verify/gate.ts';
import { localSources } from './find-sources.ts';

export interface Reproduction extends FileDifferences {
  readonly identical: boolean;
  /** Of the package, without verification and signature. */
  readonly files: number;
  readonly bytes: number;
  /** Sources that are not those that the lock records: whatever differs is no wonder then. */
  readonly sources: readonly { readonly role: string; readonly expected: string; readonly found: string }[];
  /** Where what was made anew lies, if it was to be kept. */
  readonly kept?: string;
}

export interface ReproduceOptions {
  /** What the package is called; default: its folder. */
  readonly name?: string | undefined;
  /** Where what is made anew stays. */
  readonly keep?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The lock with its keys in the order in which they are written, and a recipe in it that is one. @throws InputMissingError when the
 * package has none, FormatError, RecipeError
 */
export async function lockOfPackage(folder: string): Promise<Lock> {
  const file = join(folder, LOCK_FILE);
  if (await readLock(folder)) {
    const lock = JSON.parse(await readFile(file, 'utf8')) as Lock;
    parseRecipe(JSON.stringify(lock.recipe), file);
    return lock;
  }
  throw new InputMissingError(`${file} is missing: nothing says what ${folder} was made of.`, { file });
}

/**
 * The recipe that a lock keeps, with the paths of `found` for inputs of a machine, by the fields that name them. @throws InputMissingError
 * for others of those, of which the lock has no more than names and hashes. `name`: what the package is called
 */
export function recipeOfLock(lock: Lock, name: string, found: ReadonlyMap<string, string> = new Map()): Recipe {
  const file = `${name}/${LOCK_FILE}`;
  const missing = localSources(lock).filter(({ field }) => !found.has(field));
  if (missing.length > 0)
    throw new InputMissingError(
      `${file} names inputs that were files of a machine: ${missing.map(({ field, name }) => `${field} (${name})`).join(', ')}. Say where they are: --sources FOLDER finds them by their hashes, and --recipe RECIPE has their paths.`,
      { file },
    );
  const recipe = mapInputs(lock.recipe, (input, key) => found.get(keyName(key)) ?? input);
  return parseRecipe(JSON.stringify(recipe), file);
}

/**
 * Bakes `plan` into a folder of its own (`keep`, or one that is gone afterwards) and compares with the package in `folder`.
 * @throws what bake throws; InputMissingError when the package has no lock
 */
export async function* reproducePackage(
  folder: string,
  plan: Plan,
  { name = folder, keep, signal }: ReproduceOptions = {},
): Stage<Reproduction> {
  const started = performance.now();
  const lock = await lockOfPackage(folder);
  await using staging = await openStaging(keep ?? join(tmpdir(), `lcm-merge-reproduce-${process.pid}`));
  const baked = yield* bake(provedAs(plan, lock), { into: staging.path, signal });
  yield { type: 'stage-started', stage: 'reproduce', subject: name };
  const [told, made] = [await digestPackage(folder, signal), await digestPackage(staging.path, signal)];
  const differences = compareFiles(byName(told), byName(made));
  const identical = Object.values(differences).every((names) => names.length === 0);
  const files = Object.keys(told).length;
  yield {
    type: 'stage-finished',
    stage: 'reproduce',
    milliseconds: performance.now() - started,
    summary: identical ? `${files} files are the same to the last bit` : 'other files came out',
  };
  return {
    identical,
    ...differences,
    files,
    bytes: Object.values(told).reduce((sum, { bytes }) => sum + bytes, 0),
    sources: otherSources(lock, baked.lock),
    ...(keep !== undefined && { kept: resolve(await staging.commit()) }),
  };
}

function byName(digests: Awaited<ReturnType<typeof digestPackage>>): Digests {
  return new Map(Object.entries(digests).map(([name, { sha256 }]) => [name, sha256]));
}

function otherSources(told: Lock, made: Lock): Reproduction['sources'] {
  const found = new Map(made.inputs.map(({ role, sha256 }) => [role, sha256]));
  return told.inputs
    .map(({ role, sha256 }) => ({ role, expected: sha256, found: found.get(role) ?? 'nothing' }))
    .filter(({ expected, found }) => expected !== found);
}

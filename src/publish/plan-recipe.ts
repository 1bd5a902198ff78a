/** Loading, fetching and planning a recipe as one stage, so that it shows like the others. */
import { basename, join } from 'node:path';
import { FormatError, InputMissingError } from '../errors.ts';
import type { Stage } from '../events.ts';
import { defaultOut } from '../export/default-out.ts';
import { LOCK_FILE, type Lock } from '../export/lock.ts';
import { type Plan, plan } from '../merge/plan.ts';
import { fetchInputs } from '../recipe/fetch.ts';
import type { LockedInputs } from '../recipe/fetch-lock.ts';
import { describeMissing, kindOf } from '../recipe/input-files.ts';
import { loadRecipe } from '../recipe/load.ts';
import type { Recipe } from '../recipe/schema.ts';
import { readLock, readLockFile } from '../runtime/lock-file.ts';
import { count } from '../text/quantity.ts';

export interface PlanOptions {
  readonly signal: AbortSignal;
  /** The recipe's text in place of what its file holds: one that has not been saved yet. */
  readonly text?: string | undefined;
  readonly offline?: boolean | undefined;
  /** A lock, or a package that has one: what the Hub gives must be what it says. */
  readonly lock?: string | undefined;
  /** Where the package will be; the lock of an older one there is held to as well. Default: defaultOut. */
  readonly out?: string | undefined;
}

/** @throws what loadRecipe, fetchInputs and plan throw; the signal's reason when it is aborted. */
export async function* planRecipe(file: string, options: PlanOptions): Stage<Plan> {
  yield { type: 'stage-started', stage: 'plan', subject: basename(file) };
  const loading = performance.now();
  const loaded = await loadRecipe(file, { text: options.text });
  return yield* planLoaded(loaded, { ...options, loading });
}

/** The same for a recipe that is at hand; `loading`: since when. */
export async function* planLoaded(loaded: Recipe, options: PlanOptions & { readonly loading?: number }): Stage<Plan> {
  const { signal, offline } = options;
  const fetching = performance.now();
  const { loading = fetching } = options;
  const recipe = yield* fetchInputs(loaded, { lock: await knownLock(loaded, options), offline, signal });
  const fetched = performance.now();
  const planned = await plan(recipe);
  signal.throwIfAborted();
  for (const message of planned.warnings) yield { type: 'warning', stage: 'plan', message };
  const tensors = Object.values(planned.tensors).flat();
  const sums = tensors.filter(({ terms }) => terms.some(({ kind }) => kind !== 'difference')).length;
  yield {
    type: 'stage-finished',
    stage: 'plan',
    milliseconds: performance.now() - fetched + (fetching - loading),
    summary: `${planned.recipe.name}: ${count(planned.files.length, 'file')}, ${count(tensors.length, 'tensor')}, of which ${sums} are changed by LoRAs`,
  };
  return planned;
}

/** With --lock its commits are taken; the lock of a package that is about to be replaced only tells what has changed. */
async function knownLock(recipe: Recipe, { lock, out }: PlanOptions): Promise<LockedInputs | undefined> {
  if (lock !== undefined) {
    const kind = await kindOf(lock);
    if (kind === 'nothing') throw new InputMissingError(await describeMissing(lock, 'file or folder'), { file: lock });
    const file = kind === 'folder' ? join(lock, LOCK_FILE) : lock;
    return locked(await readLockFile(file), file, true);
  }
  const folder = out ?? defaultOut(recipe);
  const standing = await readLock(folder).catch((error: unknown) => {
    if (error instanceof FormatError) return undefined; // whatever it is, it is no lock of ours
    throw error;
  });
  return standing && locked(standing, join(folder, LOCK_FILE), false);
}

function locked({ origins = {} }: Lock, name: string, pin: boolean): LockedInputs {
  return { name, origins, pin };
}

/**
 * lcm-merge.lock.json: everything that decided a package's bytes. No paths of the machine and no times, so that equal
 * inputs give equal locks.
 */
import { basename, dirname, relative } from 'node:path';
import type { Component } from '../architecture/names.ts';
import { FormatError } from '../errors.ts';
import type { Accounting } from '../merge/account.ts';
import type { Effects } from '../merge/effects.ts';
import type { Plan, PlannedFile, Role } from '../merge/plan.ts';
import { mapInputs } from '../recipe/input-files.ts';
import type { SourceLicenses } from '../recipe/licenses.ts';
import { keyName } from '../recipe/located-yaml.ts';
import type { FetchedFile, Recipe } from '../recipe/schema.ts';
import { VERSION } from '../version.ts';

export const LOCK_FILE = 'lcm-merge.lock.json';

export interface FileDigest {
  readonly sha256: string;
  readonly bytes: number;
}

export interface LockedInput extends FileDigest {
  readonly role: string;
  /** Name of the file, without the folders of the machine it was on; its path in the repository when it came from the Hub. */
  readonly file: string;
  /** The field of the recipe that names it by a reference, as in `origins`. */
  readonly origin?: string;
  readonly container: PlannedFile['container'];
  readonly accounting: Accounting;
  readonly modules?: PlannedFile['modules'];
  readonly ranks?: PlannedFile['ranks'];
  readonly alphas?: PlannedFile['alphas'];
}

/** An input from the Hub: the reference as the recipe has it, the commit that it was, and every file that was read, configs too. */
export interface LockedOrigin {
  readonly reference: string;
  readonly commit: string;
  readonly files: Readonly<Record<string, FileDigest>>;
}

export interface Lock {
  readonly lock_version: 1;
  readonly tool: { readonly name: 'lcm-merge'; readonly version: string };
  readonly name: string;
  readonly recipe: Omit<Recipe, 'file' | 'text' | 'publish' | 'origins'>;
  readonly strengths: { readonly alpha: readonly number[]; readonly beta: number; readonly gamma: number };
  readonly inputs: readonly LockedInput[];
  /** By the name of the field (`base.model`, `personalized[0].lora`); left out when everything was local. */
  readonly origins?: Readonly<Record<string, LockedOrigin>>;
  /** Of each source, by the name of its field; those whose licence is not known are left out. Absent in locks of older tools. */
  readonly licenses?: SourceLicenses;
  /** How many tensors of each component of the package each rule made. */
  readonly rules: Readonly<Partial<Record<Component, Readonly<Record<string, number>>>>>;
  readonly motion: Pick<Plan['motion'], 'mid' | 'positions' | 'stretched_from'>;
  /** How much each source changes; absent in locks of tools before 0.2. */
  readonly effects?: Effects;
  /** Every file of the package but this one, what is made of it (provenance, signature) and what the verification writes (its folder, the model card). */
  readonly outputs: Readonly<Record<string, FileDigest>>;
}

export function makeLock(
  plan: Plan,
  made: {
    readonly inputs: readonly FileDigest[];
    readonly outputs: Readonly<Record<string, FileDigest>>;
    readonly effects?: Effects;
  },
): Lock {
  const { recipe } = plan;
  return {
    lock_version: 1,
    tool: { name: 'lcm-merge', version: VERSION },
    name: recipe.name,
    recipe: withoutPaths(recipe),
    strengths: {
      alpha: recipe.personalized.map((source) => source.alpha),
      beta: recipe.lcm?.beta ?? 0,
      gamma: recipe.motion.gamma,
    },
    inputs: plan.files.map(({ role, path, container, accounting, modules, ranks, alphas }, i) => ({
      role,
      ...nameInput(recipe, role, path),
      ...(made.inputs[i] as FileDigest),
      container,
      accounting,
      ...(modules && { modules }),
      ...(ranks && { ranks }),
      ...(alphas && { alphas }),
    })),
    ...(recipe.origins && { origins: lockOrigins(recipe.origins) }),
    licenses: plan.licenses,
    rules: Object.fromEntries(plan.components.map((component) => [component, countRules(plan, component)])),
    motion: withoutFiles(plan.motion),
    ...(made.effects && { effects: made.effects }),
    outputs: Object.fromEntries(Object.entries(made.outputs).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

/** The rule that makes a tensor: its source's role or `positional-encoding`, and `+ kind of role` for each term. */
function countRules(plan: Plan, component: Component): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { source, terms } of plan.tensors[component].map((tensor) => tensor)) {
    const origin = source === null ? 'positional-encoding' : (plan.files[source.file]?.role ?? 'base');
    const rule = [origin, ...terms.map((term) => `${term.kind} of ${term.of}`)].join(' + ');
    counts[rule] = (counts[rule] ?? 0) + 1;
  }
  return counts;
}

function withoutPaths(recipe: Recipe): Lock['recipe'] {
  const { file: _file, text: _text, publish: _publish, origins, ...rest } = recipe;
  return mapInputs(rest, (path, key) => origins?.[keyName(key)]?.reference ?? basename(path));
}

function lockOrigins(origins: NonNullable<Recipe['origins']>): NonNullable<Lock['origins']> {
  const withoutLocal = (files: Readonly<Record<string, FetchedFile>>) =>
    Object.fromEntries(Object.entries(files).map(([path, { sha256, bytes }]) => [path, { sha256, bytes }]));
  return Object.fromEntries(
    Object.entries(origins).map(([key, { reference, commit, files }]) => [
      key,
      { reference, commit, files: withoutLocal(files) },
    ]),
  );
}

function nameInput(recipe: Recipe, role: Role, path: string): Pick<LockedInput, 'file' | 'origin'> {
  const fetched = fetchedFile(recipe, path);
  if (fetched) return { file: fetched.path, origin: fetched.origin };
  return { file: fileName(recipe, role, path) };
}

/** What is known of an input that came from the Hub, by the path of its local copy. */
export function fetchedFile({ origins = {} }: Recipe, local: string) {
  for (const [origin, { reference, commit, files }] of Object.entries(origins)) {
    for (const [path, file] of Object.entries(files))
      if (file.local === local) return { origin, reference, commit, path, ...file };
  }
  return undefined;
}

/**
 * Holds what was read while baking to what was fetched: a cached copy may have been changed since.
 * @throws FormatError naming the file
 */
export function assertAsFetched({ recipe, files }: Plan, digests: readonly FileDigest[]): void {
  for (const [i, { path }] of files.entries()) {
    const fetched = fetchedFile(recipe, path);
    const found = digests[i]?.sha256;
    if (!fetched || fetched.sha256 === found) continue;
    throw new FormatError(
      `${path}: its SHA-256 is ${found}, but ${fetched.path} of ${fetched.reference} has ${fetched.sha256}: the copy in the cache was changed. Remove it, and it is fetched again.`,
      { file: path },
    );
  }
}

const withoutFiles = ({ stored_positional_encodings: _, ...motion }: Plan['motion']): Lock['motion'] => motion;

/** Of a file in a folder that the recipe names: with that folder. */
function fileName({ base, motion }: Recipe, role: Role, path: string): string {
  const named = role.startsWith('base.') ? base.model : role === 'motion' ? motion.module : motion.base;
  const inside = named === undefined ? '' : relative(dirname(named), path);
  return /^(base\.|motion$|motion\.base$)/.test(role) && !inside.startsWith('..') ? inside : basename(path);
}

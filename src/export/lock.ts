/**
 * lcm-merge.lock.json: everything that decided a package's bytes. No paths of the machine and no times, so that equal
 * inputs give equal locks.
 */
import { basename, dirname, relative } from 'node:path';
import type { Component } from '../architecture/names.ts';
import type { Accounting } from '../merge/account.ts';
import type { Effects } from '../merge/effects.ts';
import type { Plan, PlannedFile, Role } from '../merge/plan.ts';
import type { Recipe } from '../recipe/schema.ts';
import { VERSION } from '../version.ts';

export const LOCK_FILE = 'lcm-merge.lock.json';

export interface FileDigest {
  readonly sha256: string;
  readonly bytes: number;
}

export interface LockedInput extends FileDigest {
  readonly role: string;
  /** Name of the file, without the folders of the machine it was on. */
  readonly file: string;
  readonly container: PlannedFile['container'];
  readonly accounting: Accounting;
  readonly modules?: PlannedFile['modules'];
  readonly ranks?: PlannedFile['ranks'];
  readonly alphas?: PlannedFile['alphas'];
}

export interface Lock {
  readonly lock_version: 1;
  readonly tool: { readonly name: 'lcm-merge'; readonly version: string };
  readonly name: string;
  readonly recipe: Omit<Recipe, 'file' | 'text' | 'publish'>;
  readonly strengths: { readonly alpha: readonly number[]; readonly beta: number; readonly gamma: number };
  readonly inputs: readonly LockedInput[];
  /** How many tensors of each component each rule made. */
  readonly rules: Readonly<Record<Component, Readonly<Record<string, number>>>>;
  readonly motion: Pick<Plan['motion'], 'mid' | 'positions' | 'stretched_from'>;
  /** How much each source changes; absent in locks of tools before 0.2. */
  readonly effects?: Effects;
  /** Every file of the package but this one, the verification and what it is read with later. */
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
      file: fileName(recipe, role, path),
      ...(made.inputs[i] as FileDigest),
      container,
      accounting,
      ...(modules && { modules }),
      ...(ranks && { ranks }),
      ...(alphas && { alphas }),
    })),
    rules: {
      unet: countRules(plan, 'unet'),
      text_encoder: countRules(plan, 'text_encoder'),
      vae_decoder: countRules(plan, 'vae_decoder'),
    },
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

function withoutPaths({
  file: _file,
  text: _text,
  publish: _publish,
  base,
  personalized,
  lcm,
  motion,
  ...rest
}: Recipe): Lock['recipe'] {
  return {
    ...rest,
    base: Object.fromEntries(
      Object.entries(base).map(([key, path]) => [key, basename(path)]),
    ) as unknown as Recipe['base'],
    personalized: personalized.map((source) => ({ ...source, lora: basename(source.lora) })),
    ...(lcm && { lcm: { ...lcm, lora: basename(lcm.lora) } }),
    motion: {
      ...motion,
      module: basename(motion.module),
      ...(motion.base !== undefined && { base: basename(motion.base) }),
      loras: motion.loras.map((source) => ({ ...source, lora: basename(source.lora) })),
    },
  };
}

const withoutFiles = ({ stored_positional_encodings: _, ...motion }: Plan['motion']): Lock['motion'] => motion;

/** Of a file in a folder that the recipe names: with that folder. */
function fileName({ base, motion }: Recipe, role: Role, path: string): string {
  const named = role.startsWith('base.') ? base.model : role === 'motion' ? motion.module : motion.base;
  const inside = named === undefined ? '' : relative(dirname(named), path);
  return /^(base\.|motion$|motion\.base$)/.test(role) && !inside.startsWith('..') ? inside : basename(path);
}

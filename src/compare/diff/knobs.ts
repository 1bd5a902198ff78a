/** What was decided otherwise: every value of the two recipes that differs, as their locks keep them, and what else decides bytes. */
import type { Lock } from '../../export/lock.ts';
import { findKnob, type RecipeKnob } from '../../recipe/knobs.ts';
import { type KeyPath, keyName } from '../../recipe/located-yaml.ts';
import { type Recipe, recipeSchema } from '../../recipe/schema.ts';

export interface KnobDifference {
  /** `personalized[0].alpha`; `tool.version` and `motion.positions` are the lock's own. */
  readonly at: string;
  /** `α ink`, where it is a number that is turned to taste. */
  readonly knob?: string;
  /** Left out where nothing is said. */
  readonly a?: unknown;
  readonly b?: unknown;
}

/** Strengths first, then what is sampled and made, then what it is made of. */
const SECTIONS = ['personalized', 'lcm', 'motion', 'sampler', 'output', 'verify', 'base', 'name'];

export function knobDifferences(a: Lock, b: Lock): readonly KnobDifference[] {
  const label = labeller([a, b]);
  const found = differences(a.recipe, b.recipe).toSorted(
    (p, q) => SECTIONS.indexOf(String(p.path[0])) - SECTIONS.indexOf(String(q.path[0])),
  );
  const beside = differences(factsOf(a), factsOf(b)).map(({ path, ...values }) => ({ at: keyName(path), ...values }));
  return [...found.map(({ path, ...values }) => ({ at: keyName(path), ...label(path), ...values })), ...beside];
}

/** What the recipe left open, and who answered. */
const factsOf = ({ tool, motion: { mid, positions, stretched_from } }: Lock) => ({
  tool: { version: tool.version },
  motion: { mid, positions, stretched_from },
});

/** A lock may have been edited: only recipes that this version would take have knobs with names. */
function labeller(locks: readonly Lock[]): (path: KeyPath) => { readonly knob?: string } {
  const recipes = locks.flatMap(({ recipe }) => (recipeSchema.safeParse(recipe).success ? [recipe as Recipe] : []));
  return (path) => {
    const knobs = recipes.flatMap((recipe) => findKnob(recipe, path) ?? []);
    const [name] = knobs.map(({ label }) => label);
    if (knobs.every(({ label }) => label === name)) return name === undefined ? {} : { knob: name };
    return { knob: (knobs[0] as RecipeKnob).symbol }; // of another file in each
  };
}

interface Difference {
  readonly path: KeyPath;
  readonly a?: unknown;
  readonly b?: unknown;
}

/** By single values: where one side has a whole mapping or list more, each value in it. */
function differences(a: unknown, b: unknown, path: KeyPath = []): Difference[] {
  const containers = [a, b].filter(isContainer);
  if (containers.length > 0 && [a, b].every((side) => side === undefined || isContainer(side))) {
    const isList = containers.every(Array.isArray);
    const keys = new Set(containers.flatMap((side) => Object.keys(side)));
    return [...keys].flatMap((key) => differences(own(a, key), own(b, key), [...path, isList ? Number(key) : key]));
  }
  if (Object.is(a, b)) return [];
  return [{ path, ...(a !== undefined && { a }), ...(b !== undefined && { b }) }];
}

type Container = Readonly<Record<string, unknown>>;

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null;
const own = (value: unknown, key: string): unknown =>
  isContainer(value) && Object.hasOwn(value, key) ? value[key] : undefined;

/** The lock that a bake of the plan would leave, as far as that can be known before it: hashes and effects are the given one's. */
import { type Lock, makeLock } from '../export/lock.ts';
import type { Plan } from '../merge/plan.ts';

/** As it would be read again: without what JSON leaves out. */
export function expectedLock(lock: Lock, plan: Plan): Lock {
  const made = makeLock(plan, { inputs: plan.files.map((_, i) => digestOf(lock, i)), outputs: lock.outputs });
  return JSON.parse(JSON.stringify({ ...made, effects: lock.effects })) as Lock;
}

/** How a package is proved may change without baking it anew: what was said of that when it was baked is no fault. */
export function provedAs(plan: Plan, { recipe: { verify } }: Lock): Plan {
  return { ...plan, recipe: { ...plan.recipe, verify } };
}

function digestOf({ inputs }: Lock, index: number) {
  const { sha256 = '', bytes = 0 } = inputs[index] ?? {};
  return { sha256, bytes };
}

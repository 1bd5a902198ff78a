/** Every tensor of every source is accounted for, and the sources changed what they should. */
import { LOCK_FILE, type Lock } from '../../export/lock.ts';
import type { Plan } from '../../merge/plan.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { expectedLock } from '../expected-lock.ts';
import { describeDifference, jsonDifferences } from '../json-difference.ts';
import { sentence } from '../sentence.ts';

export const accounting: Check = {
  id: 'accounting',
  proves:
    'every tensor of every source file was applied, ignored by a named rule, or allowed to stay over; every expected count is met; the lock’s strengths are those of its recipe; with the sources at hand, the counts are those of a new plan',
  cost: 'none',
  from: 'quick',
  run({ lock, plan }) {
    if (!lock) return unknown('Without a lock there is no account of the sources.');
    const faults: string[] = [];
    let [tensors, allowed] = [0, 0];
    const changed = new Map<string, number>();
    for (const { role, file, accounting: account, modules } of lock.inputs) {
      const ignored = Object.values(account.ignored).reduce((sum, n) => sum + n, 0);
      const sum = account.applied + ignored + account.allowed_unmatched.length;
      if (sum !== account.tensors) faults.push(`${file} has ${account.tensors} tensors, ${sum} are accounted for`);
      if (account.applied === 0) faults.push(`nothing of ${file} was applied`);
      if (modules) {
        const found = Object.values(modules).reduce((total, n) => total + n, 0);
        changed.set(role, (changed.get(role) ?? 0) + found); // a source may have several files
      }
      tensors += account.tensors;
      allowed += account.allowed_unmatched.length;
    }
    for (const [role, found] of changed) {
      const expected = expectation(lock.recipe, role);
      if (expected !== undefined && expected !== found)
        faults.push(`${role} changed ${found} modules, ${expected} were expected`);
    }
    const { personalized, lcm, motion } = lock.recipe;
    const said = { alpha: personalized.map(({ alpha }) => alpha), beta: lcm?.beta ?? 0, gamma: motion.gamma };
    for (const difference of jsonDifferences(lock.strengths, said))
      faults.push(`strengths of the lock and its recipe: ${describeDifference(difference)}`);
    if (plan) faults.push(...otherCounts(lock, plan));
    const figures = { tensors, allowed_unmatched: allowed, files: lock.inputs.length };
    return faults.length > 0
      ? failed(sentence(faults), figures)
      : passed(`${tensors} tensors of ${lock.inputs.length} files are accounted for.`, figures);
  },
};

/** Where the lock counts otherwise than a new plan does; names of files may be others, and `sources` looks at their bytes. */
function otherCounts(lock: Lock, plan: Plan): string[] {
  const counts = ({ rules, inputs }: Lock) => ({
    rules,
    inputs: inputs.map(({ file: _file, origin: _origin, sha256: _sha256, bytes: _bytes, ...input }) => input),
  });
  const differences = jsonDifferences(counts(lock), counts(expectedLock(lock, plan)));
  return differences.map((difference) => `${LOCK_FILE}: ${describeDifference(difference)}`);
}

interface Expecting {
  readonly expect?: { readonly modules: number };
}

/** What the recipe expects of the source that it names `role`; a lock of an older version says nothing of motion. */
function expectation(
  recipe: {
    personalized: readonly Expecting[];
    lcm?: Expecting;
    motion?: Expecting & { loras?: readonly Expecting[] };
  },
  role: string,
): number | undefined {
  const [, list, index] = /^(personalized|motion\.loras)\[(\d+)\]$/.exec(role) ?? [];
  const source =
    list === 'personalized'
      ? recipe.personalized[Number(index)]
      : list
        ? recipe.motion?.loras?.[Number(index)]
        : { lcm: recipe.lcm, motion: recipe.motion }[role];
  return source?.expect?.modules;
}

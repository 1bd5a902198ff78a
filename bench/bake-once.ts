/**
 * One repetition of bench/bake.ts in a process of its own, so that its peak memory is its own: `part` of the work on a recipe,
 * each part holding the one before it.
 */
import { rm } from 'node:fs/promises';
import { drain } from '../src/events.ts';
import { bake } from '../src/export/package.ts';
import { openStaging } from '../src/export/staging.ts';
import { openTensorFile, readTensor } from '../src/formats/tensor-file.ts';
import { openBake } from '../src/merge/bake.ts';
import { type Plan, plan } from '../src/merge/plan.ts';
import { loadRecipe } from '../src/recipe/load.ts';

export const PARTS = ['plan', 'read', 'merge', 'bake'] as const;
export type Part = (typeof PARTS)[number];

export interface Repetition {
  readonly milliseconds: number;
  /** Of all cores together, in milliseconds. */
  readonly cpu: number;
  /** Most memory resident at a time, in bytes. */
  readonly peak: number;
}

const WORK: Record<Part, (planned: Plan, out: string) => Promise<void>> = {
  plan: async () => undefined,
  /** Every tensor of every input file, one at a time. */
  read: async ({ files }) => {
    for (const { path } of files) {
      await using file = await openTensorFile(path);
      for (const entry of file.tensors.values()) await readTensor(file, entry);
    }
  },
  /** Every merged tensor, checked, and thrown away. */
  merge: async (planned) => {
    await using session = await openBake(planned);
    const requests = Object.values(planned.tensors)
      .flat()
      .map((tensor) => ({ tensor, transposed: tensor.kind === 'linear' }));
    for await (const _ of session.tensors(requests));
  },
  bake: async (planned, out) => {
    await using staging = await openStaging(out);
    await drain(bake(planned, { into: staging.path }));
    await staging.commit();
  },
};

const [part, recipe, out] = process.argv.slice(2) as [Part, string, string];
await rm(out, { recursive: true, force: true });
const started = performance.now();
await WORK[part](await plan(await loadRecipe(recipe)), out);
const milliseconds = performance.now() - started;
const { user, system } = process.cpuUsage();
process.send?.({
  milliseconds,
  cpu: (user + system) / 1e3,
  peak: process.resourceUsage().maxRSS * 1024,
} satisfies Repetition);

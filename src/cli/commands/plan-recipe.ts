/** Loading and planning a recipe as a stage of its own, so that it shows like the others. */
import { basename } from 'node:path';
import type { Stage } from '../../events.ts';
import { type Plan, plan } from '../../merge/plan.ts';
import { loadRecipe } from '../../recipe/load.ts';
import { count } from '../format.ts';

/** @throws what loadRecipe and plan throw; the signal's reason when it is aborted. */
export async function* planRecipe(file: string, signal: AbortSignal): Stage<Plan> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'plan', subject: basename(file) };
  const planned = await plan(await loadRecipe(file));
  signal.throwIfAborted();
  for (const message of planned.warnings) yield { type: 'warning', stage: 'plan', message };
  const tensors = Object.values(planned.tensors).flat();
  const sums = tensors.filter(({ terms }) => terms.some(({ kind }) => kind !== 'difference')).length;
  yield {
    type: 'stage-finished',
    stage: 'plan',
    milliseconds: performance.now() - started,
    summary: `${planned.recipe.name}: ${count(planned.files.length, 'file')}, ${count(tensors.length, 'tensor')}, of which ${sums} are changed by LoRAs`,
  };
  return planned;
}

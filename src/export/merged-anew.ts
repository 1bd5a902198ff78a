/**
 * Weights merged by other terms than those that they lie beside: in a file of their own, for a graph that reads both. That is how a
 * package is asked what it makes without a source (verify/ablation.ts) and at other strengths (sweep/variants.ts).
 */
import { join } from 'node:path';
import type { BakeSession, TensorRequest } from '../merge/bake.ts';
import type { PlannedTensor } from '../merge/plan.ts';
import type { Parameter } from '../onnx/graph.ts';
import { layOutWeights, type WeightEntry, type WeightWriter } from './weight-file.ts';

export interface Merging {
  readonly session: BakeSession;
  readonly writer: WeightWriter;
  readonly signal?: AbortSignal | undefined;
}

/** Where a new file of weights is to be. */
export interface WeightFilePlace {
  readonly folder: string;
  readonly location: string;
}

/**
 * Merges `tensors`, which are among a graph's `parameters`, into a new file, in the order in which the graph uses them; yields each
 * one's place when it is on its way.
 * @throws MergeError for a value that is not finite or out of range; what the file system says when it is full.
 */
export async function* mergeAnew(
  parameters: ReadonlyMap<string, Parameter>,
  tensors: readonly PlannedTensor[],
  { folder, location }: WeightFilePlace,
  { session, writer, signal }: Merging,
): AsyncGenerator<WeightEntry, void> {
  const wanted = new Set(tensors.map(({ name }) => name));
  const layout = layOutWeights({ parameters: new Map([...parameters].filter(([name]) => wanted.has(name))) });
  const entries = layout.entries.map((entry) => ({ ...entry, location }));
  yield* writer.write(join(folder, location), { entries }, session.tensors(tensorRequests(entries, tensors), signal));
}

/** What is to be merged for the places of `entries`. */
export function tensorRequests(
  entries: readonly WeightEntry[],
  tensors: readonly PlannedTensor[],
): readonly TensorRequest[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return entries.map(({ name, layout }) => ({
    tensor: byName.get(name) as PlannedTensor,
    transposed: layout === 'transposed',
  }));
}

/** Shape arithmetic that the adapter kinds share, and the error for a module that does not fit its target. */
import type { ModelParameter } from '../../architecture/parameters.ts';
import { MergeError } from '../../errors.ts';
import type { TensorEntry } from '../../formats/tensor-file.ts';
import type { TensorRef } from '../plan-files.ts';
import { assertFloat } from '../weight-type.ts';
import type { OpenModule } from './adapter.ts';

export function product(shape: readonly number[]): number {
  return shape.reduce((n, dim) => n * dim, 1);
}

/** `[out, in, kernel elements]` of a weight. */
export function matrixSizes(shape: readonly number[]): [out: number, into: number, kernel: number] {
  return [shape[0] ?? 1, shape[1] ?? 1, product(shape.slice(2))];
}

/** @throws MergeError unless `fits`; `found` says the shapes. */
export function assertFits(fits: boolean, module: OpenModule, parameter: ModelParameter, found: string): void {
  if (fits) return;
  throw new MergeError(
    `${module.path}: the module ${module.name} does not fit ${parameter.name}: ${found} cannot make ` +
      `[${parameter.shape}]. It was made for a model of another width; use one for this base.`,
    { file: module.path, tensor: module.name },
  );
}

/** References to the entries that are there, once each is known to hold floats. @throws MergeError */
export function operands<Name extends string>(
  module: OpenModule,
  file: number,
  entries: Readonly<Record<Name, TensorEntry | undefined>>,
): Partial<Record<Name, TensorRef>> {
  const refs: Partial<Record<Name, TensorRef>> = {};
  for (const name of Object.keys(entries) as Name[]) {
    const entry = entries[name];
    if (!entry) continue;
    if (name !== 'alpha') assertFloat(module.path, entry);
    refs[name] = { file, tensor: entry.name };
  }
  return refs;
}

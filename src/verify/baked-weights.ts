/**
 * Where the merged weights of a package lie: in the data files of its graphs, and once more in the folder `weights` where the recipe asks
 * for that. Elements are addressed as in PyTorch, however a file has them.
 */
import { join } from 'node:path';
import type { Component } from '../architecture/names.ts';
import { FormatError } from '../errors.ts';
import { WEIGHTS_FILES } from '../export/diffusers-weights.ts';
import type { DType } from '../formats/dtype.ts';
import { readElements } from '../formats/element-reader.ts';
import { openTensorFile } from '../formats/tensor-file.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import { readModelInfo } from '../onnx/model-info.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';
import { type OpenWeights, openGraphWeights } from './graph-weights.ts';

export interface StoredWeight {
  /** Its file. */
  readonly path: string;
  readonly dtype: DType;
  /** Numbers at these places, in PyTorch's order. */
  elements(indices: readonly number[]): Promise<readonly number[]>;
}

export interface BakedWeights extends AsyncDisposable {
  /** Every place where the tensor lies. @throws FormatError naming the file that has it not, or in another shape. */
  copiesOf(tensor: PlannedTensor): readonly StoredWeight[];
}

/** Opens the files of all components of the plan. @throws FormatError, InputMissingError, IoError */
export async function openBakedWeights({ folder, models, info }: VideoPackage, plan: Plan): Promise<BakedWeights> {
  await using stack = new AsyncDisposableStack();
  const graphs = new Map<Component, OpenWeights>();
  const forPyTorch = new Map<Component, OpenWeights>();
  for (const component of plan.components) {
    const path = models[component];
    if (path === undefined) throw new FormatError(`The package has no ${component}, which the plan has.`);
    graphs.set(component, await openGraphWeights(path, component === 'unet' ? info : await readModelInfo(path), stack));
  }
  for (const { component, file } of plan.recipe.output.weights ? WEIGHTS_FILES : []) {
    const path = join(folder, file);
    const { source, tensors } = stack.use(await openTensorFile(path));
    const weights = new Map([...tensors].map(([name, entry]) => [name, { source, entry }]));
    forPyTorch.set(component, { path, weights });
  }
  const opened = stack.move();
  return {
    copiesOf(tensor) {
      const [graph, other] = [graphs.get(tensor.component), forPyTorch.get(tensor.component)];
      return [
        ...(graph ? [storedIn(graph, tensor, tensor.kind === 'linear')] : []),
        ...(other ? [storedIn(other, tensor, false)] : []),
      ];
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

function storedIn({ path, weights }: OpenWeights, { name, shape }: PlannedTensor, transposed: boolean): StoredWeight {
  const stored = weights.get(name);
  const wanted = transposed ? shape.toReversed() : shape;
  if (stored?.entry.shape.join() !== wanted.join()) {
    const found = stored ? `has ${name} as [${stored.entry.shape}], not [${wanted}]` : `has no ${name}`;
    throw new FormatError(`${path} ${found}.`, { file: path, tensor: name });
  }
  const { source, entry } = stored as NonNullable<typeof stored>;
  const [rows, columns] = [shape[0] as number, shape[1] as number];
  const placeOf = (index: number) => (transposed ? (index % columns) * rows + Math.floor(index / columns) : index);
  return {
    path,
    dtype: entry.dtype,
    async elements(indices) {
      const places = indices.map(placeOf);
      const numbers = await readElements(source, entry, places);
      return places.map((place) => numbers[place] as number);
    },
  };
}

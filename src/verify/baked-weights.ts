/**
 * Where the merged weights of a package lie: in the data files of its graphs, and once more in the folder `weights` where the recipe asks
 * for that. Elements are addressed as in PyTorch, however a file has them.
 */
import { dirname, join } from 'node:path';
import type { Component } from '../architecture/names.ts';
import { FormatError } from '../errors.ts';
import { WEIGHTS_FILES } from '../export/diffusers-weights.ts';
import { type ByteSource, openFile } from '../formats/byte-source.ts';
import type { DType } from '../formats/dtype.ts';
import { readElements } from '../formats/element-reader.ts';
import { openTensorFile, type TensorEntry } from '../formats/tensor-file.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import { type ModelInfo, readModelInfo } from '../onnx/model-info.ts';
import { externalFaults } from '../runtime/graph-contract.ts';
import type { VideoPackage } from '../runtime/package-folder.ts';

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

const TYPES: Readonly<Record<string, DType>> = { FLOAT16: 'F16', FLOAT: 'F32' };

/** One file and its weights by name. */
interface OpenFile {
  readonly path: string;
  readonly weights: ReadonlyMap<string, { readonly source: ByteSource; readonly entry: TensorEntry }>;
}

/** Opens the files of all components of the plan. @throws FormatError, InputMissingError, IoError */
export async function openBakedWeights({ folder, models, info }: VideoPackage, plan: Plan): Promise<BakedWeights> {
  await using stack = new AsyncDisposableStack();
  const graphs = new Map<Component, OpenFile>();
  const forPyTorch = new Map<Component, OpenFile>();
  for (const component of plan.components) {
    const path = models[component];
    if (path === undefined) throw new FormatError(`The package has no ${component}, which the plan has.`);
    graphs.set(component, await openGraph(path, component === 'unet' ? info : await readModelInfo(path), stack));
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

function storedIn({ path, weights }: OpenFile, { name, shape }: PlannedTensor, transposed: boolean): StoredWeight {
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

async function openGraph(path: string, info: ModelInfo, stack: AsyncDisposableStack): Promise<OpenFile> {
  const [fault] = await externalFaults(path, info); // also: no graph makes us read a file outside the package
  if (fault) throw new FormatError(`${path}: ${fault}.`, { file: path });
  const sources = new Map<string, ByteSource>();
  const weights = new Map<string, { source: ByteSource; entry: TensorEntry }>();
  for (const { name, type, shape, external } of info.initializers) {
    const dtype = TYPES[type];
    if (!external || !dtype) continue;
    const { location, offset, length } = external;
    const source = sources.get(location) ?? stack.use(await openFile(join(dirname(path), location)));
    sources.set(location, source);
    weights.set(name, { source, entry: { name, dtype, shape, offset, byteLength: length } });
  }
  return { path, weights };
}

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
import { readModelInfo } from '../onnx/model-info.ts';
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

/** One file's weights by name. */
type Entries = ReadonlyMap<string, { readonly source: ByteSource; readonly entry: TensorEntry }>;

/** Opens the files of all components of the plan. @throws FormatError, InputMissingError, IoError */
export async function openBakedWeights({ folder, models }: VideoPackage, plan: Plan): Promise<BakedWeights> {
  await using stack = new AsyncDisposableStack();
  const graphs = new Map<Component, { path: string; entries: Entries }>();
  const folders = new Map<Component, { path: string; entries: Entries }>();
  for (const component of plan.components) {
    const path = models[component];
    if (path === undefined) throw new FormatError(`The package has no ${component}, which the plan has.`);
    graphs.set(component, { path, entries: await graphEntries(path, stack) });
  }
  for (const { component, file } of plan.recipe.output.weights ? WEIGHTS_FILES : []) {
    const path = join(folder, file);
    const { source, tensors } = stack.use(await openTensorFile(path));
    folders.set(component, { path, entries: new Map([...tensors].map(([name, entry]) => [name, { source, entry }])) });
  }
  const opened = stack.move();
  return {
    copiesOf({ name, component, kind, shape }) {
      const copy = (file: { path: string; entries: Entries } | undefined, transposed: boolean): StoredWeight[] => {
        if (!file) return [];
        const stored = file.entries.get(name);
        if (!stored) throw new FormatError(`${file.path} has no ${name}.`, { file: file.path, tensor: name });
        const { entry, source } = stored;
        const wanted = transposed ? shape.toReversed() : shape;
        if (entry.shape.join() !== wanted.join()) {
          const reason = `${file.path} has ${name} as [${entry.shape}], not [${wanted}].`;
          throw new FormatError(reason, { file: file.path, tensor: name });
        }
        const [rows, columns] = [shape[0] as number, shape[1] as number];
        const place = (index: number) => (transposed ? (index % columns) * rows + Math.floor(index / columns) : index);
        return [
          {
            path: file.path,
            dtype: entry.dtype,
            async elements(indices) {
              const places = indices.map(place);
              const numbers = await readElements(source, entry, places);
              return places.map((at) => numbers[at] as number);
            },
          },
        ];
      };
      return [...copy(graphs.get(component), kind === 'linear'), ...copy(folders.get(component), false)];
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function graphEntries(path: string, stack: AsyncDisposableStack): Promise<Entries> {
  const info = await readModelInfo(path);
  const [fault] = await externalFaults(path, info); // also: no graph makes us read a file outside the package
  if (fault) throw new FormatError(`${path}: ${fault}.`, { file: path });
  const sources = new Map<string, ByteSource>();
  const entries = new Map<string, { source: ByteSource; entry: TensorEntry }>();
  for (const { name, type, shape, external } of info.initializers) {
    const dtype = TYPES[type];
    if (!external || !dtype) continue;
    const { location, offset, length } = external;
    const source = sources.get(location) ?? stack.use(await openFile(join(dirname(path), location)));
    sources.set(location, source);
    entries.set(name, { source, entry: { name, dtype, shape, offset, byteLength: length } });
  }
  return entries;
}

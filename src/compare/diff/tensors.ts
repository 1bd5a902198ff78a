/**
 * How far the weights of two packages lie apart, tensor by tensor and summed up by block. Norms are those of Frobenius, over the tensors
 * that differ: what a block has in common says nothing of how far the rest of it was moved.
 */
import { join } from 'node:path';
import { blockOf } from '../../architecture/block-map.ts';
import { BLOCK_NAMES } from '../../architecture/block-names.ts';
import { COMPONENTS, type Component } from '../../architecture/names.ts';
import type { Stage } from '../../events.ts';
import { readModelInfo } from '../../onnx/model-info.ts';
import { pathInPackage } from '../../runtime/package-folder.ts';
import { type OpenWeight, openGraphWeights } from '../../verify/graph-weights.ts';
import type { FileComparison } from './files.ts';
import type { PackageFiles } from './package-files.ts';
import type { LargestChange, Sums } from './sums.ts';
import { sumDifferences } from './tensor-sums.ts';
import type { Tracker } from './tracker.ts';

/** The graphs of a package, with the motion modules apart from the UNet that they stand in. */
export const PARTS = ['unet', 'motion', 'text_encoder', 'vae_decoder', 'vae_encoder'] as const;
export type Part = (typeof PARTS)[number];

/** Of some tensors that both packages have. */
export interface Distance {
  /** To the last bit; stored in another type, in every value. */
  readonly same: number;
  readonly differ: number;
  /** ‖B−A‖ */
  readonly absolute: number;
  /** ‖B−A‖/‖A‖ over the tensors that differ; 0 where none does. */
  readonly relative: number;
  readonly largest?: LargestChange & { readonly tensor: string };
}

export interface PartDistance extends Distance, Unpaired {
  readonly part: Part;
  /** IN00 … OUT11, BASE for a text encoder, `all` for a VAE. */
  readonly blocks: readonly (Distance & { readonly block: string })[];
}

/** What cannot be subtracted, or not bit by bit. */
interface Unpaired {
  /** Tensors by name that the other package has not. */
  readonly only_a: readonly string[];
  readonly only_b: readonly string[];
  readonly reshaped: readonly Reshaped[];
  /** How many are stored in other types, and were compared as numbers: `F16 → F32`. */
  readonly retyped: Readonly<Record<string, number>>;
}

interface Reshaped {
  readonly tensor: string;
  readonly a: readonly number[];
  readonly b: readonly number[];
}

interface Tensor {
  readonly name: string;
  readonly part: Part;
  readonly block: string;
  readonly a: OpenWeight | undefined;
  readonly b: OpenWeight | undefined;
}

/** Compares the weights of every graph that one of the two has. @throws FormatError, InputMissingError, IoError */
export async function* compareWeights(
  a: PackageFiles,
  b: PackageFiles,
  { equalUpTo }: Pick<FileComparison, 'equalUpTo'>,
  tracker: Tracker,
): Stage<readonly PartDistance[]> {
  await using stack = new AsyncDisposableStack();
  const tensors: Tensor[] = [];
  for (const component of COMPONENTS) {
    const [own, other] = [await weightsOf(a, component, stack), await weightsOf(b, component, stack)];
    for (const name of new Set([...own.keys(), ...other.keys()])) {
      const block = blockOf(component, name) ?? 'all';
      tensors.push({ name, part: partOf(component, name), block, a: own.get(name), b: other.get(name) });
    }
  }
  const pairs = tensors.flatMap(({ a: x, b: y, ...tensor }) =>
    x && y && shapeOf(x) === shapeOf(y) ? [{ ...tensor, a: x, b: y }] : [],
  );
  const unread = pairs.filter((pair) => !isKnownEqual(pair, [a, b], equalUpTo));
  const sums = yield* sumDifferences(unread, tracker);
  const found = new Map(unread.map((pair, i) => [pair, sums[i] as Sums | undefined]));
  return PARTS.flatMap((part): PartDistance[] => {
    const own = tensors.filter((tensor) => tensor.part === part);
    if (own.length === 0) return [];
    const compared = pairs.filter((pair) => pair.part === part).map((pair) => ({ ...pair, sums: found.get(pair) }));
    const blocks = [...Map.groupBy(compared, ({ block }) => block)].map(([block, some]) => ({
      block,
      ...distanceOf(some),
    }));
    blocks.sort((p, q) => BLOCK_NAMES.indexOf(p.block) - BLOCK_NAMES.indexOf(q.block));
    return [{ part, ...distanceOf(compared), blocks, ...unpaired(own) }];
  });
}

/** Undefined sums: nothing differs. */
function distanceOf(tensors: readonly { readonly name: string; readonly sums: Sums | undefined }[]): Distance {
  let [differ, change, weight] = [0, 0, 0];
  let largest: Distance['largest'];
  for (const { name, sums } of tensors) {
    if (!sums) continue;
    differ += 1;
    change += sums.change;
    weight += sums.weight;
    if (sums.largest && !(sizeOf(sums.largest) <= sizeOf(largest))) largest = { tensor: name, ...sums.largest };
  }
  const relative = change === 0 ? 0 : Math.sqrt(change / weight);
  const absolute = Math.sqrt(change);
  return { same: tensors.length - differ, differ, absolute, relative, ...(largest && { largest }) };
}

/** What is no number, in one of the two, is the largest change of all. */
function sizeOf(change: LargestChange | undefined): number {
  if (!change) return -1;
  const size = Math.abs(change.b - change.a);
  return Number.isNaN(size) ? Number.POSITIVE_INFINITY : size;
}

function unpaired(tensors: readonly Tensor[]): Unpaired {
  const retyped: Record<string, number> = {};
  const reshaped: Reshaped[] = [];
  for (const { name, a, b } of tensors) {
    if (!a || !b) continue;
    const types = `${a.entry.dtype} → ${b.entry.dtype}`;
    if (shapeOf(a) !== shapeOf(b)) reshaped.push({ tensor: name, a: a.entry.shape, b: b.entry.shape });
    else if (a.entry.dtype !== b.entry.dtype) retyped[types] = (retyped[types] ?? 0) + 1;
  }
  const lacking = (side: 'a' | 'b') => tensors.filter((tensor) => !tensor[side]).map(({ name }) => name);
  return { only_a: lacking('b'), only_b: lacking('a'), reshaped, retyped };
}

/** It lies at one place of two files that have been read already and are the same up to its end. */
function isKnownEqual(
  { a, b }: { readonly a: OpenWeight; readonly b: OpenWeight },
  [own, other]: readonly [PackageFiles, PackageFiles],
  equalUpTo: FileComparison['equalUpTo'],
): boolean {
  const file = pathInPackage(own.folder, a.source.name);
  const [x, y] = [a.entry, b.entry];
  return (
    file === pathInPackage(other.folder, b.source.name) &&
    x.offset === y.offset &&
    x.dtype === y.dtype &&
    x.offset + x.byteLength <= (equalUpTo.get(file) ?? 0)
  );
}

async function weightsOf({ folder, sizes }: PackageFiles, component: Component, stack: AsyncDisposableStack) {
  const graph = `${component}/model.onnx`;
  if (!sizes.has(graph)) return new Map<string, OpenWeight>();
  const path = join(folder, graph);
  return (await openGraphWeights(path, await readModelInfo(path), stack)).weights;
}

const shapeOf = ({ entry }: OpenWeight): string => entry.shape.join();

const partOf = (component: Component, name: string): Part =>
  component === 'unet' && name.includes('.motion_modules.') ? 'motion' : component;

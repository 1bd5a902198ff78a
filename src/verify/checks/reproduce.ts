/** The same recipe gives the same bytes: every weight is merged again, by the bake's own arithmetic, and compared with the package's. */
import { join } from 'node:path';
import type { Component } from '../../architecture/names.ts';
import { FormatError, InputMissingError } from '../../errors.ts';
import { WEIGHTS_FILES } from '../../export/diffusers-weights.ts';
import { layOutComponents } from '../../export/layouts.ts';
import type { WeightEntry } from '../../export/weight-file.ts';
import { openFile } from '../../formats/byte-source.ts';
import { openTensorFile } from '../../formats/tensor-file.ts';
import { type BakeSession, openBake } from '../../merge/bake.ts';
import type { Plan, PlannedTensor } from '../../merge/plan.ts';
import { dtypeOf } from '../../recipe/number-format.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { differByRounding } from '../rounding.ts';

export const reproduce: Check = {
  id: 'reproduce',
  proves: 'every weight, to the last bit, is what the sources give when they are merged again',
  cost: 'a bake that writes nothing, and one read of the package',
  from: 'full',
  applies: ({ plan }) => plan !== undefined,
  async run({ folder, plan, signal }) {
    if (!plan) throw new RangeError('reproduce needs the plan.');
    await using session = await openBake(plan);
    const rounded = new Set<string>();
    const figures = { tensors: Object.values(plan.tensors).flat().length, bytes: 0 };
    try {
      for (const { component, path, entries } of await filesOfWeights(folder, plan)) {
        const format = dtypeOf(plan.recipe, component);
        const tensors = new Map(plan.tensors[component].map((tensor) => [tensor.name, tensor]));
        for await (const { tensor, offset, found, made } of piecesOf(path, entries, { tensors, session, signal })) {
          figures.bytes += made.length;
          if (Buffer.compare(found, made) === 0) continue;
          const at = found.findIndex((byte, i) => byte !== made[i]);
          const isExact = tensor.terms.length === 0 && tensor.gain === 1;
          if (isExact || !differByRounding(found, made, format)) {
            const place = `byte ${offset + at} of ${path} on`;
            return failed(`${tensor.name} has other bytes than the sources give, from ${place}.`, figures);
          }
          rounded.add(tensor.name);
        }
      }
    } catch (error) {
      if (error instanceof FormatError || error instanceof InputMissingError) return failed(error.message, figures);
      throw error;
    }
    const [first] = rounded;
    return first === undefined
      ? passed(`${figures.bytes} bytes of ${figures.tensors} tensors are those that the sources give.`, figures)
      : unknown(
          `${first}${rounded.size > 1 ? ` and ${rounded.size - 1} other tensors` : ''} differ in last bits from what the sources give here. A processor of another instruction set sums in another order; bake again on this machine to be sure.`,
          figures,
        );
  },
};

type Entry = Pick<WeightEntry, 'name' | 'layout' | 'offset' | 'length'>;

interface FileOfWeights {
  readonly component: Component;
  readonly path: string;
  readonly entries: readonly Entry[];
}

/** The data files of the graphs, and those for PyTorch where the recipe asks for them. */
async function filesOfWeights(folder: string, plan: Plan): Promise<FileOfWeights[]> {
  const files: FileOfWeights[] = layOutComponents(plan).flatMap(({ component, folder: part, layout }) =>
    layout.files.map(({ location, entries }) => ({ component, path: join(folder, part, location), entries })),
  );
  for (const { component, file } of plan.recipe.output.weights ? WEIGHTS_FILES : []) {
    const path = join(folder, file);
    await using opened = await openTensorFile(path);
    const entries = plan.tensors[component].map(({ name }): Entry => {
      const entry = opened.tensors.get(name);
      if (!entry) throw new FormatError(`${path} has no ${name}.`, { file: path, tensor: name });
      return { name, layout: 'as-is', offset: entry.offset, length: entry.byteLength };
    });
    files.push({ component, path, entries });
  }
  return files;
}

interface Piece {
  readonly tensor: PlannedTensor;
  /** In the file. */
  readonly offset: number;
  readonly found: Uint8Array;
  readonly made: Uint8Array;
}

/** The file piece by piece, as it is and as it should be. @throws what reading and merging throw */
async function* piecesOf(
  path: string,
  entries: readonly Entry[],
  options: {
    readonly tensors: ReadonlyMap<string, PlannedTensor>;
    readonly session: BakeSession;
    readonly signal: AbortSignal | undefined;
  },
): AsyncGenerator<Piece> {
  await using source = await openFile(path);
  const requests = entries.map(({ name, layout }) => ({
    tensor: options.tensors.get(name) as PlannedTensor,
    transposed: layout === 'transposed',
  }));
  let [index, done] = [0, 0];
  for await (const made of options.session.tensors(requests, options.signal)) {
    const { offset, length } = entries[index] as Entry;
    const { tensor } = requests[index] as (typeof requests)[number];
    yield { tensor, offset: offset + done, found: await source.read(offset + done, made.length), made };
    done += made.length;
    if (done === length) [index, done] = [index + 1, 0];
  }
}

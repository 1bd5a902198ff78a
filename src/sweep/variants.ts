/**
 * One recipe at many settings, as packages that share what they have in common: a weight is merged when the first of them asks
 * for it, and the graphs of all others read it where it lies. Each of them is what a bake of its recipe would write.
 */
import { hash } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Component } from '../architecture/names.ts';
import { readSavedScheduler, schedulerConfigJson } from '../architecture/sampler-config.ts';
import type { Stage } from '../events.ts';
import { graphBytes } from '../export/graph-bytes.ts';
import { parseGraphFileName } from '../export/graph-file-name.ts';
import { type ComponentLayout, layOutComponents } from '../export/layouts.ts';
import { type Merging, mergeAnew } from '../export/merged-anew.ts';
import { sideFiles } from '../export/side-files.ts';
import { openWeightWriter, type WeightEntry } from '../export/weight-file.ts';
import { writingTo } from '../formats/byte-source.ts';
import { openBake } from '../merge/bake.ts';
import type { Plan, PlannedTensor } from '../merge/plan.ts';
import type { Parameter } from '../onnx/graph.ts';
import type { TargetName } from '../recipe/schema.ts';
import { type GraphFile, openPackage, type VideoPackage } from '../runtime/package-folder.ts';

/** A package, and what it took to make it of those before. */
export interface Variant {
  readonly package: VideoPackage;
  /** Merged for it: how many, and their bytes. */
  readonly tensors: number;
  readonly bytes: number;
  /** Merging weights and writing them, which go on at once; then making and writing the graphs that read them. */
  readonly merge_ms: number;
  readonly graph_ms: number;
}

export interface Variants extends AsyncDisposable {
  /**
   * Makes the package of a plan. Plans are asked for in their order, one at a time; configs and tokenizer are the first one's.
   * `target`: whose graphs are wanted, of all but the first; those of all targets of the recipe when left out.
   * @throws what a bake throws
   */
  make(index: number, target?: TargetName): Stage<Variant>;
  /** Removes what no later one reads. */
  release(index: number): Promise<void>;
}

export interface VariantOptions {
  /** An empty folder. */
  readonly folder: string;
  readonly signal?: AbortSignal | undefined;
}

/** A component, and what its weights are to the graph. */
interface Part extends ComponentLayout {
  readonly parameters: ReadonlyMap<string, Parameter>;
}

/** The same for what is made the same: of each weight, by name, and of the graph that reads them. */
interface Identity {
  readonly weights: ReadonlyMap<string, string>;
  readonly graph: string;
}

/** What a weight or a graph is part of. */
interface Place {
  readonly index: number;
  readonly part: Part;
}

/** `plans` are of one recipe with other numbers in it: of the same files and shapes. */
export async function openVariants(
  plans: readonly [Plan, ...Plan[]],
  { folder, signal }: VariantOptions,
): Promise<Variants> {
  const [first] = plans;
  const parts = layOutComponents(first).map((row): Part => ({ ...row, parameters: row.graphs[0].make().parameters }));
  const identities = plans.map((plan) => new Map(parts.map((part) => [part, identityOf(plan, part.component)])));
  const identity = ({ index, part }: Place) => identities[index]?.get(part) as Identity;
  const lastUse = lastUses(identities);
  /** What is there, by identity. */
  const merged = new Map<string, WeightEntry>();
  const written = new Map<string, readonly GraphFile[]>();
  /** Paths, by the last plan that reads them. */
  const files = new Map<number, string[]>();
  let base: VideoPackage | undefined;
  await using stack = new AsyncDisposableStack();
  const merging: Merging = {
    session: stack.use(await openBake(first, { measured: false })),
    writer: stack.use(openWeightWriter({ passing: true })),
    signal,
  };
  const opened = stack.move();

  const readBy = (last: number, path: string) => files.set(last, [...(files.get(last) ?? []), path]);

  const freshOf = (place: Place): PlannedTensor[] => {
    const { weights } = identity(place);
    const tensors = plans[place.index]?.tensors[place.part.component] ?? [];
    return tensors.filter(({ name }) => !merged.has(weights.get(name) as string));
  };

  /** What is not there yet, in a file for each plan that is the last to read some of it. */
  async function* mergeFresh(place: Place): AsyncGenerator<WeightEntry, void> {
    const { index, part } = place;
    const { weights } = identity(place);
    const idOf = ({ name }: { readonly name: string }) => weights.get(name) as string;
    for (const [last, tensors] of Map.groupBy(freshOf(place), (tensor) => lastUse.get(idOf(tensor)) as number)) {
      const file = { folder: join(folder, part.folder), location: `${index}-${last}.onnx_data` };
      await mkdir(file.folder, { recursive: true });
      readBy(last, join(file.folder, file.location));
      for await (const entry of mergeAnew(part.parameters, tensors, file, merging)) {
        merged.set(idOf(entry), entry);
        yield entry;
      }
    }
  }

  async function writeGraphs(place: Place, target: TargetName | undefined): Promise<readonly GraphFile[]> {
    const { index, part } = place;
    const { weights, graph } = identity(place);
    const known = written.get(graph);
    if (known) return known;
    const entries = part.layout.entries.map(({ name }) => merged.get(weights.get(name) as string) as WeightEntry);
    const layout = { ...part.layout, entries };
    const made: GraphFile[] = [];
    for (const exported of part.graphs) {
      const name = parseGraphFileName(exported.file);
      if (!name || (index > 0 && target !== undefined && name.target !== target)) continue;
      const path = join(folder, part.folder, index === 0 ? exported.file : `${index}.${exported.file}`);
      readBy(lastUse.get(graph) as number, path);
      await put(path, graphBytes(plans[index] as Plan, { ...part, layout }, exported));
      made.push({ ...name, path });
    }
    written.set(graph, made);
    return made;
  }

  /** The first package as a whole: the graphs are there already. */
  async function openFirst(): Promise<VideoPackage> {
    for (const [file, data] of await sideFiles(first, parts)) await put(join(folder, file), data);
    return openPackage(folder);
  }

  return {
    async *make(index, target) {
      const plan = plans[index] as Plan;
      const total = parts.reduce((sum, part) => sum + bytesOf(part, freshOf({ index, part })), 0);
      let [tensors, bytes, merge_ms, graph_ms] = [0, 0, 0, 0];
      const graphs: Partial<Record<Component, readonly GraphFile[]>> = {};
      for (const part of parts) {
        const started = performance.now();
        for await (const { name, length } of mergeFresh({ index, part })) {
          tensors += 1;
          bytes += length;
          yield { type: 'progress', stage: 'sweep', done: bytes, total, unit: 'bytes', detail: `merging ${name}` };
        }
        const weighed = performance.now();
        graphs[part.component] = await writeGraphs({ index, part }, target);
        merge_ms += weighed - started;
        graph_ms += performance.now() - weighed;
      }
      await merging.session.assertInputsUnchanged();
      base ??= await openFirst();
      const file = join(folder, 'scheduler', 'scheduler_config.json');
      const made: VideoPackage = {
        ...base,
        graphs: { ...base.graphs, ...graphs },
        graph: { ...base.graph, batch: batchOf(plan) },
        scheduler: readSavedScheduler(schedulerConfigJson(plan.sampler), file),
      };
      return { package: made, tensors, bytes, merge_ms, graph_ms };
    },
    async release(index) {
      for (const path of files.get(index) ?? []) await rm(path, { force: true }); // sessions that map a file keep it
      files.delete(index);
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

/** Guidance above 1 is another graph (export/graphs.ts). */
function batchOf({ recipe }: Plan): number {
  return recipe.sampler.guidance > 1 ? 2 : 1;
}

function identityOf(plan: Plan, component: Component): Identity {
  const weights = new Map(
    plan.tensors[component].map(({ name, source, terms, gain }) => [
      name,
      hash('sha256', JSON.stringify([component, name, source, terms, gain]), 'base64'),
    ]),
  );
  return { weights, graph: hash('sha256', [batchOf(plan), ...weights.values()].join(), 'base64') };
}

function lastUses(identities: readonly ReadonlyMap<Part, Identity>[]): ReadonlyMap<string, number> {
  const lastUse = new Map<string, number>();
  for (const [index, parts] of identities.entries()) {
    for (const { weights, graph } of parts.values())
      for (const id of [...weights.values(), graph]) lastUse.set(id, index);
  }
  return lastUse;
}

function bytesOf({ layout }: Part, tensors: readonly PlannedTensor[]): number {
  const lengths = new Map(layout.entries.map(({ name, length }) => [name, length]));
  return tensors.reduce((sum, { name }) => sum + (lengths.get(name) ?? 0), 0);
}

async function put(path: string, data: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writingTo(path, writeFile(path, data));
}

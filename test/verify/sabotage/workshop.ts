/**
 * Where faults are put into packages: one sound package is baked, each fault gets a copy of it. A fault of the merge or the export is made
 * by handing another plan to the tool's own code; other files are edited. Either way the lock's hashes and the provenance are written anew, as that of
 * a faulty bake would have them, so that they alone tell nothing.
 */
import { copyFile, link, mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import onnxProto from 'onnx-proto';
import type { Component } from '../../../src/architecture/names.ts';
import { drain } from '../../../src/events.ts';
import { digestBytes, digestFile } from '../../../src/export/digest.ts';
import { graphBytes } from '../../../src/export/graph-bytes.ts';
import { layOutComponents } from '../../../src/export/layouts.ts';
import { LOCK_FILE, type Lock } from '../../../src/export/lock.ts';
import { bake } from '../../../src/export/package.ts';
import { PROVENANCE_FILE, provenanceJson } from '../../../src/export/provenance.ts';
import { openBake } from '../../../src/merge/bake.ts';
import { type Plan, type PlannedTensor, plan } from '../../../src/merge/plan.ts';
import { readModelInfo } from '../../../src/onnx/model-info.ts';
import type { Recipe } from '../../../src/recipe/schema.ts';

const { onnx } = onnxProto;

export type Model = ReturnType<typeof onnx.ModelProto.decode>;
type Graph = NonNullable<Model['graph']>;
export type Node = NonNullable<Graph['node']>[number];
export type Initializer = NonNullable<Graph['initializer']>[number];

/** A copy of the sound package and the plan that it was baked from. */
export interface Bench {
  readonly folder: string;
  readonly sound: string;
  readonly plan: Plan;
  /** Bakes anew the tensors that `alter` makes another of, from the files of `faulty`; default: the sound plan's. */
  remerge(alter: (tensor: PlannedTensor) => PlannedTensor, faulty?: Plan): Promise<void>;
  /** Writes the graphs that another plan makes. */
  regraphAs(faulty: Plan): Promise<void>;
  /** Edits the graphs that lie at these paths in the package. */
  regraph(files: readonly string[], alter: (graph: Graph) => void): Promise<void>;
  /** Edits the numbers of one weight as they lie in the data file. */
  reweigh(component: Component, name: string, alter: (values: Float16Array) => void): Promise<void>;
  /** Edits bytes of a file. */
  edit(file: string, place: { offset: number; length: number }, alter: (bytes: Uint8Array) => void): Promise<void>;
  append(file: string, bytes: Uint8Array): Promise<void>;
  /** Edits a JSON file. */
  rewrite<Content>(file: string, alter: (content: Content) => unknown): Promise<void>;
  /** Writes the hashes of the package's files into its lock, and that into its provenance. */
  relock(): Promise<void>;
}

/** Bakes `recipe` into the new folder `into`. */
export async function bakeSound(recipe: Recipe, into: string): Promise<Plan> {
  const planned = await plan(recipe);
  await mkdir(into);
  await drain(bake(planned, { into }));
  return planned;
}

/** Copies the package `sound` to `folder`; files are links until they are edited. */
export async function openBench(sound: string, planned: Plan, folder: string): Promise<Bench> {
  for (const entry of await readdir(sound, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const from = join(entry.parentPath, entry.name);
    const to = from.replace(sound, folder);
    await mkdir(dirname(to), { recursive: true });
    await link(from, to);
  }
  /** Files that are no longer links to the sound package's. */
  const owned = new Set<string>();
  const replace = async (file: string, data: Uint8Array | string) => {
    owned.add(file);
    await rm(join(folder, file), { force: true });
    await writeFile(join(folder, file), data);
  };
  const own = async (file: string) => {
    if (owned.has(file)) return;
    owned.add(file);
    await rm(join(folder, file));
    await copyFile(join(sound, file), join(folder, file));
  };
  const lockAs = async (lock: Lock) => {
    const text = `${JSON.stringify(lock, null, 2)}\n`;
    await replace(LOCK_FILE, text);
    await replace(PROVENANCE_FILE, provenanceJson(JSON.parse(text), digestBytes(Buffer.from(text))));
  };
  const bench: Bench = {
    folder,
    sound,
    plan: planned,
    async regraphAs(faulty) {
      for (const component of layOutComponents(faulty))
        for (const graph of component.graphs)
          await replace(`${component.folder}/${graph.file}`, graphBytes(faulty, component, graph));
      await bench.relock();
    },
    async remerge(alter, faulty = planned) {
      await using session = await openBake(faulty);
      let count = 0;
      for (const { component, folder: part, layout } of layOutComponents(planned)) {
        const changed = new Map(
          planned.tensors[component].flatMap((tensor) => {
            const other = alter(tensor);
            const isSame = faulty === planned && JSON.stringify(other) === JSON.stringify(tensor);
            return isSame ? [] : [[tensor.name, other] as const];
          }),
        );
        for (const { location, entries } of layout.files) {
          const wanted = entries.filter(({ name }) => changed.has(name));
          if (wanted.length === 0) continue;
          await own(`${part}/${location}`);
          await using file = await open(join(folder, part, location), 'r+');
          const places = wanted.values();
          const requests = wanted.map((entry) => ({
            tensor: changed.get(entry.name) as PlannedTensor,
            transposed: entry.layout === 'transposed',
          }));
          // none of the tiny family's tensors is large enough to come in several pieces
          for await (const data of session.tensors(requests))
            await file.write(data, 0, data.length, places.next().value?.offset ?? 0);
          count += wanted.length;
        }
      }
      if (count === 0) throw new RangeError('No tensor was made otherwise.');
      await bench.relock();
    },
    async regraph(files, alter) {
      for (const file of files) {
        const model = onnx.ModelProto.decode(await readFile(join(folder, file)));
        const before = onnx.ModelProto.encode(model).finish();
        alter(model.graph as Graph);
        const after = onnx.ModelProto.encode(model).finish();
        if (Buffer.compare(before, after) === 0) throw new RangeError(`Nothing was changed in ${file}.`);
        await replace(file, after);
      }
      await bench.relock();
    },
    async reweigh(component, name, alter) {
      const { initializers } = await readModelInfo(join(folder, component, 'model.onnx'));
      const place = initializers.find((initializer) => initializer.name === name)?.external;
      if (!place) throw new RangeError(`${component} has no ${name}.`);
      await bench.edit(`${component}/${place.location}`, place, (bytes) => alter(new Float16Array(bytes.buffer)));
      await bench.relock();
    },
    async edit(name, { offset, length }, alter) {
      await own(name);
      await using file = await open(join(folder, name), 'r+');
      const bytes = new Uint8Array(length);
      await file.read(bytes, 0, length, offset);
      alter(bytes);
      await file.write(bytes, 0, length, offset);
    },
    async append(file, bytes) {
      await replace(file, Buffer.concat([await readFile(join(folder, file)), bytes]));
      await bench.relock();
    },
    async rewrite<Content>(file: string, alter: (content: Content) => unknown) {
      const content = JSON.parse(await readFile(join(folder, file), 'utf8')) as Content;
      if (file === LOCK_FILE) return lockAs(alter(content) as Lock);
      await replace(file, `${JSON.stringify(alter(content), null, 2)}\n`);
      if (file !== PROVENANCE_FILE) await bench.relock();
    },
    async relock() {
      const lock = JSON.parse(await readFile(join(sound, LOCK_FILE), 'utf8')) as Lock;
      const outputs = { ...lock.outputs };
      for (const file of owned) if (file in outputs) outputs[file] = await digestFile(join(folder, file));
      await lockAs({ ...lock, outputs });
    },
  };
  return bench;
}

/**
 * Bakes a plan into a package: graphs, weights, configs, tokenizer, lock, and a model card that the verification replaces. It writes into a folder that is given to it and
 * must be new; whoever gives it decides when the result becomes visible (staging.ts).
 */
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Event, type Stage, telling } from '../events.ts';
import { writingTo } from '../formats/byte-source.ts';
import { openBake } from '../merge/bake.ts';
import { effectWarnings } from '../merge/effects.ts';
import type { Plan } from '../merge/plan.ts';
import { formatBytes } from '../text/quantity.ts';
import { diffusersWeightsBytes, writeDiffusersWeights } from './diffusers-weights.ts';
import { digestBytes, digestInBackground } from './digest.ts';
import { graphBytes } from './graph-bytes.ts';
import { layOutComponents } from './layouts.ts';
import { assertAsFetched, type FileDigest, LOCK_FILE, type Lock, makeLock } from './lock.ts';
import { tensorRequests } from './merged-anew.ts';
import { CARD_FILE, modelCard } from './model-card.ts';
import { PROVENANCE_FILE, provenanceJson } from './provenance.ts';
import { sideFiles } from './side-files.ts';
import { openWeightWriter } from './weight-file.ts';

export interface BakedPackage {
  readonly folder: string;
  readonly lock: Lock;
  /** Bytes of all files. */
  readonly bytes: number;
}

/**
 * Writes the package that `plan` describes into the empty folder `into`.
 * @throws MergeError for a value that is not finite or out of range; what the file system says when it is full.
 */
export async function* bake(
  plan: Plan,
  { into, signal }: { into: string; signal?: AbortSignal | undefined },
): Stage<BakedPackage> {
  const started = performance.now();
  yield { type: 'stage-started', stage: 'bake', subject: plan.recipe.name };
  const outputs: Record<string, FileDigest> = {};
  const put = async (file: string, data: Uint8Array) => {
    await writeSynced(join(into, file), data);
    outputs[file] = digestBytes(data);
  };

  const components = layOutComponents(plan);
  const total =
    components.reduce((sum, { layout }) => sum + layout.entries.reduce((n, entry) => n + entry.length, 0), 0) +
    (plan.recipe.output.weights ? diffusersWeightsBytes(plan) : 0);
  let done = 0;
  const told = (name: string, bytes: number): Event => {
    done += bytes;
    return { type: 'progress', stage: 'bake', done, total, unit: 'bytes', detail: name };
  };
  await using session = await openBake(plan);
  await using writer = openWeightWriter();
  await using hashing = digestInBackground(plan.files.map((file) => file.path));
  for (const { component, folder, graphs, layout } of components) {
    for (const graph of graphs) await put(`${folder}/${graph.file}`, graphBytes(plan, { component, layout }, graph));
    for (const weights of layout.files) {
      const requests = tensorRequests(weights.entries, plan.tensors[component]);
      const file = `${folder}/${weights.location}`;
      const writing = writer.write(join(into, file), weights, session.tensors(requests, signal));
      const sha256 = yield* telling(writing, ({ name, length }) => told(name, length));
      outputs[file] = { sha256, bytes: weights.bytes };
    }
  }
  for (const [file, data] of await sideFiles(plan, components)) await put(file, data);

  const effects = session.effects();
  for (const message of effectWarnings(effects, plan.files)) yield { type: 'warning', stage: 'bake', message };
  const inputs = await hashing.digests;
  if (plan.recipe.output.weights) {
    const writing = writeDiffusersWeights(plan, session, makeLock(plan, { inputs, outputs: {}, effects }), {
      into,
      signal,
    });
    Object.assign(outputs, yield* telling(writing, ({ name, bytes }) => told(name, bytes)));
  }
  await session.assertInputsUnchanged(); // between opening and now: what was merged is what was hashed
  assertAsFetched(plan, inputs);
  const lock = makeLock(plan, { inputs, outputs, effects });
  const locked = Buffer.from(`${JSON.stringify(lock, null, 2)}\n`);
  await writeSynced(join(into, PROVENANCE_FILE), Buffer.from(provenanceJson(lock, digestBytes(locked))));
  await writeSynced(join(into, CARD_FILE), Buffer.from(modelCard(lock)));
  await writeSynced(join(into, LOCK_FILE), locked);
  const bytes = Object.values(outputs).reduce((sum, file) => sum + file.bytes, 0);
  yield {
    type: 'stage-finished',
    stage: 'bake',
    milliseconds: performance.now() - started,
    summary: `${Object.values(plan.tensors).flat().length} tensors, ${formatBytes(bytes)}`,
  };
  return { folder: into, lock, bytes };
}

async function writeSynced(path: string, data: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await using file = await open(path, 'wx');
  await writingTo(path, file.writeFile(data));
  await writingTo(path, file.sync());
}

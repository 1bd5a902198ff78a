/**
 * What lies beside the graphs says what recipe and base say: configs and tokenizer are those that a bake of the plan
 * writes, and the lock tells this recipe.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WEIGHTS_FILES } from '../../export/diffusers-weights.ts';
import { type ComponentLayout, layOutComponents } from '../../export/layouts.ts';
import { LOCK_FILE, type Lock } from '../../export/lock.ts';
import { CARD_FILE } from '../../export/model-card.ts';
import { PROVENANCE_FILE } from '../../export/provenance.ts';
import { sideFiles } from '../../export/side-files.ts';
import type { Plan } from '../../merge/plan.ts';
import { type Check, failed, passed, unknown } from '../check.ts';
import { expectedLock, provedAs } from '../expected-lock.ts';
import { describeDifference, jsonDifferences } from '../json-difference.ts';
import { sentence } from '../sentence.ts';
import { madeByAnother } from '../tool-version.ts';

export const configs: Check = {
  id: 'configs',
  proves:
    'sampler, tokenizer and configs are what recipe and base make them, no other files are there, and the lock tells this recipe and its strengths',
  cost: 'reading a few small files',
  from: 'quick',
  applies: ({ plan }) => plan !== undefined,
  async run({ folder, lock, files, plan: planned }) {
    if (!planned) throw new RangeError('configs needs the plan.');
    const plan = lock ? provedAs(planned, lock) : planned;
    const components = layOutComponents(plan);
    const expected = await sideFiles(plan, components);
    const faults: string[] = [];
    for (const [file, wanted] of expected) {
      if (!files[file]) faults.push(`${file} is missing`);
      else faults.push(...fileFaults(file, await readFile(join(folder, file)), wanted));
    }
    const known = new Set([LOCK_FILE, PROVENANCE_FILE, CARD_FILE, ...expected.keys(), ...largeFiles(plan, components)]);
    for (const file of Object.keys(files))
      if (!known.has(file)) faults.push(`${file} is nothing that the recipe makes`);
    if (lock) faults.push(...lockFaults(lock, plan));
    const figures = { files: expected.size };
    if (faults.length === 0)
      return passed(`${expected.size} files beside the graphs are what recipe and base make of them.`, figures);
    const another = madeByAnother(lock);
    return another ? unknown(`${another} ${sentence(faults)}`, figures) : failed(sentence(faults), figures);
  },
};

/** Graphs and weights, which other checks look at. */
function largeFiles({ recipe }: Plan, components: readonly ComponentLayout[]): string[] {
  return [
    ...components.flatMap(({ folder, graphs, layout }) => [
      ...graphs.map(({ file }) => `${folder}/${file}`),
      ...layout.files.map(({ location }) => `${folder}/${location}`),
    ]),
    ...(recipe.output.weights ? WEIGHTS_FILES.map(({ file }) => file) : []),
  ];
}

function fileFaults(file: string, found: Uint8Array, expected: Uint8Array): string[] {
  if (Buffer.compare(found, expected) === 0) return [];
  const [own, wanted] = [parsed(found), parsed(expected)];
  const differences = own && wanted ? jsonDifferences(own.value, wanted.value) : [];
  return differences.length > 0
    ? differences.map((difference) => `${file}: ${describeDifference(difference)}`)
    : [`${file} has other bytes than recipe and base make`];
}

function parsed(bytes: Uint8Array): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(new TextDecoder().decode(bytes)) };
  } catch {
    return undefined;
  }
}

/** What the lock says beside inputs and outputs, which other checks look at. */
function lockFaults(lock: Lock, plan: Plan): string[] {
  const told = ({ name, recipe, strengths, motion, licenses = {} }: Lock) => ({
    ...{ name, recipe, strengths, motion },
    ...(lock.licenses && {
      licenses: Object.fromEntries(Object.entries(licenses).filter(([, { from }]) => from !== 'hub')),
    }), // who is offline may not know those; older locks have none
  });
  const differences = jsonDifferences(told(lock), told(expectedLock(lock, plan)));
  return differences.map((difference) => `${LOCK_FILE}: ${describeDifference(difference)}`);
}

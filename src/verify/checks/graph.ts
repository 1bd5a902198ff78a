/**
 * The graphs are what their boundary promises, and every weight they name lies inside the file beside them. They are made again and
 * compared node by node: from the plan where it is at hand, else from what the package says of itself.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { graphBytes } from '../../export/graph-bytes.ts';
import type { GraphPlan } from '../../export/graphs.ts';
import { layOutComponents } from '../../export/layouts.ts';
import { modelDifference } from '../../onnx/model-difference.ts';
import { type ModelInfo, readModelInfo } from '../../onnx/model-info.ts';
import { IR_VERSION, OPSET } from '../../onnx/proto.ts';
import { boundaryFaults, externalFaults } from '../../runtime/graph-contract.ts';
import { type GraphFile, type PartName, pathInPackage, type VideoPackage } from '../../runtime/package-folder.ts';
import { statesForm } from '../../runtime/prompt/states.ts';
import { type Check, type CheckContext, failed, passed, unknown } from '../check.ts';
import { ownGraphs } from '../own-graphs.ts';
import { sentence } from '../sentence.ts';
import { madeByAnother } from '../tool-version.ts';

export const graph: Check = {
  id: 'graph',
  proves:
    'inputs and outputs, opset and domain are those of the contract; the initializers lie inside the weight file and are the same for all targets and shapes; every graph is node by node the one that the recipe makes (without the sources: the one that lock and configs tell of)',
  cost: 'reading the graphs, and making them again',
  from: 'quick',
  async run({ pkg, plan, lock, files: digests }) {
    const faults: string[] = [];
    let [graphs, nodes, parameters] = [0, 0, 0];
    for (const [component, files] of Object.entries(pkg.graphs) as [PartName, readonly GraphFile[]][]) {
      const portable = pkg.models[component] as string;
      const reference = await readModelInfo(portable);
      for (const { path, target } of files) {
        const info = path === portable ? reference : await readModelInfo(path);
        const at = (fault: string) => faults.push(`${pathInPackage(pkg.folder, path)}: ${fault}`);
        boundaryFaults(component, info, target).forEach(at);
        if (info.opsets[''] !== OPSET || info.irVersion !== IR_VERSION)
          at(`opset ${info.opsets['']} and IR ${info.irVersion} instead of ${OPSET} and ${IR_VERSION}`);
        const foreign = Object.keys(info.operators).filter((operator) => operator.includes(':'));
        if (target === 'portable' && foreign.length > 0)
          at(`operators outside the default domain: ${foreign.join(', ')}`);
        (await externalFaults(path, info)).forEach(at);
        if (info !== reference) [...otherWeights(info, reference), ...otherStates(info, reference)].forEach(at);
        graphs += 1;
        nodes += Object.values(info.operators).reduce((sum, n) => sum + n, 0);
      }
      parameters += weightsOf(reference).reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0);
    }
    const figures = { graphs, nodes, parameters };
    const another = madeByAnother(lock);
    const wanted = plan ?? (lock && !another ? await ownGraphs(pkg, lock) : undefined);
    const differences = wanted ? await otherGraphs(pkg, wanted, digests) : [];
    if (faults.length > 0) return failed(sentence([...faults, ...differences]), figures);
    const kept = wanted
      ? `are those that ${plan ? 'the plan makes' : 'lock and configs tell of'}`
      : 'keep their contract';
    if (differences.length === 0)
      return passed(`${graphs} graphs with ${nodes} nodes over ${parameters} parameters ${kept}.`, figures);
    return another ? unknown(`${another} ${sentence(differences)}`, figures) : failed(sentence(differences), figures);
  },
};

/** Where the package has other graphs than a bake would write, or weight files of other sizes. */
async function otherGraphs(
  { folder, graphs }: VideoPackage,
  plan: GraphPlan,
  digests: CheckContext['files'],
): Promise<string[]> {
  const present = new Set(
    Object.values(graphs).flatMap((files) => files.map(({ path }) => pathInPackage(folder, path))),
  );
  const differences: string[] = [];
  for (const component of layOutComponents(plan)) {
    for (const graph of component.graphs) {
      const file = `${component.folder}/${graph.file}`;
      if (!present.delete(file)) {
        differences.push(`${file} is missing`);
        continue;
      }
      const difference = modelDifference(await readFile(join(folder, file)), graphBytes(plan, component, graph));
      if (difference !== undefined) differences.push(`${file} ${difference}`);
    }
    for (const { location, bytes } of component.layout.files) {
      const file = `${component.folder}/${location}`;
      const found = digests[file]?.bytes;
      if (found !== bytes)
        differences.push(`${file} ${found === undefined ? 'is missing' : `has ${found} bytes, not ${bytes}`}`);
    }
  }
  return [...differences, ...[...present].map((file) => `${file} is nothing that the recipe makes`)];
}

function weightsOf({ initializers }: ModelInfo) {
  return initializers.filter(({ external }) => external);
}

/** Where it takes text states of another form, so that a prompt would mean another thing on another device. */
function otherStates(info: ModelInfo, reference: ModelInfo): string[] {
  const [own, wanted] = [info, reference].map(({ inputs }) => {
    const { tokens = 'any number of', perFrame } = statesForm(inputs);
    return `text states of ${tokens} tokens ${perFrame ? 'for every frame' : 'for all frames'}`;
  });
  return own === wanted ? [] : [`it takes ${own}, the portable graph ${wanted}`];
}

/** Where a target's or a shape's graph reads other bytes, or reads them otherwise, than the portable one. */
function otherWeights(info: ModelInfo, reference: ModelInfo): string[] {
  const places = (model: ModelInfo) =>
    new Map(weightsOf(model).map(({ name, ...place }) => [name, JSON.stringify(place)]));
  const [own, wanted] = [places(info), places(reference)];
  return [...new Set([...own.keys(), ...wanted.keys()])].flatMap((name) =>
    own.get(name) === wanted.get(name) ? [] : [`${name} is not where the portable graph has it`],
  );
}

/** The graphs are what their boundary promises, and every weight they name lies inside the file beside them. */
import { type ModelInfo, readModelInfo } from '../../onnx/model-info.ts';
import { IR_VERSION, OPSET } from '../../onnx/proto.ts';
import { boundaryFaults, externalFaults } from '../../runtime/graph-contract.ts';
import { type GraphFile, type PartName, pathInPackage } from '../../runtime/package-folder.ts';
import { type Check, failed, passed } from '../check.ts';

export const graph: Check = {
  id: 'graph',
  proves:
    'inputs and outputs, opset and domain are those of the contract; the initializers are exactly the parameters of the plan, lie inside the weight file, and are the same for all targets and shapes',
  cost: 'reading the graphs',
  from: 'quick',
  async run({ pkg, plan }) {
    const faults: string[] = [];
    let [graphs, nodes, parameters] = [0, 0, 0];
    for (const missing of plan?.components.filter((component) => !pkg.models[component]) ?? [])
      faults.push(`${missing}: the plan has it, the package has not`);
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
        if (info !== reference) otherWeights(info, reference).forEach(at);
        graphs += 1;
        nodes += Object.values(info.operators).reduce((sum, n) => sum + n, 0);
      }
      const weights = weightsOf(reference);
      if (plan) {
        const wanted = new Set(plan.tensors[component].map((tensor) => tensor.name));
        const had = new Set(weights.map((initializer) => initializer.name));
        for (const name of wanted.symmetricDifference(had))
          faults.push(`${component}: ${name} is ${had.has(name) ? 'not in the plan' : 'missing'}`);
      }
      parameters += weights.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0);
    }
    const figures = { graphs, nodes, parameters };
    return faults.length > 0
      ? failed(
          `${faults.slice(0, 6).join('; ')}${faults.length > 6 ? `; and ${faults.length - 6} more` : ''}.`,
          figures,
        )
      : passed(`${graphs} graphs with ${nodes} nodes over ${parameters} parameters keep their contract.`, figures);
  },
};

function weightsOf({ initializers }: ModelInfo) {
  return initializers.filter(({ external }) => external);
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

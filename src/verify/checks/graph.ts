/** The graphs are what their boundary promises, and every weight they name lies inside the file beside them. */
import { readModelInfo } from '../../onnx/model-info.ts';
import { IR_VERSION, OPSET } from '../../onnx/proto.ts';
import { boundaryFaults, externalFaults } from '../../runtime/graph-contract.ts';
import { type Check, failed, passed } from '../check.ts';

export const graph: Check = {
  id: 'graph',
  proves:
    'inputs and outputs, opset and domain are those of the contract; the initializers are exactly the parameters of the plan and lie inside the weight file',
  async run({ pkg, plan }) {
    const faults: string[] = [];
    let [nodes, parameters] = [0, 0];
    for (const [component, path] of Object.entries(pkg.models) as [keyof typeof pkg.models, string][]) {
      const info = await readModelInfo(path);
      const at = (fault: string) => faults.push(`${component}: ${fault}`);
      boundaryFaults(component, info).forEach(at);
      if (info.opsets[''] !== OPSET || info.irVersion !== IR_VERSION)
        at(`opset ${info.opsets['']} and IR ${info.irVersion} instead of ${OPSET} and ${IR_VERSION}`);
      const foreign = Object.keys(info.operators).filter((operator) => operator.includes(':'));
      if (foreign.length > 0) at(`operators outside the default domain: ${foreign.join(', ')}`);
      (await externalFaults(path, info)).forEach(at);
      const weights = info.initializers.filter((initializer) => initializer.external);
      if (plan) {
        const wanted = new Set(plan.tensors[component].map((tensor) => tensor.name));
        const had = new Set(weights.map((initializer) => initializer.name));
        for (const name of wanted.symmetricDifference(had))
          at(`${name} is ${had.has(name) ? 'not in the plan' : 'missing'}`);
      }
      nodes += Object.values(info.operators).reduce((sum, n) => sum + n, 0);
      parameters += weights.reduce((sum, { shape }) => sum + shape.reduce((n, dim) => n * dim, 1), 0);
    }
    const figures = { nodes, parameters };
    return faults.length > 0
      ? failed(
          `${faults.slice(0, 6).join('; ')}${faults.length > 6 ? `; and ${faults.length - 6} more` : ''}.`,
          figures,
        )
      : passed(`Three graphs with ${nodes} nodes and ${parameters} parameters keep their contract.`, figures);
  },
};

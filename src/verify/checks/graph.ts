/** The graphs are what their boundary promises, and every weight they name lies inside the file beside them. */
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type ModelInfo, readModelInfo, type TensorInfo } from '../../onnx/model-info.ts';
import { IR_VERSION, OPSET } from '../../onnx/proto.ts';
import { type Check, failed, passed } from '../check.ts';

/** name → element type and rank of the package layout's contract. */
const BOUNDARY = {
  unet: {
    in: { sample: ['FLOAT', 5], timestep: ['INT64', 0], encoder_hidden_states: ['FLOAT', 3] },
    out: { out_sample: ['FLOAT', 5] },
  },
  text_encoder: { in: { input_ids: ['INT64', 2] }, out: { last_hidden_state: ['FLOAT', 3] } },
  vae_decoder: { in: { latent_sample: ['FLOAT', 4] }, out: { sample: ['FLOAT', 4] } },
} as const;

export const graph: Check = {
  id: 'graph',
  proves:
    'inputs and outputs, opset and domain are those of the contract; the initializers are exactly the parameters of the plan and lie inside the weight file',
  async run({ pkg, plan }) {
    const faults: string[] = [];
    let [nodes, parameters] = [0, 0];
    for (const [component, path] of Object.entries(pkg.models) as [keyof typeof BOUNDARY, string][]) {
      const info = await readModelInfo(path);
      const at = (fault: string) => faults.push(`${component}: ${fault}`);
      compare(info.inputs, BOUNDARY[component].in, 'input').forEach(at);
      compare(info.outputs, BOUNDARY[component].out, 'output').forEach(at);
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

function compare(
  found: readonly TensorInfo[],
  wanted: Readonly<Record<string, readonly [string, number]>>,
  what: string,
): string[] {
  const faults = found
    .filter(({ name }) => !Object.hasOwn(wanted, name))
    .map(({ name }) => `unexpected ${what} ${name}`);
  for (const [name, [type, rank]] of Object.entries(wanted)) {
    const tensor = found.find((candidate) => candidate.name === name);
    if (tensor?.type !== type || tensor.shape.length !== rank) {
      faults.push(
        `${what} ${name} should be ${type} of rank ${rank}, it is ${tensor ? `${tensor.type} [${tensor.shape}]` : 'missing'}`,
      );
    }
  }
  return faults;
}

/** Places outside the file, and places that two initializers share by mistake. */
async function externalFaults(path: string, info: ModelInfo): Promise<string[]> {
  const faults: string[] = [];
  const spans: { name: string; location: string; from: number; to: number }[] = [];
  for (const { name, external } of info.initializers) {
    if (external)
      spans.push({ name, location: external.location, from: external.offset, to: external.offset + external.length });
  }
  for (const location of new Set(spans.map((span) => span.location))) {
    const size = await stat(join(dirname(path), location)).then(
      (s) => s.size,
      () => -1,
    );
    const own = spans.filter((span) => span.location === location).sort((a, b) => a.from - b.from);
    for (const [i, span] of own.entries()) {
      if (span.to > size)
        faults.push(
          `${span.name} ends at byte ${span.to} of ${location}, which ${size < 0 ? 'is missing' : `has ${size}`}`,
        );
      const next = own[i + 1];
      if (next && next.from < span.to) faults.push(`${span.name} and ${next.name} share bytes of ${location}`);
    }
  }
  return faults;
}

/**
 * A small UNet to measure devices by: of the structure of SD1.5 with motion modules, in the graph made for the device, with random weights
 * and a fixed clip. What counts on a device counts in it: convolutions, both attentions, normalisations, the launch of a thousand kernels.
 */
import type { UNetConfig } from '../architecture/unet-config.ts';
import { unetStructure } from '../architecture/unet-structure.ts';
import { TARGETS } from '../export/targets/index.ts';
import type { FloatType } from '../export/targets/target.ts';
import { unetMotionGraph } from '../export/unet-motion.ts';
import type { Constant, Graph, Parameter } from '../onnx/graph.ts';
import { serializeModel } from '../onnx/proto.ts';
import type { TargetName } from '../recipe/schema.ts';
import { VERSION } from '../version.ts';
import type { HostTensor } from './host.ts';
import { createGenerator } from './noise.ts';

/** Heads are 32 and 64 wide, which every fused attention takes; 2.4 GFLOP with the clip below. */
const CONFIG: UNetConfig = {
  in_channels: 4,
  out_channels: 4,
  block_out_channels: [64, 128],
  layers_per_block: 1,
  cross_attention_dim: 64,
  num_attention_heads: [2, 2],
  norm_num_groups: 16,
  norm_eps: 1e-5,
  flip_sin_to_cos: true,
  freq_shift: 0,
  use_linear_projection: false,
  cross_attention: [true, true],
  sample_size: 16,
};

const [FRAMES, SIDE, TOKENS] = [2, 16, 77];

export interface Yardstick {
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, HostTensor>>;
}

export function yardstick(target: TargetName, type: FloatType): Yardstick {
  const graph = yardstickGraph(target, type);
  const generator = createGenerator(0);
  const feeds = graph.inputs.map(({ name, type: of, shape }): [string, HostTensor] => {
    const dims = shape as readonly number[];
    if (of === 'int64') return [name, { type: of, dims, data: BigInt64Array.of(499n) }];
    const count = dims.reduce((n, dim) => n * dim, 1);
    const data = name === 'timestep' ? Float32Array.of(499) : generator.randn(count);
    return [name, { type: 'float32', dims, data }];
  });
  return {
    model: serializeModel(withRandomWeights(graph), { producerVersion: VERSION }),
    feeds: Object.fromEntries(feeds),
  };
}

export function yardstickGraph(target: TargetName, type: FloatType): Graph {
  return unetMotionGraph(unetStructure(CONFIG, { mid: true }), {
    ...{ target: TARGETS[target], type, batch: 1, frames: FRAMES, height: SIDE, width: SIDE, tokens: TOKENS },
    ...{ motionNorm: 'per-frame', positions: FRAMES },
  });
}

/** Parameters as constants: uniform numbers that keep the size of activations, the same for a name in every graph. */
function withRandomWeights(graph: Graph): Graph {
  const constants = new Map(graph.constants);
  for (const parameter of graph.parameters.values()) constants.set(parameter.name, randomWeight(parameter));
  return { ...graph, constants, parameters: new Map() };
}

function randomWeight({ name, type, shape, layout }: Parameter): Constant {
  const length = shape.reduce((n, dim) => n * dim, 1);
  const rows = shape.length < 2 ? 1 : (shape[0] as number);
  const fanIn = shape.length < 2 ? 400 : layout === 'transposed' ? rows : length / rows;
  const spread = Math.sqrt(3 / fanIn); // uniform numbers in ±√3 have a deviation of 1
  const mean = /norm[^.]*\.weight$/.test(name) ? 1 : 0;
  let state = [...name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, 7);
  const numbers = Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return mean + (state / 2 ** 31) * spread;
  });
  const data = type === 'float16' ? Float16Array.from(numbers) : numbers;
  return { name, type, shape, data: new Uint8Array(data.buffer) };
}

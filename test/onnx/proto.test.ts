import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { linear } from '../../src/export/layers.ts';
import { TARGETS } from '../../src/export/targets/index.ts';
import { layerScope } from '../../src/export/targets/target.ts';
import { addInput, addOutput, createGraph } from '../../src/onnx/graph.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

/** y = x·Wᵀ + b for x `[rows, 2]`, W `[3, 2]`, weights in `model.onnx_data`: 64 bytes of nothing, W transposed, b. */
function linearModel(location = 'model.onnx_data') {
  const graph = createGraph('linear');
  const s = layerScope(graph, TARGETS.portable, 'float32', 'layer');
  const x = addInput(graph, 'x', 'float32', ['rows', 2]);
  addOutput(s, linear(s, x, 3), 'y');
  const external = new Map([
    ['layer.weight', { location, offset: 64, length: 24 }],
    ['layer.bias', { location, offset: 88, length: 12 }],
  ]);
  return { graph, external };
}

describe('serializeModel', () => {
  it('writes what readModelInfo reads', async () => {
    const { graph, external } = linearModel();
    const path = join(await temporaryFolder(), 'model.onnx');
    const metadata = { 'lcm-merge.name': 'über', empty: '' };
    await writeFile(path, serializeModel(graph, { external, metadata, producerVersion: '1.2.3' }));
    expect(await readModelInfo(path)).toEqual({
      irVersion: 10,
      producer: 'lcm-merge 1.2.3',
      opsets: { '': 20 },
      inputs: [{ name: 'x', type: 'FLOAT', shape: ['rows', 2] }],
      outputs: [{ name: 'y', type: 'FLOAT', shape: ['rows', 3] }],
      operators: { MatMul: 1, Add: 1, Identity: 1 },
      nodes: graph.nodes.map((node) => ({ ...node, domain: '' })),
      values: ['layer/MatMul_0', 'layer/Add_1'].map((name) => ({ name, type: 'FLOAT', shape: ['rows', 3] })),
      initializers: [
        {
          name: 'layer.weight',
          type: 'FLOAT',
          shape: [2, 3],
          external: { location: 'model.onnx_data', offset: 64, length: 24 },
        },
        {
          name: 'layer.bias',
          type: 'FLOAT',
          shape: [3],
          external: { location: 'model.onnx_data', offset: 88, length: 12 },
        },
      ],
      metadata,
    });
  });

  it('writes what onnxruntime runs, weights read from the file beside it', async () => {
    const { graph, external } = linearModel('w.bin');
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'model.onnx'), serializeModel(graph, { external, producerVersion: '' }));
    const weights = new Float32Array(25);
    weights.set([1, 10, 100, 2, 20, 200], 16); // W = [[1, 2], [10, 20], [100, 200]]
    weights.set([0.5, -0.5, 0], 22);
    await writeFile(join(folder, 'w.bin'), weights);
    const session = await InferenceSession.create(join(folder, 'model.onnx'));
    const { y } = await session.run({ x: new Tensor('float32', [1, 1, 0, 0], [2, 2]) });
    await session.release();
    expect(y?.data).toEqual(Float32Array.of(3.5, 29.5, 300, 0.5, -0.5, 0));
  });

  it('gives the same bytes for the same graph', () => {
    const make = () => {
      const { graph, external } = linearModel();
      return serializeModel(graph, { external, producerVersion: '1' });
    };
    expect(make()).toEqual(make());
  });

  it('refuses a parameter without a place', () => {
    const { graph, external } = linearModel();
    external.delete('layer.bias');
    expect(() => serializeModel(graph, { external, producerVersion: '1' })).toThrow(
      /weight file was given for the parameter layer\.bias/,
    );
  });
});

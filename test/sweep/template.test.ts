/** A graph that is optimised once: with each set of weights it gives what the graph itself gives with them. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addInput, addOutput, createGraph, type Graph, parameter, rootScope } from '../../src/onnx/graph.ts';
import { readModelInfo } from '../../src/onnx/model-info.ts';
import * as op from '../../src/onnx/ops.ts';
import { parametrize, serializeModel } from '../../src/onnx/proto.ts';
import { startHost } from '../../src/runtime/host.ts';
import { makeTemplate } from '../../src/sweep/template.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const WIDTH = 32;
const BYTES = WIDTH * WIDTH * 2;

/** y = x · (turned + fixed), both float16 and widened where they are used. */
function twoWeights(): Graph {
  const graph = createGraph('two weights');
  const s = rootScope(graph, 'float32');
  const x = addInput(graph, 'x', 'float32', [1, WIDTH]);
  const [turned, fixed] = ['turned', 'fixed'].map((name) =>
    op.Cast(s, parameter({ ...s, type: 'float16' }, name, [WIDTH, WIDTH]), { to: 'float32' }),
  );
  addOutput(s, op.Add(s, op.MatMul(s, x, turned as never), op.MatMul(s, x, fixed as never)), 'y');
  return graph;
}

const filled = (seed: number) => Float16Array.from({ length: WIDTH ** 2 }, (_, i) => Math.sin(seed + i));
const place = (location: string) => ({ location, offset: 0, length: BYTES });

describe('a template', () => {
  it('makes graphs that compute what the plain one does, and have no more to widen than what changes', async () => {
    const folder = await temporaryFolder();
    const files = { fixed: filled(0), a: filled(1), b: filled(2) };
    for (const [name, data] of Object.entries(files)) await writeFile(join(folder, name), data);
    const graph = twoWeights();
    const template = await makeTemplate(graph, {
      changing: new Set(['turned']),
      write: (open, path) =>
        writeFile(path, serializeModel(open, { external: new Map([['fixed', place('fixed')]]), producerVersion: 't' })),
      folder,
      name: 'template.onnx',
    });
    expect((await readdir(folder)).sort()).toEqual(['a', 'b', 'fixed', 'template.onnx_data']);
    await using host = startHost();
    const x = { type: 'float32', dims: [1, WIDTH], data: Float32Array.from({ length: WIDTH }, Math.cos) } as const;
    for (const turned of ['a', 'b']) {
      const external = new Map([
        ['fixed', place('fixed')],
        ['turned', place(turned)],
      ]);
      const [quick, plain] = [join(folder, 'quick.onnx'), join(folder, 'plain.onnx')];
      await writeFile(quick, template(external));
      await writeFile(plain, serializeModel(graph, { external, producerVersion: 't' }));
      const info = await readModelInfo(quick);
      expect(info.operators['Cast']).toBe(1);
      expect(info.inputs.map(({ name }) => name)).toEqual(['x']);
      const [found, expected] = [await run(quick), await run(plain)];
      expect(found).toEqual(expected);
      expect(found.some((value) => value !== 0)).toBe(true);
    }
    async function run(path: string) {
      await using session = await host.load(path, 'cpu');
      return (await session.run({ x })).outputs['y']?.data as Float32Array;
    }
  });

  it('needs the weights that change to be inputs, and a place for each', () => {
    const graph = twoWeights();
    const [turned, fixed] = [...graph.parameters.values()] as [never, never];
    const external = new Map([['fixed', place('fixed')]]);
    const open = { ...graph, inputs: [...graph.inputs, turned], parameters: new Map([['fixed', fixed]]) };
    const model = serializeModel(open, { external, producerVersion: 't' });
    expect(() => parametrize(model, [fixed])).toThrow('The model has no input fixed, which was to become a weight.');
    expect(() => parametrize(model, [turned])(external)).toThrow(/^No place in the weight file .* parameter turned\.$/);
  });
});

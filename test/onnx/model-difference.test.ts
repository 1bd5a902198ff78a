import onnxProto from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { addInput, addOutput, createGraph, floatConstant, parameter, rootScope } from '../../src/onnx/graph.ts';
import { modelDifference } from '../../src/onnx/model-difference.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';

const { onnx } = onnxProto;

type Model = ReturnType<typeof onnx.ModelProto.decode>;
type Graph = NonNullable<Model['graph']>;

/** `out = (xᵀ·2)·w` */
function model(producerVersion = '1'): Uint8Array {
  const graph = createGraph('small');
  const s = rootScope(graph, 'float32');
  const x = addInput(graph, 'x', 'float32', [3, 2]);
  const doubled = op.Mul(s, op.Transpose(s, x, [1, 0]), floatConstant(graph, 'float32', [2]));
  addOutput(s, op.MatMul(s, doubled, parameter(s, 'w', [3, 4])), 'out');
  const external = new Map([['w', { location: 'model.onnx_data', offset: 64, length: 48 }]]);
  return serializeModel(graph, { external, metadata: { 'a.b': 'c' }, producerVersion });
}

function altered(alter: (graph: Graph, model: Model) => unknown): Uint8Array {
  const decoded = onnx.ModelProto.decode(model());
  alter(decoded.graph as Graph, decoded);
  return onnx.ModelProto.encode(decoded).finish();
}

const nodes = (graph: Graph) => graph.node as NonNullable<Graph['node']>;
const initializers = (graph: Graph) => graph.initializer as NonNullable<Graph['initializer']>;

describe('the difference of two models', () => {
  it('is none for equal bytes, nor for another version of the tool', () => {
    expect(modelDifference(model(), model())).toBeUndefined();
    expect(modelDifference(model('2'), model())).toBeUndefined();
  });

  it('is found in fields that the reader does not know', () => {
    const field = Uint8Array.of(0xc2, 0x0c, 1, 0); // number 200, one byte
    const hidden = Buffer.concat([model(), field]);
    expect(modelDifference(hidden, model())).toBe(
      `has ${hidden.length} bytes, of which ${model().length} are what this tool writes`,
    );
  });

  it.each<[string, string, (graph: Graph, model: Model) => unknown]>([
    [
      'an attribute',
      'node 0, Transpose_0, has the attribute perm [0,1], not [1,0]',
      (graph) => {
        const [perm] = nodes(graph)[0]?.attribute ?? [];
        if (perm) perm.ints = [0, 1] as unknown as NonNullable<typeof perm.ints>;
      },
    ],
    [
      'an attribute that is left out',
      'node 0, Transpose_0, has the attribute perm (none), not [1,0]',
      (graph) => Object.assign(nodes(graph)[0] ?? {}, { attribute: [] }),
    ],
    [
      'an operator',
      'has as node 1 Mul_1 (Add), where Mul_1 (Mul) should be',
      (graph) => Object.assign(nodes(graph)[1] ?? {}, { opType: 'Add' }),
    ],
    [
      'a domain',
      'has as node 1 Mul_1 (com.microsoft:Mul), where Mul_1 (Mul) should be',
      (graph) => Object.assign(nodes(graph)[1] ?? {}, { domain: 'com.microsoft' }),
    ],
    [
      'an input of a node',
      'node 1, Mul_1, has x as its input 0, not Transpose_0',
      (graph) => nodes(graph)[1]?.input?.splice(0, 1, 'x'),
    ],
    ['a node less', 'ends before Identity_3 (Identity), node 3 of 4', (graph) => nodes(graph).pop()],
    [
      'a node more',
      'goes on after its last node with again (Identity)',
      (graph) => nodes(graph).push({ ...(nodes(graph)[3] ?? {}), name: 'again' } as ReturnType<typeof nodes>[number]),
    ],
    [
      'a constant',
      'has the initializer const.float32.[].2 as FLOAT [], 4 bytes, from byte 2 on 0140, not FLOAT [], 4 bytes, from byte 2 on 0040',
      (graph) => Object.assign(initializers(graph)[0]?.rawData ?? {}, { 2: 1 }),
    ],
    [
      'the place of a weight',
      'has the initializer w as FLOAT [3,4], location model.onnx_data offset 128 length 48, not FLOAT [3,4], location model.onnx_data offset 64 length 48',
      (graph) => Object.assign(initializers(graph)[1]?.externalData?.[1] ?? {}, { value: '128' }),
    ],
    [
      'the shape of a weight',
      'has the initializer w as FLOAT [4,3], location',
      (graph) => Object.assign(initializers(graph)[1] ?? {}, { dims: [4, 3] }),
    ],
    [
      'an initializer more',
      'has the initializer v, which should not be there',
      (graph) => initializers(graph).push({ ...(initializers(graph)[1] as object), name: 'v' }),
    ],
    ['an output', 'has no output out', (graph) => Object.assign(graph.output?.[0] ?? {}, { name: 'other' })],
    [
      'an opset',
      'of opsetImport, not [{"domain":"","version":"20"}]',
      (_, { opsetImport }) => Object.assign(opsetImport?.[0] ?? {}, { version: 21 }),
    ],
    [
      'metadata',
      'says [{"key":"a.b","value":"d"}] of metadataProps',
      (_, { metadataProps }) => Object.assign(metadataProps?.[0] ?? {}, { value: 'd' }),
    ],
  ])('tells %s', (_, sentence, alter) => {
    expect(modelDifference(altered(alter), model())).toContain(sentence);
  });
});

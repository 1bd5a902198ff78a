import { describe, expect, it } from 'vitest';
import {
  addInput,
  addOutput,
  createGraph,
  elementCount,
  floatConstant,
  halved,
  int64Constant,
  parameter,
  rootScope,
  shapeVector,
  times,
} from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';

describe('names', () => {
  it('are the path of the code that makes them', () => {
    const graph = createGraph('names');
    const conv = rootScope(graph, 'float16').in('down_blocks', 0).in('resnets', 1, 'conv1');
    expect(parameter(conv, 'weight', [4, 4, 3, 3])).toEqual({
      name: 'down_blocks.0.resnets.1.conv1.weight',
      type: 'float16',
      shape: [4, 4, 3, 3],
      layout: 'as-is',
    });
    expect(parameter(rootScope(graph, 'float32'), 'logit_scale', []).name).toBe('logit_scale');
  });

  it('are one per value, and one per parameter however often it is asked for', () => {
    const graph = createGraph('names');
    const s = rootScope(graph, 'float32', 'here');
    const x = addInput(graph, 'x', 'float32', [2]);
    const weight = parameter(s, 'weight', [2]);
    expect(parameter(s, 'weight', [2])).toBe(weight);
    addOutput(s, op.Add(s, op.Add(s, x, weight), weight), 'sum');
    const [a, b] = op.Split(s, x, { axis: 0, parts: 2 });
    const names = graph.nodes.flatMap((node) => node.outputs);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain(a?.name);
    expect(names).toContain(b?.name);
    expect(graph.parameters.size).toBe(1);
    expect(graph.outputs).toEqual([{ name: 'sum', type: 'float32', shape: [2] }]);
  });
});

describe('constants', () => {
  it('are shared when type, shape and values are equal, and only then', () => {
    const graph = createGraph('constants');
    expect(floatConstant(graph, 'float32', [0.5])).toBe(floatConstant(graph, 'float32', [0.5]));
    floatConstant(graph, 'float16', [0.5]);
    floatConstant(graph, 'float32', [0.5], [1]);
    floatConstant(graph, 'float32', [0.25]);
    expect(int64Constant(graph, [1, 2])).toBe(int64Constant(graph, [1, 2]));
    int64Constant(graph, [12]);
    expect(graph.constants.size).toBe(6);
  });

  it('are little-endian bytes of their type, floats rounded to nearest even', () => {
    const graph = createGraph('constants');
    expect([...int64Constant(graph, [-1, 258]).data]).toEqual([
      255, 255, 255, 255, 255, 255, 255, 255, 2, 1, 0, 0, 0, 0, 0, 0,
    ]);
    expect([...floatConstant(graph, 'float32', [1]).data]).toEqual([0, 0, 0x80, 0x3f]);
    // 2049 lies between the float16 numbers 2048 and 2050
    expect([...floatConstant(graph, 'float16', [1, 2049], [2]).data]).toEqual([0, 0x3c, 0, 0x68]);
  });
});

describe('dimensions', () => {
  it('multiply as numbers or as names', () => {
    expect(times(3, 4)).toBe(12);
    expect(times(1, 'frames')).toBe('frames');
    expect(times('frames', 1)).toBe('frames');
    expect(times('batch', 'frames')).toBe('batch * frames');
    expect(times('height', 2)).toBe('height * 2');
  });

  it('halve as a stride-2 convolution does, up', () => {
    expect([1, 2, 3, 8, 9].map((n) => halved(n))).toEqual([1, 1, 2, 4, 5]);
    expect(halved('height')).toBe('ceil(height/2)');
  });

  it('halve down where the padding is behind alone', () => {
    expect([2, 3, 8, 9].map((n) => halved(n, 'floor'))).toEqual([1, 1, 4, 4]);
    expect(halved('height', 'floor')).toBe('height // 2');
  });

  it('count elements while all are known', () => {
    expect(elementCount([])).toBe(1);
    expect(elementCount([2, 0, 3])).toBe(0);
    expect(elementCount([2, 'n'])).toBeUndefined();
  });

  it('become a constant where all are numbers, else are read off a value that has them, once', () => {
    const graph = createGraph('dimensions');
    const s = rootScope(graph, 'float32');
    addInput(graph, 'x', 'float32', [4, 'frames']);
    expect(graph.constants.get(shapeVector(s, [2, 0, -1]).name)?.shape).toEqual([3]);
    expect(graph.nodes).toHaveLength(0);
    expect(shapeVector(s, ['frames', 4])).toBe(shapeVector(s, ['frames', 4]));
    shapeVector(s, [4, 'frames']);
    expect(graph.nodes.map((node) => node.opType)).toEqual(['Shape', 'Concat', 'Concat']);
    expect(graph.nodes[0]).toMatchObject({ inputs: ['x'], attributes: { start: 1, end: 2 } });
    expect(() => shapeVector(s, ['height', 4])).toThrow(/dimensions has no value with the dimension height yet/);
  });
});

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { addInput, addOutput, createGraph, type Dim, rootScope, type Scope, type Value } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { type Numbers, runGraph } from '../helpers/sessions.ts';

/** Made by `python test/oracle/ops.py`. */
interface Case {
  readonly op: keyof typeof op;
  readonly inputs: readonly Numbers[];
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly outputs: readonly Numbers[];
}

const golden = JSON.parse(await readFile('test/golden/ops.json', 'utf8')) as { cases: readonly Case[] };

/** How each operator takes a golden case's inputs and attributes; its type says that none is forgotten. */
const CALLS: Record<
  Exclude<keyof typeof op, 'broadcast'>,
  (s: Scope, x: Value[], a: never) => Value | readonly Value[]
> = {
  Add: (s, x) => op.Add(s, x[0] as Value, x[1] as Value),
  Sub: (s, x) => op.Sub(s, x[0] as Value, x[1] as Value),
  Div: (s, x) => op.Div(s, x[0] as Value, x[1] as Value),
  Max: (s, x) => op.Max(s, x[0] as Value, x[1] as Value),
  Sqrt: (s, x) => op.Sqrt(s, x[0] as Value),
  ReduceSumSquare: (s, x, a) => op.ReduceSumSquare(s, x[0] as Value, a),
  Inverse: (s, x) => op.Inverse(s, x[0] as Value),
  Mul: (s, x) => op.Mul(s, x[0] as Value, x[1] as Value),
  Sigmoid: (s, x) => op.Sigmoid(s, x[0] as Value),
  Cos: (s, x) => op.Cos(s, x[0] as Value),
  Sin: (s, x) => op.Sin(s, x[0] as Value),
  Gelu: (s, x, a) => op.Gelu(s, x[0] as Value, a),
  Cast: (s, x, a) => op.Cast(s, x[0] as Value, a),
  MatMul: (s, x) => op.MatMul(s, x[0] as Value, x[1] as Value),
  Einsum: (s, x, a: { equation: string }) => op.Einsum(s, a.equation, x),
  Gemm: (s, x) => op.Gemm(s, x[0] as Value, x[1] as Value, x[2] as Value),
  Conv: (s, x, a) => op.Conv(s, x[0] as Value, x[1] as Value, x[2] as Value, a),
  InstanceNormalization: (s, x, a) => op.InstanceNormalization(s, x[0] as Value, x[1] as Value, x[2] as Value, a),
  LayerNormalization: (s, x, a) => op.LayerNormalization(s, x[0] as Value, x[1] as Value, x[2] as Value, a),
  Softmax: (s, x, a) => op.Softmax(s, x[0] as Value, a),
  Reshape: (s, x, a: { to: Dim[] }) => op.Reshape(s, x[0] as Value, a.to),
  Transpose: (s, x, a: { perm: number[] }) => op.Transpose(s, x[0] as Value, a.perm),
  Concat: (s, x, a) => op.Concat(s, x, a),
  Expand: (s, x, a: { to: Dim[] }) => op.Expand(s, x[0] as Value, a.to),
  Split: (s, x, a) => op.Split(s, x[0] as Value, a),
  Slice: (s, x, a) => op.Slice(s, x[0] as Value, a),
  Gather: (s, x) => op.Gather(s, x[0] as Value, x[1] as Value),
  Resize: (s, x, a) => op.Resize(s, x[0] as Value, a),
};

/** The one-node model of a case, its arithmetic in `type`, its edges float32 or int64. */
function oneNodeModel(entry: Case, type: 'float32' | 'float16') {
  const graph = createGraph(entry.op);
  const s = rootScope(graph, type);
  const inputs = entry.inputs.map((input, i) => {
    const value = addInput(graph, `input${i}`, input.type, input.shape);
    return input.type === 'float32' ? op.Cast(s, value, { to: type }) : value;
  });
  const made = CALLS[entry.op as keyof typeof CALLS](s, inputs, entry.attributes as never);
  for (const [i, value] of [made].flat().entries()) {
    const edge = entry.outputs[i]?.type ?? 'float32';
    addOutput(s, edge === 'int64' ? value : op.Cast(s, value as Value, { to: edge }), `output${i}`);
  }
  return graph;
}

describe('operators', () => {
  it('has golden values for every operator', () => {
    expect(new Set(golden.cases.map((entry) => entry.op))).toEqual(new Set(Object.keys(CALLS)));
  });

  describe.each([
    ['float32', 2e-6],
    ['float16', 2e-3],
  ] as const)('in %s', (type, tolerance) => {
    it.each(golden.cases.map((entry, i) => [`${entry.op} ${JSON.stringify(entry.attributes)}`, i] as const))(
      'gives what PyTorch gives: %s',
      async (_, index) => {
        const entry = golden.cases[index] as Case;
        const graph = oneNodeModel(entry, type);
        const outputs = await runGraph(graph, Object.fromEntries(entry.inputs.map((input, i) => [`input${i}`, input])));
        expect(outputs).toHaveLength(entry.outputs.length);
        for (const [i, expected] of entry.outputs.entries()) {
          const found = outputs[i] as Numbers;
          expect(found.shape).toEqual(expected.shape);
          expect(graph.outputs[i]?.shape).toEqual(expected.shape);
          const largest = Math.max(...expected.data.map(Math.abs));
          const error = Math.max(...expected.data.map((value, j) => Math.abs(value - (found.data[j] as number))));
          expect(error).toBeLessThanOrEqual(tolerance * largest);
        }
      },
    );
  });
});

describe('symbolic dimensions', () => {
  const count = (shape: readonly number[]) => shape.reduce((n, dim) => n * dim, 1);
  const ramp = (shape: readonly number[]): Numbers => ({
    type: 'float32',
    shape,
    data: Array.from({ length: count(shape) }, (_, i) => i),
  });

  it('folds frames into the batch and back at any size', async () => {
    const graph = createGraph('fold');
    const s = rootScope(graph, 'float32');
    const x = addInput(graph, 'x', 'float32', ['batch', 4, 'frames', 'height', 'width']);
    const rows = op.Reshape(s, op.Transpose(s, x, [0, 2, 1, 3, 4]), ['batch * frames', 4, 'height', 'width']);
    const tokens = op.Reshape(s, rows, ['batch * frames', 4, 'height * width']);
    const long = op.Reshape(s, op.Transpose(s, tokens, [0, 2, 1]), ['batch', 'frames * height * width', 4]);
    addOutput(s, tokens, 'tokens');
    addOutput(s, long, 'long');
    addOutput(s, op.Reshape(s, rows, ['batch', 'frames', 4, 'height', 'width']), 'unfolded');
    expect(tokens.shape).toEqual(['batch * frames', 4, 'height * width']);
    for (const [batch, frames, height, width] of [
      [1, 1, 1, 1],
      [2, 3, 5, 4],
      [1, 16, 2, 7],
    ] as const) {
      const [tokens, long, unfolded] = await runGraph(graph, { x: ramp([batch, 4, frames, height, width]) });
      const area = height * width;
      // element (b, f, c, p) of the input, which counts upwards in the order b, c, f, p
      const at = (b: number, f: number, c: number, p: number) => ((b * 4 + c) * frames + f) * area + p;
      const every = <T>(visit: (b: number, f: number, c: number, p: number) => T) =>
        Array.from({ length: batch * frames * 4 * area }, (_, i) =>
          visit(
            Math.floor(i / (frames * 4 * area)),
            Math.floor(i / (4 * area)) % frames,
            Math.floor(i / area) % 4,
            i % area,
          ),
        );
      expect(tokens).toEqual({ type: 'float32', shape: [batch * frames, 4, area], data: every(at) });
      expect(unfolded).toEqual({ type: 'float32', shape: [batch, frames, 4, height, width], data: every(at) });
      const longData = Array.from({ length: batch * frames * area * 4 }, (_, i) => {
        const [b, f] = [Math.floor(i / (frames * area * 4)), Math.floor(i / (area * 4)) % frames];
        return at(b, f, i % 4, Math.floor(i / 4) % area);
      });
      expect(long).toEqual({ type: 'float32', shape: [batch, frames * area, 4], data: longData });
    }
  });

  it('slices and resizes to lengths that are known at run time only', async () => {
    const graph = createGraph('lengths');
    const s = rootScope(graph, 'float32');
    const video = addInput(graph, 'video', 'float32', [1, 'frames']);
    const table = addInput(graph, 'table', 'float32', [1, 6]);
    const image = addInput(graph, 'image', 'float32', [1, 1, 'ceil(height/2)', 'ceil(width/2)']);
    const skip = addInput(graph, 'skip', 'float32', [1, 1, 'height', 'width']);
    addOutput(s, op.Add(s, op.Slice(s, table, { axis: 1, length: 'frames' }), video), 'sliced');
    addOutput(s, op.Add(s, op.Resize(s, image, { height: 'height', width: 'width' }), skip), 'resized');
    addOutput(s, op.Resize(s, skip, { height: 'height * 2', width: 'width * 2' }), 'doubled');
    for (const [frames, height, width] of [
      [1, 3, 5],
      [4, 2, 4],
      [6, 1, 1],
    ] as const) {
      const [halfHeight, halfWidth] = [Math.ceil(height / 2), Math.ceil(width / 2)];
      const [sliced, resized, doubled] = await runGraph(graph, {
        video: { ...ramp([1, frames]), data: Array(frames).fill(0) },
        table: ramp([1, 6]),
        image: ramp([1, 1, halfHeight, halfWidth]),
        skip: { ...ramp([1, 1, height, width]), data: Array(height * width).fill(0) },
      });
      expect(sliced?.data).toEqual(Array.from({ length: frames }, (_, i) => i));
      expect(resized?.shape).toEqual([1, 1, height, width]);
      const nearest = (i: number) =>
        Math.floor((Math.floor(i / width) * halfHeight) / height) * halfWidth +
        Math.floor(((i % width) * halfWidth) / width);
      expect(resized?.data).toEqual(Array.from({ length: height * width }, (_, i) => nearest(i)));
      expect(doubled?.shape).toEqual([1, 1, height * 2, width * 2]);
    }
  });

  it('says an exact doubling with scales, anything else with sizes', () => {
    const inputsOf = (height: Dim, width: Dim) => {
      const graph = createGraph('resize');
      op.Resize(rootScope(graph, 'float32'), addInput(graph, 'x', 'float32', [1, 1, 'h', 4]), { height, width });
      return graph.nodes.at(-1)?.inputs.length;
    };
    expect(inputsOf('h * 2', 8)).toBe(3);
    expect(inputsOf(7, 8)).toBe(4);
  });
});

describe('what does not fit', () => {
  const value = (
    graph: ReturnType<typeof createGraph>,
    shape: readonly Dim[],
    type: 'float32' | 'float16' | 'int64' = 'float32',
  ) => addInput(graph, `x${graph.inputs.length}`, type, shape);

  const refused: readonly (readonly [
    name: string,
    error: RegExp,
    make: (s: Scope, v: (shape: readonly Dim[], type?: 'float16') => Value) => unknown,
  ])[] = [
    ['MatMul', /MatMul in here: \[2,3\] × \[4,5\] do not fit/, (s, v) => op.MatMul(s, v([2, 3]), v([4, 5]))],
    [
      'MatMul, batch',
      /MatMul: shapes \[2\] and \[3\] do not broadcast at axis 0/,
      (s, v) => op.MatMul(s, v([2, 3, 4]), v([3, 4, 5])),
    ],
    [
      'Einsum',
      /Einsum in here: i of oi,ti->to is 3 and 4/,
      (s, v) => op.Einsum(s, 'oi,ti->to', [v([2, 3]), v([5, 4])]),
    ],
    ['Gemm', /Gemm in here: \[2,3\] × \[4,5\] \+ \[5\] do not fit/, (s, v) => op.Gemm(s, v([2, 3]), v([4, 5]), v([5]))],
    [
      'Gemm, sum',
      /Gemm: shapes \[4\] and \[2,5\] do not broadcast/,
      (s, v) => op.Gemm(s, v([2, 3]), v([3, 5]), v([4])),
    ],
    ['Gemm, larger sum', /\+ \[3,2,5\] do not fit/, (s, v) => op.Gemm(s, v([2, 3]), v([3, 5]), v([3, 2, 5]))],
    [
      'Conv',
      /Conv in here: input has 3 channels, weight \[8,4,3,3\] wants 4/,
      (s, v) => op.Conv(s, v([1, 3, 8, 8]), v([8, 4, 3, 3]), v([8])),
    ],
    [
      'Add',
      /Add: shapes \[2,3\] and \[2,4\] do not broadcast at axis 1 \(3 against 4\)/,
      (s, v) => op.Add(s, v([2, 3]), v([2, 4])),
    ],
    [
      'Add, symbols',
      /do not broadcast at axis 0 \(frames against height\)/,
      (s, v) => op.Add(s, v(['frames']), v(['height'])),
    ],
    ['Add, symbol and number', /\(frames against 4\)/, (s, v) => op.Add(s, v(['frames']), v([4]))],
    [
      'Mul, types',
      /Mul in here: x0 is float32, x1 is float16; they must agree/,
      (s, v) => op.Mul(s, v([2]), v([2], 'float16')),
    ],
    ['Reshape', /Reshape in here: \[2,3\] has 6 elements, \[4,2\] has 8/, (s, v) => op.Reshape(s, v([2, 3]), [4, 2])],
    [
      'Reshape, unknown symbol',
      /no value with the dimension elsewhere/,
      (s, v) => op.Reshape(s, v(['a', 4]), ['a', 'deduced', 'elsewhere']),
    ],
    ['Concat', /Concat along a symbolic axis/, (s, v) => op.Concat(s, [v(['a']), v(['a'])], { axis: 0 })],
    [
      'Split',
      /Split in here: axis 1 of \[2,5\] does not part in 2/,
      (s, v) => op.Split(s, v([2, 5]), { axis: 1, parts: 2 }),
    ],
    ['Split, symbol', /axis 0 of \[a\] does not part in 2/, (s, v) => op.Split(s, v(['a']), { axis: 0, parts: 2 })],
  ];

  it.each(refused)('is refused by name and shapes: %s', (_, error, make) => {
    const graph = createGraph('wrong');
    expect(() => make(rootScope(graph, 'float32', 'here'), (shape, type) => value(graph, shape, type))).toThrow(error);
  });

  it('broadcasts what does fit', () => {
    expect(op.broadcast('Add', ['b', 1, 3], ['f', 3])).toEqual(['b', 'f', 3]);
    expect(op.broadcast('Add', [], [2])).toEqual([2]);
    expect(op.broadcast('Add', [1], ['n'])).toEqual(['n']);
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RuntimeFailure } from '../../src/errors.ts';
import { addInput, addOutput, createGraph, rootScope } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import type { Device } from '../../src/runtime/device.ts';
import { cpuNodes, loadPlaced } from '../../src/runtime/placement.ts';
import { hostWith, line, placed } from '../helpers/cpu-fallback.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

describe('cpuNodes', () => {
  it('reads the nodes on the CPU off the log, and no others', () => {
    expect(cpuNodes(placed(['Cast (time_proj/Cast_0)', 'com.microsoft.Foo (b (c))']))).toEqual([
      { operator: 'Cast', name: 'time_proj/Cast_0' },
      { operator: 'com.microsoft.Foo', name: 'b (c)' },
    ]);
  });

  it('does not take silence for absence', () => {
    expect(cpuNodes('nothing of the kind')).toEqual([{ operator: 'node', name: '' }]);
    expect(cpuNodes(line(' All nodes placed on [CPUExecutionProvider]. Number of nodes: 12'))).toHaveLength(1);
  });
});

/** whole = integers of x; y = x + float(whole); one number of it all. Names of nodes are those of their outputs. */
async function model(): Promise<string> {
  const graph = createGraph('placement');
  const s = rootScope(graph, 'float32');
  const x = addInput(graph, 'x', 'float32', [2, 3]);
  const whole = op.Cast(s, x, { to: 'int64' });
  const y = op.Add(s, op.Cast(s, whole, { to: 'float32' }), x);
  addOutput(s, op.ReduceSumSquare(s, y, { axes: [0, 1] }), 'y');
  const path = join(await temporaryFolder(), 'model.onnx');
  await writeFile(path, serializeModel(graph, { producerVersion: 'test' }));
  return path;
}

describe('loadPlaced', () => {
  const load = async (log: string, device: Device, allowFallback = false) =>
    loadPlaced(hostWith(log).host, await model(), device, { allowFallback });

  it('takes a graph of which only whole numbers and single numbers are computed on the CPU', async () => {
    const session = await load(placed(['Cast (Cast_0)', 'ReduceSumSquare (ReduceSumSquare_3)']), 'webgpu');
    expect(session.fallback).toBeUndefined();
    expect((await load(placed(['Gather (Gather)', 'Gather (Gather_token_525)']), 'webgpu')).fallback).toBeUndefined();
  });

  it.each([
    [
      'a tensor',
      ['Cast (Cast_0)', 'Cast (Cast_1)', 'Add (Add_2)'],
      /^2 nodes \(1 × Cast, 1 × Add\) of \S+model\.onnx run on the CPU instead of webgpu/,
    ],
    ['what onnxruntime put there', ['Cast (InsertedPrecisionFreeCast_x)'], /^1 node \(1 × Cast\) of /],
    ['nobody knows what', [], /^Nodes of \S+ run on the CPU/],
  ])('refuses one of which %s is, and says what to do', async (_, cpu, message) => {
    const loading = load(placed(cpu), 'webgpu');
    await expect(loading).rejects.toThrow(RuntimeFailure);
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toThrow(/targets: \[portable, webgpu\].*--allow-fallback takes it as it is\.$/);
  });

  it('takes it where that is allowed, and tells', async () => {
    const session = await load(placed(['Add (Add_2)']), 'webgpu', true);
    expect(session.fallback).toMatch(/^1 node \(1 × Add\) of \S+model\.onnx run on the CPU instead of webgpu$/);
  });

  it('tells where the provider is made to leave parts out: CoreML', async () => {
    expect((await load(placed(['Add (Add_2)']), 'coreml')).fallback).toMatch(/^1 node \(1 × Add\)/);
    await expect(load(placed(['Add (Add_2)']), 'dml')).rejects.toThrow(/Run with --device webgpu or cpu\./);
  });

  it('asks nothing of the CPU, and passes other failures on', async () => {
    const { host, loads } = hostWith('');
    await loadPlaced(host, 'model.onnx', 'cpu');
    expect(loads).toEqual([{}]);
    const failing = { ...host, load: () => Promise.reject(new RuntimeFailure('out of luck')) };
    await expect(loadPlaced(failing, 'model.onnx', 'cuda')).rejects.toThrow('out of luck');
  });
});

import { describe, expect, it } from 'vitest';
import { RuntimeFailure } from '../../src/errors.ts';
import { addInput, addOutput, createGraph, rootScope } from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { endOf, failureFrom } from '../../src/runtime/faults.ts';
import { startHost } from '../../src/runtime/host.ts';

describe('failureFrom', () => {
  it.each([
    [
      'unet.onnx fails when it runs: std::bad_alloc',
      'memory',
      /bad_alloc\. The memory is not enough.*fewer frames.*fp16/,
    ],
    ['CUDA failure 2: out of memory ; GPU=0', 'memory', /The memory is not enough/],
    ['CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED', 'memory', /The memory is not enough/],
    ['8007000E Not enough memory resources are available', 'memory', /The memory is not enough/],
    ['[Device] is lost. Device lost', 'machine', /The driver gave the device up/],
    ['887A0006 The GPU will not respond to more commands', 'machine', /The driver gave the device up/],
    ['CUDA failure 700: an illegal memory access was encountered', 'machine', /The driver gave the device up/],
    ['CUDA failure 35: CUDA driver version is insufficient', 'machine', /nvidia-smi/],
    ['Program Cast requires f16 but the device does not support it', 'graph', /shader-f16.*dtype: fp32/],
    [
      'Non-zero status code returned while running Add node',
      'graph',
      /^Non-zero status code returned while running Add node\.$/,
    ],
  ] as const)('of %s', (message, blame, text) => {
    const failure = failureFrom(message);
    expect(failure).toBeInstanceOf(RuntimeFailure);
    expect(failure.blame).toBe(blame);
    expect(failure.message).toMatch(text);
  });

  it('of what onnxruntime says when there is no memory', async () => {
    const graph = createGraph('huge');
    const s = rootScope(graph, 'float32');
    const [a, b] = [addInput(graph, 'a', 'float32', ['n', 1]), addInput(graph, 'b', 'float32', [1, 'n'])];
    addOutput(s, op.ReduceSumSquare(s, op.MatMul(s, a, b), { axes: [0, 1] }), 'y');
    await using host = startHost();
    const session = await host.load(serializeModel(graph, { producerVersion: 'test' }), 'cpu');
    const n = 6_000_000; // n² numbers are 144 TB
    const data = new Float32Array(n);
    const running = session.run({
      a: { type: 'float32', dims: [n, 1], data },
      b: { type: 'float32', dims: [1, n], data },
    });
    await expect(running).rejects.toThrow(/The memory is not enough/);
    await expect(running).rejects.toMatchObject({ blame: 'memory' });
    const small = { type: 'float32', dims: [1, 1], data: Float32Array.of(2) } as const;
    expect((await session.run({ a: small, b: small })).outputs['y']?.data[0]).toBe(16); // it lives on
  });
});

describe('endOf', () => {
  it('takes the reason from the last words', () => {
    const { message, blame } = endOf('was ended by SIGABRT', 'running x on cpu', 'what():  std::bad_alloc\n');
    expect(message).toBe(
      'The inference process was ended by SIGABRT while running x on cpu. It said: what():  std::bad_alloc. The memory is not enough for this: ' +
        'sample fewer frames or a smaller size, bake with output.dtype: fp16, or close what else uses it.',
    );
    expect(blame).toBe('memory');
  });
});

import type { ChildProcess } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { RuntimeFailure } from '../../src/errors.ts';
import {
  addInput,
  addOutput,
  createGraph,
  type Graph,
  rootScope,
  type Scope,
  type Value,
} from '../../src/onnx/graph.ts';
import * as op from '../../src/onnx/ops.ts';
import { serializeModel } from '../../src/onnx/proto.ts';
import { END_OF_LOG, type HostTensor, type RunReply, startHost } from '../../src/runtime/host.ts';
import type { Patience } from '../../src/runtime/watchdog.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

const started: ChildProcess[] = [];
const remember = (message: unknown) => started.push((message as { process: ChildProcess }).process);
subscribe('child_process', remember);
afterAll(() => unsubscribe('child_process', remember));

/** Children of this process that have not ended. */
const children = () => started.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);

afterEach(() => {
  expect(started.length).toBeGreaterThan(0);
  expect(children()).toEqual([]);
});

async function modelFile(make: (s: Scope, graph: Graph) => Value): Promise<string> {
  const graph = createGraph('host');
  const s = rootScope(graph, 'float32');
  addOutput(s, make(s, graph), 'y');
  const path = join(await temporaryFolder(), 'model.onnx');
  await writeFile(path, serializeModel(graph, { producerVersion: 'test' }));
  return path;
}

/** y = 2·x for x `[n]`. */
const doubling = () => modelFile((s, graph) => add(s, addInput(graph, 'x', 'float32', ['n'])));
const add = (s: Scope, x: Value) => op.Add(s, x, x);

/** Products of 1500² matrices, one after another: some 20 seconds of work that a feed of a few MB starts. */
const endless = () =>
  modelFile((s, graph) => {
    const x = addInput(graph, 'x', 'float32', [1500, 1500]);
    return Array.from({ length: 400 }).reduce<Value>((y) => op.MatMul(s, y, x), x);
  });
const matrix: HostTensor = { type: 'float32', dims: [1500, 1500], data: new Float32Array(1500 * 1500) };

const floats = (...values: number[]): HostTensor => ({
  type: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});
const first = ({ outputs: { y } }: RunReply) => y?.data[0];

describe('startHost', () => {
  it('runs graphs in a process of its own and says how long it took', async () => {
    await using host = startHost();
    await using session = await host.load(await doubling(), 'cpu');
    expect(children()).toHaveLength(1);
    const { outputs, milliseconds } = await session.run({ x: floats(1, -2.5, 1e30) });
    expect(outputs).toEqual({ y: { type: 'float32', dims: [3], data: Float32Array.of(2, -5, 2e30) } });
    expect(milliseconds).toBeGreaterThan(0);
    expect(await host.peakBytes()).toBeGreaterThan(1e7);
  });

  it('keeps sessions apart, answers in any order, and forgets what is released', async () => {
    const square = await modelFile((s, graph) => {
      const x = addInput(graph, 'x', 'float32', ['n']);
      return op.Mul(s, x, x);
    });
    await using host = startHost();
    const [twice, squared] = await Promise.all([host.load(await doubling(), 'cpu'), host.load(square, 'cpu')]);
    const replies = await Promise.all(
      [1, 2, 3].flatMap((x) => [twice.run({ x: floats(x) }), squared.run({ x: floats(x) })]),
    );
    expect(replies.map(first)).toEqual([2, 1, 4, 4, 6, 9]);
    await twice[Symbol.asyncDispose]();
    await expect(twice.run({ x: floats(1) })).rejects.toThrow(RuntimeFailure);
    expect(first(await squared.run({ x: floats(5) }))).toBe(25);
  });

  it('passes int64 through', async () => {
    const path = await modelFile((s, graph) => op.Cast(s, addInput(graph, 'x', 'int64', []), { to: 'float32' }));
    await using host = startHost();
    await using session = await host.load(path, 'cpu');
    const { outputs } = await session.run({ x: { type: 'int64', dims: [], data: BigInt64Array.of(999n) } });
    expect(outputs).toEqual({ y: { type: 'float32', dims: [], data: Float32Array.of(999) } });
  });

  it('names model and device when a model does not load, and lives on', async () => {
    const broken = join(await temporaryFolder(), 'model.onnx');
    await writeFile(broken, 'no protobuf');
    await using host = startHost();
    for (const path of [broken, `${broken}.missing`]) {
      const loading = host.load(path, 'cpu');
      await expect(loading).rejects.toThrow(RuntimeFailure);
      await expect(loading).rejects.toThrow(`${path} does not load on cpu: `);
    }
    await using session = await host.load(await doubling(), 'cpu');
    expect(first(await session.run({ x: floats(4) }))).toBe(8);
  });

  it('reports feeds that the graph does not take, and lives on', async () => {
    await using host = startHost();
    await using session = await host.load(await doubling(), 'cpu');
    await expect(session.run({})).rejects.toThrow(/'x'|\bx\b/);
    await expect(session.run({ x: { type: 'float32', dims: [1, 1], data: Float32Array.of(1) } })).rejects.toThrow(
      RuntimeFailure,
    );
    expect(first(await session.run({ x: floats(4) }))).toBe(8);
  });

  it('is gone at once when it is aborted in the middle of a run', async () => {
    const controller = new AbortController();
    await using host = startHost(controller.signal);
    const session = await host.load(await endless(), 'cpu');
    const running = session.run({ x: matrix });
    const aborted = new Promise<number>((resolve) => {
      setTimeout(() => {
        controller.abort(new Error('enough'));
        resolve(performance.now());
      }, 300);
    });
    await expect(running).rejects.toThrow('enough');
    expect(performance.now() - (await aborted)).toBeLessThan(1000);
    await vi.waitFor(() => expect(children()).toEqual([]), { timeout: 5000 }); // not only when the host is closed
    await expect(session.run({ x: matrix })).rejects.toThrow('enough');
    await session[Symbol.asyncDispose]();
  });

  it('says so when the process is ended from outside, in the middle of a run', async () => {
    await using host = startHost();
    const session = await host.load(await endless(), 'cpu');
    const running = session.run({ x: matrix });
    setTimeout(() => process.kill(children()[0]?.pid as number, 'SIGKILL'), 300);
    await expect(running).rejects.toThrow(RuntimeFailure);
    await expect(running).rejects.toThrow(/The inference process was ended by SIGKILL, most likely for want of memory/);
    await expect(host.load(await doubling(), 'cpu')).rejects.toThrow(/ended by SIGKILL/);
    await session[Symbol.asyncDispose]();
  });

  it('does not start when it is already aborted', () => {
    expect(() => startHost(AbortSignal.abort(new Error('never mind')))).toThrow('never mind');
  });

  it('takes no more calls once it is closed', async () => {
    const host = startHost();
    await host[Symbol.asyncDispose]();
    await expect(host.peakBytes()).rejects.toThrow(/has been closed/);
    await host[Symbol.asyncDispose]();
  });

  /** A process in place of the real one: it answers `load`, and does `act` when it is asked to run. */
  const acting = async (act: string) => {
    const path = join(await temporaryFolder(), 'entry.mjs');
    const answer = "process.send({ id, value: request.op === 'load' ? 7 : { outputs: {}, milliseconds: 1 } })";
    await writeFile(
      path,
      `let runs = 0; process.on('message', ({ id, request }) => { if (request.op === 'run') { runs += 1; ${act} } ${answer}; });`,
    );
    return pathToFileURL(path);
  };
  const seconds = (load: number, run: number): Patience => ({ load: load * 1000, run: () => run * 1000 });

  it.each([
    ['is silent', 'setTimeout(() => {}, 1e6); return;'],
    ['blocks its thread', 'for (;;);'],
  ])('ends a process that %s in mid-run, and says what it was doing and what to do', async (_, act) => {
    await using host = startHost(undefined, { entry: await acting(act), patience: seconds(60, 0.5) });
    const session = await host.load('unet/model.onnx', 'webgpu');
    const running = session.run({ x: floats(1) });
    await expect(running).rejects.toMatchObject({ name: 'RuntimeFailure', blame: 'machine' });
    await expect(running).rejects.toThrow(
      /^The inference process gave no answer for 0\.5 s while running unet\/model\.onnx on webgpu and was ended: .* --device, .* LCM_MERGE_PATIENCE=SECONDS allows more time\.$/,
    );
    await vi.waitFor(() => expect(children()).toEqual([]), { timeout: 5000 });
    await expect(host.peakBytes()).rejects.toThrow(/gave no answer/);
    await session[Symbol.asyncDispose]();
  });

  it('ends a process that does not load a graph', async () => {
    const path = join(await temporaryFolder(), 'entry.mjs');
    await writeFile(path, "process.on('message', () => { for (;;); });");
    await using host = startHost(undefined, { entry: pathToFileURL(path), patience: seconds(0.5, 60) });
    await expect(host.load('unet/model.onnx', 'webgpu')).rejects.toThrow(
      /gave no answer for 0\.5 s while loading unet\/model\.onnx on webgpu and was ended/,
    );
  });

  it('holds a run to what the last one of its lengths took, and counts only the time that it is its turn', async () => {
    const asked: unknown[] = [];
    const patience: Patience = { load: 60_000, run: (work) => asked.push(work) && 1000 };
    const entry = await acting('const end = Date.now() + 400; while (Date.now() < end);');
    await using host = startHost(undefined, { entry, patience });
    const session = await host.load('model.onnx', 'cpu');
    // four runs of 400 ms that are asked for at once: none of them takes a second
    await Promise.all([1, 2, 3, 4].map(() => session.run({ x: floats(1) }, 5e9)));
    await session.run({ x: floats(1) }, 5e9);
    await session.run({ x: floats(1, 2) });
    expect(asked.slice(3)).toEqual([{ flops: 5e9 }, { flops: 5e9, slowest: 1 }, {}]);
  });

  it.each([
    [
      "process.kill(process.pid, 'SIGKILL')",
      'memory',
      /was ended by SIGKILL, most likely for want of memory, while running m\.onnx on cuda\. The memory is not enough/,
    ],
    [
      "process.kill(process.pid, 'SIGSEGV')",
      'machine',
      /was ended by SIGSEGV while running m\.onnx on cuda\..* lcm-merge doctor tries them all/,
    ],
    [
      "process.stderr.write('the driver says goodbye'); process.exit(3)",
      'machine',
      /exited with code 3 while running m\.onnx on cuda\. It said: the driver says goodbye\./,
    ],
  ])('blames not the graph where the process ends by itself: %s', async (act, blame, message) => {
    await using host = startHost(undefined, { entry: await acting(`${act}; for (;;);`) });
    const session = await host.load('m.onnx', 'cuda');
    const running = session.run({ x: floats(1) });
    await expect(running).rejects.toThrow(message);
    await expect(running).rejects.toMatchObject({ name: 'RuntimeFailure', blame });
    expect(children()).toEqual([]);
  });

  it('leaves nothing on the process that started it', async () => {
    const before = process.listenerCount('exit');
    for (let i = 0; i < 2; i += 1) {
      await using host = startHost();
      await using other = startHost();
      await Promise.all([host.peakBytes(), other.peakBytes()]);
      expect(process.listenerCount('exit')).toBe(before + 1);
    }
    await vi.waitFor(() => expect(process.listenerCount('exit')).toBe(before));
  });

  it('gives the log of loading whole, again and again', async () => {
    await using host = startHost();
    const path = await doubling();
    for (let i = 0; i < 3; i += 1) {
      const log = await host.loadingLog(path, 'cpu');
      expect(log).toContain('All nodes placed on [CPUExecutionProvider]. Number of nodes: 1');
      expect(log.endsWith(END_OF_LOG)).toBe(true);
    }
    await expect(host.loadingLog(`${path}.missing`, 'cpu')).rejects.toThrow(/missing does not load on cpu/);
    await using session = await host.load(path, 'cpu');
    expect(first(await session.run({ x: floats(4) }))).toBe(8);
  });
});

/** `doctor`: what this machine has, and whether each device really computes: a small graph is run on every one, in a child process. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { env } from 'onnxruntime-node';
import { addInput, addOutput, createGraph, floatConstant, rootScope } from '../../onnx/graph.ts';
import { Add } from '../../onnx/ops.ts';
import { serializeModel } from '../../onnx/proto.ts';
import { type Device, type DeviceInfo, listDevices } from '../../runtime/device.ts';
import { startHost } from '../../runtime/host.ts';
import { VERSION } from '../../version.ts';
import type { Command } from '../context.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatBytes, formatDuration, table } from '../format.ts';
import { type Paint, sanitise } from '../terminal.ts';

/** A driver that takes longer for one addition hangs. */
const PATIENCE = 30_000;

/** How to get a device that does not work. */
const REMEDIES: Readonly<Record<Device, string>> = {
  cpu: 'Its library comes with onnxruntime-node: install again with `npm ci`.',
  webgpu:
    'It needs a graphics driver: Vulkan on Linux (libvulkan1 and the driver of the card), Metal or Direct3D 12 elsewhere.',
  cuda: 'Its libraries are not in the npm package: on Linux x64 run `node node_modules/onnxruntime-node/script/install.js --onnxruntime-node-install=cuda12`, and install CUDA 12 and cuDNN 9.',
};

type Trial = { readonly device: Device; readonly bundled: boolean } & (
  | { readonly works: true; readonly milliseconds: number }
  | { readonly works: false; readonly reason: string; readonly remedy: string }
);

export const doctor: Command<'doctor'> = async (_, { signal, paint }) => {
  await using folder = await temporaryFolder();
  const model = join(folder.path, 'addition.onnx');
  await writeFile(model, additionModel());
  const devices: Trial[] = [];
  for (const info of listDevices()) devices.push(await tryDevice(info, model, signal));
  const value = {
    tool: VERSION,
    node: process.versions.node,
    onnxruntime: env.versions.node ?? env.versions.common,
    sharp: await sharpVersion(),
    platform: `${process.platform}-${process.arch}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    memory: { total: totalmem(), free: freemem() },
    devices,
  };
  const usable = devices.some(({ device, works }) => device === 'cpu' && works) && value.sharp !== null;
  return { value, text: render(value, paint), exitCode: usable ? EXIT_CODES.done : EXIT_CODES.unavailable };
};

async function tryDevice({ device, bundled }: DeviceInfo, model: string, signal: AbortSignal): Promise<Trial> {
  const started = performance.now();
  try {
    await using host = startHost(AbortSignal.any([signal, AbortSignal.timeout(PATIENCE)]));
    const session = await host.load(model, device);
    const {
      outputs: { y },
    } = await session.run({ x: { type: 'float32', dims: [2], data: Float32Array.of(1, 2) } });
    const sum = y?.data.join();
    if (sum !== '2,3') throw new Error(`1 + 1 and 2 + 1 gave ${sum} instead of 2,3`);
    return { device, bundled, works: true, milliseconds: performance.now() - started };
  } catch (error) {
    signal.throwIfAborted();
    const timedOut = error instanceof DOMException && error.name === 'TimeoutError';
    const reason = timedOut
      ? `no answer within ${formatDuration(PATIENCE)}`
      : error instanceof Error
        ? error.message
        : String(error);
    return {
      device,
      bundled,
      works: false,
      reason: reason.replaceAll(model, 'the graph').trim(),
      remedy: REMEDIES[device],
    };
  }
}

/** y = x + 1 on `[2]`. */
function additionModel(): Uint8Array {
  const graph = createGraph('addition');
  const scope = rootScope(graph, 'float32');
  addOutput(scope, Add(scope, addInput(graph, 'x', 'float32', [2]), floatConstant(graph, 'float32', [1])), 'y');
  return serializeModel(graph, { producerVersion: VERSION });
}

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'lcm-merge-doctor-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/** Null where its binary for this platform is not installed. */
async function sharpVersion(): Promise<string | null> {
  return import('sharp').then(
    ({ default: sharp }) => `${sharp.versions.sharp ?? 'unknown'} (libvips ${sharp.versions.vips})`,
    () => null,
  );
}

interface Findings {
  readonly tool: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly sharp: string | null;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly memory: { readonly total: number; readonly free: number };
  readonly devices: readonly Trial[];
}

function render({ tool, node, onnxruntime, sharp, platform, cpu, memory, devices }: Findings, paint: Paint): string {
  const missing = 'missing: pictures cannot be written; install again with `npm ci`, without --omit=optional';
  const facts = [
    ['lcm-merge', tool],
    ['Node', node],
    ['onnxruntime', onnxruntime],
    ['sharp', sharp ?? missing],
    ['platform', platform],
    ['processor', `${cpu.cores} × ${cpu.model}`],
    ['memory', `${formatBytes(memory.total)}, ${formatBytes(memory.free)} free`],
  ];
  const lines = devices.flatMap((trial) =>
    trial.works
      ? [
          `${paint('green', '✓')} ${trial.device}: computes (${formatDuration(trial.milliseconds)} from start to answer)`,
        ]
      : [`${paint('red', '✗')} ${trial.device}: ${sanitise(trial.reason)}`, `    ${trial.remedy}`],
  );
  return [table(facts), '', paint('bold', 'Devices'), ...lines].join('\n');
}

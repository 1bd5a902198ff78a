/** Does a device compute? One addition in a child process of its own tells; drivers that hang or abort harm nobody else. */
import { UnavailableError } from '../errors.ts';
import { addInput, addOutput, createGraph, floatConstant, rootScope } from '../onnx/graph.ts';
import { Add } from '../onnx/ops.ts';
import { serializeModel } from '../onnx/proto.ts';
import { VERSION } from '../version.ts';
import type { Device } from './device.ts';
import { remedyFor, remedyText } from './device-remedies.ts';
import { plainWords } from './faults.ts';
import { startHost } from './host.ts';

/** A driver that takes longer for one addition hangs. */
const PATIENCE = 30_000;

/**
 * Resolves to the milliseconds from start to answer.
 * @throws UnavailableError saying what went wrong and how to get the device.
 */
export async function probeDevice(device: Device, signal?: AbortSignal): Promise<number> {
  const started = performance.now();
  const patience = AbortSignal.timeout(PATIENCE);
  try {
    await using host = startHost(signal ? AbortSignal.any([signal, patience]) : patience);
    const session = await host.load(additionModel(), device, { wholly: device !== 'cpu' });
    const { outputs } = await session.run({ x: { type: 'float32', dims: [2], data: Float32Array.of(1, 2) } });
    const sum = outputs['y']?.data.join();
    if (sum !== '2,3') throw new Error(`1 + 1 and 2 + 1 gave ${sum} instead of 2,3`);
    return performance.now() - started;
  } catch (error) {
    signal?.throwIfAborted();
    const reason = patience.aborted
      ? `it gave no answer within ${PATIENCE / 1000} s.`
      : plainWords(error instanceof Error ? error.message : String(error));
    throw new UnavailableError(
      `The device ${device} does not work here: ${reason}`,
      remedyText(remedyFor(device, reason)),
    );
  }
}

/** y = x + 1 on `[2]`. */
function additionModel(): Uint8Array {
  const graph = createGraph('addition');
  const scope = rootScope(graph, 'float32');
  addOutput(scope, Add(scope, addInput(graph, 'x', 'float32', [2]), floatConstant(graph, 'float32', [1])), 'y');
  return serializeModel(graph, { producerVersion: VERSION });
}

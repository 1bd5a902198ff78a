/** The child process of host.ts: answers one request after the other with onnxruntime-node. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { HostRequest, HostTensor } from './host.ts';

const sessions = new Map<number, { readonly name: string; readonly session: InferenceSession }>();
let nextSession = 0;

/** Errors only: the fp16 graph on a CPU makes onnxruntime warn of every cast that it puts in. */
const LOG_SEVERITY_ERROR = 3;

const answers = {
  async load({ model, device, wholly = false }: Extract<HostRequest, { op: 'load' }>) {
    const options = {
      executionProviders: [device],
      graphOptimizationLevel: 'all',
      logSeverityLevel: LOG_SEVERITY_ERROR,
      ...(wholly && { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
    } as const;
    const loading =
      typeof model === 'string' ? InferenceSession.create(model, options) : InferenceSession.create(model, options);
    const name = typeof model === 'string' ? model : 'The graph';
    const session = await loading.catch((error: unknown) => {
      throw new Error(`${name} does not load on ${device}: ${explained(message(error))}`);
    });
    sessions.set(nextSession, { name, session });
    nextSession += 1;
    return nextSession - 1;
  },
  async run({ session: id, feeds }: Extract<HostRequest, { op: 'run' }>) {
    const { name, session } = sessions.get(id) as { name: string; session: InferenceSession };
    const tensors = Object.fromEntries(
      Object.entries(feeds).map(([input, { type, data, dims }]) => [
        input,
        type === 'int64'
          ? new Tensor('int64', data as BigInt64Array, dims)
          : new Tensor('float32', data as Float32Array, dims),
      ]),
    );
    const started = performance.now();
    const results = await session.run(tensors).catch((error: unknown) => {
      throw new Error(`${name} fails when it runs: ${message(error)}`);
    });
    const milliseconds = performance.now() - started;
    const outputs = Object.fromEntries(
      Object.entries(results).map(([output, tensor]) => [
        output,
        { type: tensor.type, dims: tensor.dims, data: tensor.data } as HostTensor,
      ]),
    );
    return { outputs, milliseconds };
  },
  async release({ session: id }: Extract<HostRequest, { op: 'release' }>) {
    await sessions.get(id)?.session.release();
    sessions.delete(id);
  },
  async memory() {
    return process.resourceUsage().maxRSS * 1024;
  },
};

/** What onnxruntime says of things that can be helped, and how. */
const REMEDIES: readonly (readonly [RegExp, string])[] = [
  [
    /requires f16 but the device does not support it/,
    'Its driver has no 16-bit floats (the WebGPU feature shader-f16): bake with output.dtype: fp32, or run on the CPU.',
  ],
];

function explained(text: string): string {
  const remedy = REMEDIES.find(([pattern]) => pattern.test(text))?.[1];
  return remedy === undefined ? text : `${text.replace(/[.\s]*$/, '.')} ${remedy}`;
}

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

let queue = Promise.resolve();

process.on('message', ({ id, request }: { id: number; request: HostRequest }) => {
  queue = queue.then(async () => {
    const reply = await answers[request.op](request as never).then(
      (value) => ({ id, value }),
      (error: unknown) => ({ id, error: message(error) }),
    );
    // awaited: a message that is only queued behind the next blocking run would be late, or lost at the end
    await new Promise((sent) => process.send?.(reply, sent));
  });
});
// a terminal's Ctrl-C reaches the whole group; when to stop is the parent's decision
process.on('SIGINT', () => undefined);
process.on('disconnect', () => process.exit(0));

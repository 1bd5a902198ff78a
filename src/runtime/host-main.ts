/** The child process of host.ts: answers one request after the other with onnxruntime-node. */
import { writeSync } from 'node:fs';
import { basename } from 'node:path';
import { InferenceSession, Tensor } from '../onnx/onnxruntime.ts';
import { END_OF_LOG, type HostRequest, type HostTensor } from './host.ts';

/** As many as threads.ts says; without a number onnxruntime's own choice. */
const [, , threads] = process.argv;

const sessions = new Map<number, { readonly name: string; readonly session: InferenceSession }>();
let nextSession = 0;

/** Errors only: the fp16 graph on a CPU makes onnxruntime warn of every cast that it puts in. */
const LOG_SEVERITY_ERROR = 3;
const LOG_SEVERITY_VERBOSE = 0;

const answers = {
  async load(request: Extract<HostRequest, { op: 'load' }>) {
    const session = await open(request, LOG_SEVERITY_ERROR);
    sessions.set(nextSession, { name: nameOf(request), session });
    nextSession += 1;
    return nextSession - 1;
  },
  /** The log goes to stderr by itself. */
  async describe(request: Extract<HostRequest, { op: 'describe' }>) {
    const session = await open(request, LOG_SEVERITY_VERBOSE);
    await session.release();
    writeSync(STDERR, END_OF_LOG);
  },
  async optimise(request: Extract<HostRequest, { op: 'optimise' }>) {
    const session = await open(request, LOG_SEVERITY_ERROR, {
      graphOptimizationLevel: 'basic',
      optimizedModelFilePath: request.into,
      extra: { session: { optimized_model_external_initializers_file_name: `${basename(request.into)}_data` } },
    });
    await session.release();
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

/** COREML_FLAG_CREATE_MLPROGRAM: the older kind of CoreML model has no float16 (coreml_provider_factory.h). */
const COREML = { name: 'coreml', coreMlFlags: 0x010 };

/** By its number: Node's process.stderr, once it is looked at, does not block, and what onnxruntime writes then is lost. */
const STDERR = 2;

type Opening = Extract<HostRequest, { op: 'load' | 'describe' | 'optimise' }>;

async function open(
  request: Opening,
  logSeverityLevel: 0 | 3,
  more: InferenceSession.SessionOptions = {},
): Promise<InferenceSession> {
  const { model, device, wholly = false, unoptimised = false } = request;
  const options = {
    executionProviders: [device === 'coreml' ? COREML : device],
    graphOptimizationLevel: unoptimised ? 'disabled' : 'all',
    logSeverityLevel,
    ...(threads !== undefined && { intraOpNumThreads: Number(threads) }),
    ...(wholly && { extra: { session: { disable_cpu_ep_fallback: '1' } } }),
    ...more,
  } as const;
  const loading =
    typeof model === 'string' ? InferenceSession.create(model, options) : InferenceSession.create(model, options);
  return loading.catch((error: unknown) => {
    throw new Error(`${nameOf(request)} does not load on ${device}: ${message(error)}`);
  });
}

const nameOf = ({ model }: Opening) => (typeof model === 'string' ? model : 'The graph');

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

/**
 * One session of bench/memory.ts in a process of its own: loads a package's UNet as it is told, then runs it, and says when each is
 * over. What the process holds meanwhile is measured from outside, because load and run block the thread.
 */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { createGenerator } from '../src/runtime/noise.ts';

/** What the parent asks for: onnxruntime-node's session options, and how often to run. */
export interface Order {
  readonly model: string;
  /** `[1, 4, F, h, w]` */
  readonly sample: readonly number[];
  /** `[1, 77, D]` */
  readonly states: readonly number[];
  readonly options: InferenceSession.SessionOptions;
  readonly runs: number;
}

export interface Phase {
  readonly phase: 'loaded' | 'run';
  readonly milliseconds: number;
  /** Of all threads together: on a machine with other work this says more than the time on the clock. */
  readonly cpu: number;
  /** Of the output, so that settings which change the numbers are seen. */
  readonly norm?: number;
}

const tell = (message: Phase) => new Promise((sent) => process.send?.(message, sent));
const noise = (seed: number, dims: readonly number[]) =>
  new Tensor('float32', createGenerator(seed).randn(dims.reduce((n, dim) => n * dim, 1)), dims);

process.on('message', async ({ model, sample, states, options, runs }: Order) => {
  let clock = startClock();
  const session = await InferenceSession.create(model, { logSeverityLevel: 3, ...options });
  await tell({ phase: 'loaded', ...clock() });
  const feeds = {
    sample: noise(1, sample),
    timestep: new Tensor('int64', BigInt64Array.of(499n), []),
    encoder_hidden_states: noise(2, states),
  };
  for (let i = 0; i < runs; i += 1) {
    clock = startClock();
    const { out_sample } = await session.run(feeds);
    const took = clock();
    await tell({ phase: 'run', ...took, norm: Math.hypot(...chunkNorms(out_sample?.data as Float32Array)) });
  }
  process.disconnect();
});

/** Milliseconds since, on the clock and of the cores. */
function startClock(): () => Pick<Phase, 'milliseconds' | 'cpu'> {
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  return () => {
    const { user, system } = process.cpuUsage(cpu);
    return { milliseconds: performance.now() - started, cpu: (user + system) / 1000 };
  };
}

/** Norms of pieces: Math.hypot takes no more arguments than a stack holds. */
function chunkNorms(data: Float32Array): number[] {
  const norms = [];
  for (let i = 0; i < data.length; i += 1024) norms.push(Math.hypot(...data.subarray(i, i + 1024)));
  return norms;
}

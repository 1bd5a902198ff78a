/**
 * How long an inference process may be silent before it is taken to hang: so long that only a hanging driver needs it. A run that has
 * been done before is held to what it took then, the first one to its work at the rate of the slowest device that is of any use.
 */
import { UsageError } from '../errors.ts';

/** Milliseconds to load a graph: 2.6 GB of weights over a slow network, kernels made for the device. */
const LOADING = 10 * 60_000;

/** Before the first answer of a graph a software adapter compiles shaders for minutes. */
const FIRST = 10 * 60_000;

/** FLOP/s: a fifth of what two cores do. */
const SLOWEST_RATE = 1e10;

/** Where the work is not known it is that of a step of SD1.5 with 16 frames of 512². */
const LARGEST_WORK = 1.8e13;

/** A run that comes again takes as long as the last time, a busy machine or a throttled one some times that. */
const [AGAIN_AT_LEAST, AGAIN_FACTOR] = [60_000, 20];

/** What setTimeout can wait for. */
const MAX_PATIENCE = 2 ** 31 - 1;

export interface Patience {
  readonly load: number;
  /** Of a run of so many operations, the longest of its kind having taken `slowest` milliseconds so far. */
  run(work: { readonly flops?: number | undefined; readonly slowest?: number | undefined }): number;
}

/** @throws UsageError when LCM_MERGE_PATIENCE is no number of seconds. */
export function patienceOf(env: Readonly<Record<string, string | undefined>> = process.env): Patience {
  const { LCM_MERGE_PATIENCE: wish } = env;
  if (wish === undefined || wish === '') {
    return {
      load: LOADING,
      run: ({ flops = LARGEST_WORK, slowest }) =>
        Math.min(
          MAX_PATIENCE,
          slowest === undefined
            ? FIRST + (flops / SLOWEST_RATE) * 1000
            : Math.max(AGAIN_AT_LEAST, AGAIN_FACTOR * slowest),
        ),
    };
  }
  const seconds = Number(wish);
  if (!(seconds > 0)) throw new UsageError(`LCM_MERGE_PATIENCE is a number of seconds; "${wish}" is none.`);
  const limit = Math.min(MAX_PATIENCE, seconds * 1000);
  return { load: limit, run: () => limit };
}

/**
 * How many threads work on a graph on the CPU. onnxruntime takes as many as the machine has cores, also where a container or an affinity
 * allows fewer of them: they then wait for each other in busy loops.
 */
import { availableParallelism, cpus } from 'node:os';
import { UsageError } from '../errors.ts';

/** More than any machine has. */
const MOST = 1024;

/** Undefined: onnxruntime's own choice. @throws UsageError when LCM_MERGE_THREADS is no number of threads */
export function threadsOf(
  env: Readonly<Record<string, string | undefined>> = process.env,
  { allowed, present }: { readonly allowed: number; readonly present: number } = {
    allowed: availableParallelism(),
    present: cpus().length,
  },
): number | undefined {
  const { LCM_MERGE_THREADS: wish } = env;
  if (wish === undefined || wish === '') return allowed < present ? allowed : undefined;
  const threads = Number(wish);
  if (Number.isInteger(threads) && threads >= 1 && threads <= MOST) return threads;
  throw new UsageError(`LCM_MERGE_THREADS is a number of threads from 1 to ${MOST}; "${wish}" is none.`);
}

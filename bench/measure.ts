/**
 * What every benchmark here has in common. Machines are noisy and slow down under others' load, so contenders take turns
 * within one run and are told apart by ratios; the load average stands beside the figures.
 */
import { availableParallelism, loadavg, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Contender {
  readonly name: string;
  /** One repetition; its milliseconds, without preparation and tidying up. */
  readonly run: () => Promise<number>;
}

export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Thread pools spin for a while after their last task; the next contender is not to pay for that. */
const PAUSE_MS = 300;

/** Milliseconds of each contender, who take turns `runs` times after one round that is not counted. */
export async function takeTurns(contenders: readonly Contender[], runs: number): Promise<number[][]> {
  const times: number[][] = contenders.map(() => []);
  for (let round = 0; round <= runs; round += 1) {
    for (const [i, { run }] of contenders.entries()) {
      await sleep(PAUSE_MS);
      const milliseconds = await run();
      if (round > 0) times[i]?.push(milliseconds);
    }
  }
  return times;
}

export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const at = (index: number) => sorted[index] as number;
  return { median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2, min: at(0), max: at(sorted.length - 1) };
}

export function formatRow(name: string, { median, min, max }: Summary, rest = ''): string {
  const columns = [median, min, max].map((value) => value.toFixed(value < 10 ? 2 : 0).padStart(9)).join('');
  return `${name.padEnd(26)}${columns}   ${rest}`.trimEnd();
}

/**
 * A row of ratios round by round (what loaded one contender in a round most likely loaded the other too), and the ratio of
 * the two minima, which says most on a loaded machine.
 */
export function formatRatio(name: string, times: readonly number[], reference: readonly number[]): string {
  const rounds = summarize(times.map((milliseconds, i) => milliseconds / (reference[i] as number)));
  const minima = summarize(times).min / summarize(reference).min;
  return formatRow(name, rounds, `of the minima ${minima.toFixed(2)}`);
}

export function formatHeader(unit: string): string {
  return `${unit.padEnd(26)}${['median', 'min', 'max'].map((title) => title.padStart(9)).join('')}`;
}

export function describeMachine(): string {
  return `Node ${process.versions.node}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB RAM`;
}

/** Average of runnable tasks over the last minute; above the number of cores, the figures are of a crowded machine. */
export function describeLoad(): string {
  return (loadavg()[0] as number).toFixed(1);
}

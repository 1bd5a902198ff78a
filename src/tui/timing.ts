/** Where the time of a run went, line by line, each against the recipe's budget where there is one. Source: the gate's report. */
import { formatBytes, formatDuration } from '../text/quantity.ts';
import { type Budgets, warmStep } from '../verify/checks/timing.ts';
import type { Findings } from '../verify/report.ts';
import type { StageRow } from './job.ts';
import type { Mark } from './marks.ts';

export interface TimingRow {
  readonly label: string;
  readonly value: string;
  /** How much of it was used. */
  readonly budget?: { readonly mark: Extract<Mark, 'passed' | 'failed'>; readonly share: string; readonly of: string };
}

/** Undefined when the run did not end. A figure that has a budget is the one that the check `timing` judged: the better of two runs, where it ran twice. */
export function timingRows({ device, timing, checks }: Omit<Findings, 'verdict'>): readonly TimingRow[] | undefined {
  if (!timing) return undefined;
  const figures = checks.find(({ id }) => id === 'timing')?.figures ?? {};
  const row = (label: string, name: string, measured: number, format: (value: number) => string): TimingRow => {
    const [judged, allowed] = [figures[name], figures[`budget_${name}`]];
    const value = typeof judged === 'number' ? judged : measured;
    return against(label, value, typeof allowed === 'number' ? allowed : undefined, format);
  };
  const { load_ms, denoise_ms, step_ms, decode_ms, peak_bytes } = timing;
  return [
    { label: 'device', value: device },
    { label: 'load', value: formatDuration(load_ms) },
    row('denoise', 'denoise_ms', denoise_ms, formatDuration),
    { label: 'steps', value: steps(step_ms) }, // of the first run
    row('a step', 'step_ms', warmStep(step_ms), formatDuration),
    row('decode', 'decode_ms', decode_ms, formatDuration),
    row('memory', 'peak_bytes', peak_bytes, formatBytes),
    ...(figures['runs'] === 2 ? [{ label: 'runs', value: '2, the better counts' }] : []),
  ];
}

/** Of a run that goes on, as far as it has told; a step is judged as the gate will judge it. */
export function runningRows(
  { startedAt, progress, took = [], finished }: StageRow,
  { denoise_ms, step_ms }: Budgets,
  now: number,
): readonly TimingRow[] {
  const total = took.reduce((sum, milliseconds) => sum + milliseconds, 0);
  return [
    { label: 'run', value: formatDuration(finished?.milliseconds ?? now - startedAt) },
    ...(progress ? [{ label: 'done', value: `${progress.done} of ${progress.total} ${progress.unit}` }] : []),
    ...(took.length > 0
      ? [
          against('denoise', total, denoise_ms, formatDuration),
          { label: 'steps', value: steps(took) },
          against('a step', warmStep(took), step_ms, formatDuration),
        ]
      : []),
  ];
}

function against(
  label: string,
  value: number,
  allowed: number | undefined,
  format: (value: number) => string,
): TimingRow {
  if (allowed === undefined) return { label, value: format(value) };
  const mark = value <= allowed ? 'passed' : 'failed';
  return { label, value: format(value), budget: { mark, share: share(value / allowed), of: format(allowed) } };
}

/** More than these are told by the fastest and the slowest. */
const MAX_STEPS = 4;

/** `412 87 88 86 ms` */
function steps(milliseconds: readonly number[]): string {
  if (milliseconds.length > MAX_STEPS) {
    const [fastest, slowest] = [Math.min(...milliseconds), Math.max(...milliseconds)].map(Math.round);
    return `${milliseconds.length}, ${fastest}–${slowest} ms each`;
  }
  return `${milliseconds.map(Math.round).join(' ')} ms`;
}

/** `0.6%`, `98%`, `3.2×` */
function share(ratio: number): string {
  return ratio > 1 ? `${Number(ratio.toPrecision(2))}×` : `${Number((ratio * 100).toPrecision(2))}%`;
}

/**
 * Which device `auto` is: the fastest of those that are installed and answer. First they multiply matrices, which weeds out software
 * adapters in a moment; those that keep up with the CPU compute a small UNet (yardstick.ts), which must come out as on the CPU.
 */
import { LcmMergeError } from '../errors.ts';
import type { FloatType } from '../export/targets/target.ts';
import { formatCount, threeFigures } from '../text/quantity.ts';
import { assertOffered, type Device, type DeviceInfo, listDevices, TRAITS } from './device.ts';
import { kernelFault } from './graph-target.ts';
import { startHost } from './host.ts';
import { matrixRate } from './rates.ts';
import { relativeRms } from './relative-rms.ts';
import { yardstick } from './yardstick.ts';

/** What came of a device. */
export interface DeviceTrial {
  readonly device: Device;
  /** FLOP/s of float32 matrix products. */
  readonly products?: number;
  /** For a step of the small UNet; of those that have it, the fastest is taken. */
  readonly milliseconds?: number;
  /** Why it is left out, a sentence. */
  readonly reason?: string;
}

export interface DeviceChoice {
  readonly device: Device;
  /** Of `auto`, the fastest first; empty where a device was asked for by its name. */
  readonly trials: readonly DeviceTrial[];
}

/** Milliseconds for each of the two trials of a device: process, kernels and a few runs. A driver that takes longer is of no use. */
const BUDGET = 10_000;

/** Runs are repeated for so many milliseconds, the first one not counted; the fastest tells. */
const [MEASURING, MAX_RUNS] = [150, 10];

/** A device that multiplies at less than this share of the CPU's rate does not make it up elsewhere. */
const LEAST_SHARE = 0.5;

/** ‖found − CPU's‖ / ‖CPU's‖: sums in fp16 were seen to be 2e-2 away (onnx.md §0); what is wrong is 1e-1 and more. */
const MAX_ERROR: Readonly<Record<FloatType, number>> = { float32: 1e-3, float16: 5e-2 };

/** What this process has measured, by the type that weights have. */
const known = new Map<FloatType, Promise<DeviceChoice>>();

/**
 * `type`: of the weights, since devices differ in what they can compute in.
 * @throws UnavailableError when this build has no such device.
 */
export async function chooseDevice(
  wanted: Device | 'auto',
  type: FloatType,
  signal?: AbortSignal,
): Promise<DeviceChoice> {
  assertOffered(wanted);
  if (wanted !== 'auto') return { device: wanted, trials: [] };
  const shared = known.get(type);
  if (!shared) {
    const choosing = measureDevices(type, { signal });
    known.set(type, choosing);
    choosing.catch(() => known.delete(type)); // it was interrupted
    return choosing;
  }
  return shared.catch(() => {
    signal?.throwIfAborted();
    return chooseDevice(wanted, type, signal); // not by us
  });
}

export interface Measurements {
  /** FLOP/s. */
  readonly products: (device: Device, signal?: AbortSignal) => Promise<number>;
  readonly step: (device: Device, type: FloatType, signal?: AbortSignal) => Promise<MeasuredStep>;
}

export interface MeasuredStep {
  readonly milliseconds: number;
  readonly output: Float32Array;
}

export interface MeasureOptions {
  readonly devices?: readonly DeviceInfo[];
  readonly signal?: AbortSignal | undefined;
  readonly measure?: Measurements;
}

/** Where the CPU is alone, nothing is measured. */
export async function measureDevices(
  type: FloatType,
  { devices = listDevices(), signal, measure = MEASURE }: MeasureOptions = {},
): Promise<DeviceChoice> {
  const leftOut: DeviceTrial[] = [];
  /** Undefined, and the reason noted, where the device fails or does not answer in time. */
  const attempt = async <T>(device: Device, trial: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> => {
    const patience = AbortSignal.timeout(BUDGET);
    try {
      return await trial(signal ? AbortSignal.any([signal, patience]) : patience);
    } catch (error) {
      signal?.throwIfAborted();
      if (!patience.aborted && !(error instanceof LcmMergeError)) throw error;
      const reason = patience.aborted
        ? `It gave no answer within ${BUDGET / 1000} s.`
        : (error as LcmMergeError).message;
      leftOut.push({ device, reason });
      return undefined;
    }
  };

  const answering: { readonly device: Device; readonly products: number }[] = [];
  for (const { device } of devices.filter(({ device, installed }) => installed && device !== 'cpu')) {
    const products = await attempt(device, (limited) => measure.products(device, limited));
    if (products !== undefined) answering.push({ device, products });
  }
  if (answering.length === 0) return { device: 'cpu', trials: leftOut };

  const cpu = { device: 'cpu', products: await measure.products('cpu', signal) } as const;
  const quick = answering.filter(({ products }) => products >= LEAST_SHARE * cpu.products);
  for (const { device, products } of answering.filter((trial) => !quick.includes(trial))) {
    const reason = `It multiplies matrices at ${formatCount(products, 'FLOP/s')}, the CPU at ${formatCount(cpu.products, 'FLOP/s')}.`;
    leftOut.push({ device, products, reason });
  }
  if (quick.length === 0) return { device: 'cpu', trials: [cpu, ...leftOut] };

  const reference = await measure.step('cpu', type, signal);
  const measured: (DeviceTrial & MeasuredTime)[] = [{ ...cpu, milliseconds: reference.milliseconds }];
  for (const trial of quick) {
    const step = await attempt(trial.device, (limited) => measure.step(trial.device, type, limited));
    if (!step) continue;
    const error = relativeRms(step.output, reference.output);
    if (error <= MAX_ERROR[type]) measured.push({ ...trial, milliseconds: step.milliseconds });
    else
      leftOut.push({
        ...trial,
        reason: `It computes wrongly: a small UNet is ${error.toExponential(1)} away from the CPU's.`,
      });
  }
  measured.sort((a, b) => a.milliseconds - b.milliseconds);
  return { device: measured[0]?.device ?? 'cpu', trials: [...measured, ...leftOut] };
}

type MeasuredTime = Required<Pick<DeviceTrial, 'milliseconds'>>;

/** `auto: cuda 3.10 ms, cpu 24.0 ms for a step of a small UNet`, or undefined where nothing was measured. */
export function describeChoice({ trials }: Pick<DeviceChoice, 'trials'>): string | undefined {
  const steps = trials.flatMap(({ device, milliseconds }) =>
    milliseconds === undefined ? [] : [`${device} ${threeFigures(milliseconds)} ms`],
  );
  if (steps.length > 0) return `auto: ${steps.join(', ')} for a step of a small UNet`;
  const rates = trials.flatMap(({ device, products }) =>
    products === undefined ? [] : [`${device} ${formatCount(products, 'FLOP/s')}`],
  );
  return rates.length > 0 ? `auto: ${rates.join(', ')} of matrix products` : undefined;
}

const MEASURE: Measurements = {
  async products(device, signal) {
    await using host = startHost(signal);
    return await matrixRate(host, device, 'float32'); // before the process goes
  },
  /** @throws RuntimeFailure when the device does not compute, or not all of it. */
  async step(device, type, signal) {
    const { target, fallback } = TRAITS[device];
    const isSound = (await kernelFault(device, signal)) === undefined;
    const { model, feeds } = yardstick(isSound ? target : 'portable', type); // as targetFor has it
    await using host = startHost(signal);
    const session = await host.load(model, device, { wholly: isSound && fallback === 'refused' });
    const { outputs } = await session.run(feeds); // makes kernels, touches memory
    const ended = performance.now() + MEASURING;
    let fastest = Infinity;
    for (let run = 0; run < MAX_RUNS && (run === 0 || performance.now() < ended); run += 1)
      fastest = Math.min(fastest, (await session.run(feeds)).milliseconds);
    return { milliseconds: fastest, output: outputs['out_sample']?.data as Float32Array };
  },
};

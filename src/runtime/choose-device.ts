/**
 * Which device `auto` is: the fastest of those that are installed, answer, and compute a small UNet (yardstick.ts) as the CPU does. A
 * software adapter loses by what it measures, a driver that hangs or errs is left out with the reason.
 */
import { LcmMergeError } from '../errors.ts';
import type { FloatType } from '../export/targets/target.ts';
import { assertOffered, type Device, type DeviceInfo, listDevices, TRAITS } from './device.ts';
import { kernelFault } from './graph-target.ts';
import { startHost } from './host.ts';
import { relativeRms } from './relative-rms.ts';
import { threeFigures } from '../text/quantity.ts';
import { yardstick } from './yardstick.ts';

/** What came of a device: milliseconds for a step of the small UNet, or why it is left out. */
export type DeviceTrial =
  | { readonly device: Device; readonly milliseconds: number }
  | { readonly device: Device; readonly reason: string };

export interface DeviceChoice {
  readonly device: Device;
  /** Of `auto`; empty where a device was asked for by its name. */
  readonly trials: readonly DeviceTrial[];
}

/** Milliseconds for all that is tried of one device: processes, kernels and a few runs. A driver that takes longer is of no use. */
const BUDGET = 10_000;

/** Runs are repeated for so many milliseconds, the first one not counted; the fastest tells. */
const [MEASURING, MAX_RUNS] = [150, 10];

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
  const choosing = known.get(type) ?? measureDevices(type, { signal });
  known.set(type, choosing);
  choosing.catch(() => known.delete(type)); // it was interrupted
  return choosing;
}

export interface MeasureOptions {
  readonly devices?: readonly DeviceInfo[];
  readonly signal?: AbortSignal | undefined;
  readonly measure?: (device: Device, type: FloatType, signal?: AbortSignal) => Promise<Measured>;
}

/** A device that is alone is not measured. */
export async function measureDevices(
  type: FloatType,
  { devices = listDevices(), signal, measure = measureStep }: MeasureOptions = {},
): Promise<DeviceChoice> {
  const answers: [Device, Measured][] = [];
  const leftOut: DeviceTrial[] = [];
  for (const { device } of devices.filter(({ device, installed }) => installed && device !== 'cpu')) {
    const patience = AbortSignal.timeout(BUDGET);
    try {
      answers.push([device, await measure(device, type, signal ? AbortSignal.any([signal, patience]) : patience)]);
    } catch (error) {
      signal?.throwIfAborted();
      if (!patience.aborted && !(error instanceof LcmMergeError)) throw error;
      const reason = patience.aborted
        ? `It did not compute a small UNet within ${BUDGET / 1000} s.`
        : (error as LcmMergeError).message;
      leftOut.push({ device, reason });
    }
  }
  if (answers.length === 0) return { device: 'cpu', trials: leftOut };
  const reference = await measure('cpu', type, signal);
  const measured: { readonly device: Device; readonly milliseconds: number }[] = [
    { device: 'cpu', milliseconds: reference.milliseconds },
  ];
  for (const [device, { milliseconds, output }] of answers) {
    const error = relativeRms(output, reference.output);
    if (error <= MAX_ERROR[type]) measured.push({ device, milliseconds });
    else leftOut.push({ device, reason: `It computes a small UNet ${error.toExponential(1)} away from the CPU.` });
  }
  measured.sort((a, b) => a.milliseconds - b.milliseconds);
  return { device: (measured[0] as { device: Device }).device, trials: [...measured, ...leftOut] };
}

/** `auto: cuda 3.1 ms, cpu 24 ms for a step of a small UNet`, or undefined where there was nothing to choose. */
export function describeChoice({ trials }: DeviceChoice): string | undefined {
  if (trials.length === 0) return undefined;
  const measured = trials.flatMap((trial) =>
    'milliseconds' in trial ? [`${trial.device} ${threeFigures(trial.milliseconds)} ms`] : [],
  );
  return measured.length > 0
    ? `auto: ${measured.join(', ')} for a step of a small UNet`
    : `auto: ${trials.map(({ device }) => device).join(' and ')} cannot be used here`;
}

interface Measured {
  readonly milliseconds: number;
  readonly output: Float32Array;
}

/** @throws RuntimeFailure when the device does not compute, or not all of it. */
async function measureStep(device: Device, type: FloatType, signal?: AbortSignal): Promise<Measured> {
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
}

/** `doctor`: what this machine has, and whether each device really computes, and how fast: small graphs are run on every one, in a child process. */
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { env } from 'onnxruntime-node';
import { LcmMergeError, UnavailableError } from '../../errors.ts';
import { type Device, type DeviceInfo, listDevices } from '../../runtime/device.ts';
import { startHost } from '../../runtime/host.ts';
import { probeDevice } from '../../runtime/probe.ts';
import { type DeviceRates, measureRates } from '../../runtime/rates.ts';
import { VERSION } from '../../version.ts';
import type { Command } from '../context.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatBytes, formatCount, formatDuration, table } from '../format.ts';
import { type Paint, sanitise } from '../terminal.ts';

type Trial = {
  readonly device: Device;
  readonly installed: boolean;
} /** `rates` is what the device does at best; why it cannot be told, where it cannot. */ & (
  | { readonly works: true; readonly milliseconds: number; readonly rates: DeviceRates | { readonly reason: string } }
  | { readonly works: false; readonly reason: string; readonly remedy: string }
);

export const doctor: Command<'doctor'> = async (_, { signal, paint }) => {
  const devices: Trial[] = [];
  for (const info of listDevices()) devices.push(await tryDevice(info, signal));
  const value = {
    tool: VERSION,
    node: process.versions.node,
    onnxruntime: env.versions.node ?? env.versions.common,
    sharp: await sharpVersion(),
    platform: `${process.platform}-${process.arch}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    memory: { total: totalmem(), free: freemem() },
    devices,
  };
  const usable = devices.some(({ device, works }) => device === 'cpu' && works) && value.sharp !== null;
  return { value, text: render(value, paint), exitCode: usable ? EXIT_CODES.done : EXIT_CODES.unavailable };
};

async function tryDevice({ device, installed }: DeviceInfo, signal: AbortSignal): Promise<Trial> {
  try {
    const milliseconds = await probeDevice(device, signal);
    return { device, installed, works: true, milliseconds, rates: await ratesOf(device, signal) };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return { device, installed, works: false, reason: error.reason, remedy: error.remedy };
  }
}

async function ratesOf(device: Device, signal: AbortSignal): Promise<DeviceRates | { readonly reason: string }> {
  try {
    await using host = startHost(signal);
    return await measureRates(host, device, ['float32', 'float16']);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof LcmMergeError)) throw error;
    return { reason: error.message };
  }
}

/** Null where its binary for this platform is not installed. */
async function sharpVersion(): Promise<string | null> {
  return import('sharp').then(
    ({ default: sharp }) => `${sharp.versions.sharp ?? 'unknown'} (libvips ${sharp.versions.vips})`,
    () => null,
  );
}

interface Findings {
  readonly tool: string;
  readonly node: string;
  readonly onnxruntime: string;
  readonly sharp: string | null;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly memory: { readonly total: number; readonly free: number };
  readonly devices: readonly Trial[];
}

function render({ tool, node, onnxruntime, sharp, platform, cpu, memory, devices }: Findings, paint: Paint): string {
  const missing = 'missing: pictures cannot be written; install again with `npm ci`, without --omit=optional';
  const facts = [
    ['lcm-merge', tool],
    ['Node', node],
    ['onnxruntime', onnxruntime],
    ['sharp', sharp ?? missing],
    ['platform', platform],
    ['processor', `${cpu.cores} × ${cpu.model}`],
    ['memory', `${formatBytes(memory.total)}, ${formatBytes(memory.free)} free`],
  ];
  const lines = devices.flatMap((trial) =>
    trial.works
      ? [
          `${paint('green', '✓')} ${trial.device}: computes (${formatDuration(trial.milliseconds)} from start to answer)`,
          `    ${sanitise(describeRates(trial.rates))}`,
        ]
      : [`${paint('red', '✗')} ${trial.device}: ${sanitise(trial.reason)}`, `    ${trial.remedy}`],
  );
  return [table(facts), '', paint('bold', 'Devices'), ...lines].join('\n');
}

/** What every cost and limit is held against (docs/cost-model.md). */
function describeRates(rates: DeviceRates | { readonly reason: string }): string {
  if ('reason' in rates) return `its rates cannot be measured: ${rates.reason}`;
  const products = Object.entries(rates.matrix).map(([type, rate]) => `${formatCount(rate, 'FLOP/s')} in ${type}`);
  return `matrix products ${products.join(', ')}; memory ${formatBytes(rates.copy)}/s`;
}

/**
 * `doctor`: what this machine has; of every device whether it computes and how fast, or what is missing and the command that adds it;
 * and what `auto` would take. Small graphs are run on every one, in a child process.
 */
import { existsSync } from 'node:fs';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { LcmMergeError, UnavailableError } from '../../errors.ts';
import { EXIT_CODES } from '../../exit-codes.ts';
import { env } from '../../onnx/onnxruntime.ts';
import { chooseDevice, type DeviceChoice, type DeviceTrial } from '../../runtime/choose-device.ts';
import { type Device, type DeviceInfo, listDevices } from '../../runtime/device.ts';
import { remedyFor } from '../../runtime/device-remedies.ts';
import { startHost } from '../../runtime/host.ts';
import { probeDevice } from '../../runtime/probe.ts';
import { type DeviceRates, measureRates } from '../../runtime/rates.ts';
import { table, wrap } from '../../text/columns.ts';
import { formatBytes, formatCount, formatDuration } from '../../text/quantity.ts';
import { type Paint, sanitise } from '../../text/terminal.ts';
import { VERSION } from '../../version.ts';
import type { Command } from '../context.ts';

/** `missing`: its libraries are not there; `silent`: they are, and it gives no answer. */
type DeviceState =
  | {
      readonly state: 'works';
      readonly milliseconds: number;
      /** What the device does at best; why it cannot be told, where it cannot. */
      readonly rates: DeviceRates | { readonly reason: string };
      /** A driver that computes on the CPU: there is no card. */
      readonly software?: true;
    }
  | {
      readonly state: 'silent' | 'missing';
      readonly reason: string;
      readonly remedy: string;
      readonly command?: string;
    };

type Finding = Pick<DeviceInfo, 'device' | 'installed'> & { readonly works: boolean } & DeviceState;

export const doctor: Command<'doctor'> = async (_, { signal, paint }) => {
  const devices: Finding[] = [];
  for (const info of listDevices()) devices.push(await examine(info, signal));
  const value = {
    tool: VERSION,
    node: process.versions.node,
    onnxruntime: env.versions.node ?? env.versions.common,
    sharp: await sharpVersion(),
    platform: `${process.platform}-${process.arch}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    memory: { total: totalmem(), free: freemem() },
    devices,
    auto: await chooseDevice('auto', 'float16', signal), // what packages are in if the recipe does not say otherwise
  };
  const usable = devices.some(({ device, works }) => device === 'cpu' && works) && value.sharp !== null;
  return { value, text: render(value, paint), exitCode: usable ? EXIT_CODES.done : EXIT_CODES.unavailable };
};

async function examine({ device, installed }: DeviceInfo, signal: AbortSignal): Promise<Finding> {
  if (!installed) {
    const reason = `libonnxruntime_providers_${device}.so is not beside onnxruntime-node's own library.`;
    return { device, installed, works: false, state: 'missing', reason, ...lacking(device, reason) };
  }
  try {
    const milliseconds = await probeDevice(device, signal);
    const software = device === 'webgpu' && !hasCard();
    const rates = await ratesOf(device, signal);
    return { device, installed, works: true, state: 'works', milliseconds, rates, ...(software && { software }) };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    const reason = error.reason.replace(`The device ${device} does not work here: `, '');
    return { device, installed, works: false, state: 'silent', reason, ...lacking(device, reason) };
  }
}

function lacking(device: Device, reason: string) {
  const { needs, command } = remedyFor(device, reason);
  return { remedy: needs, ...(command !== undefined && { command }) };
}

/** Linux has a file for every card, DirectX in WSL included; elsewhere there is no telling, and hardly a machine without. */
function hasCard(): boolean {
  return process.platform !== 'linux' || ['/dev/dri', '/dev/nvidia0', '/dev/dxg'].some((path) => existsSync(path));
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
  readonly devices: readonly Finding[];
  readonly auto: DeviceChoice;
}

/** Lines end here, but for commands, which stay whole. */
const COLUMNS = 80;

function render(found: Findings, paint: Paint): string {
  const { tool, node, onnxruntime, sharp, platform, cpu, memory, devices, auto } = found;
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
  return [
    table(facts),
    '',
    paint('bold', 'Devices'),
    ...devices.flatMap((finding) => describe(finding, paint)),
    '',
    `${paint('bold', 'auto')} takes ${auto.device}`,
    ...auto.trials.flatMap((trial) => indented(`${trial.device}: ${describeTrial(trial)}`)),
  ].join('\n');
}

function describe(finding: Finding, paint: Paint): string[] {
  const { device } = finding;
  if (finding.state === 'works') {
    const software = finding.software ? ', in software: there is no card' : '';
    return [
      `${paint('green', '✓')} ${device} works${software} (${formatDuration(finding.milliseconds)} from start to answer)`,
      ...indented(describeRates(finding.rates)),
    ];
  }
  const { reason, remedy, command } = finding;
  return [
    `${paint('red', '✗')} ${device} ${finding.state === 'missing' ? 'is missing' : 'is installed and does not answer'}`,
    ...indented(reason),
    ...indented(command === undefined ? remedy : `${remedy} This adds it:`),
    ...(command === undefined ? [] : [`      ${command}`]),
  ];
}

function indented(text: string): string[] {
  return wrap(sanitise(text), COLUMNS - INDENT.length).map((line) => `${INDENT}${line}`);
}

const INDENT = '    ';

function describeTrial({ milliseconds, reason }: DeviceTrial): string {
  return milliseconds === undefined
    ? (reason ?? 'the fastest at products of matrices')
    : `${formatDuration(milliseconds)} for a step of a small UNet`;
}

/** What every cost and limit is held against (docs/cost-model.md). */
function describeRates(rates: DeviceRates | { readonly reason: string }): string {
  if ('reason' in rates) return `Its rates cannot be measured: ${rates.reason}`;
  const products = Object.entries(rates.matrix).map(([type, rate]) => `${formatCount(rate, 'FLOP/s')} in ${type}`);
  return `matrix products ${products.join(', ')}; memory ${formatBytes(rates.copy)}/s`;
}

/**
 * Load time and memory of a package's UNet under onnxruntime-node's session options, each in a process of its own.
 *
 *     node bench/memory.ts PACKAGE [--only "all;basic"] [--runs 2]
 *
 * Anonymous memory is the process's own; file-backed memory is the mapped weight file (and onnxruntime's code, 40 MB), which the
 * system may drop at any time and read again. Linux only: figures come from /proc/PID/status, read every few milliseconds.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { InferenceSession } from 'onnxruntime-node';
import { openPackage } from '../src/runtime/package-folder.ts';
import { describeLoad, describeMachine } from './measure.ts';
import type { Order, Phase } from './memory-once.ts';

type Options = InferenceSession.SessionOptions;

/** onnxruntime's keys for what has no option of its own; the binding passes them on. */
const keys = (session: Record<string, string>, rest: Record<string, unknown> = {}) =>
  ({ extra: { session, ...rest } }) as Options;

const all = { graphOptimizationLevel: 'all' } as const;
const noArena = { enableCpuMemArena: false } as const;
const noPrepacking = { disable_prepacking: '1' };
const noFolding = { optimization: { disable_specified_optimizers: 'ConstantFolding' } };

const SETTINGS: Readonly<Record<string, Options>> = {
  all,
  extended: { graphOptimizationLevel: 'extended' },
  basic: { graphOptimizationLevel: 'basic' },
  disabled: { graphOptimizationLevel: 'disabled' },
  'all, no arena': { ...all, ...noArena },
  'all, no pattern': { ...all, enableMemPattern: false },
  'all, no arena, no pattern': { ...all, ...noArena, enableMemPattern: false },
  'all, no prepacking': { ...all, ...keys(noPrepacking) },
  'all, no prepacking, no arena': { ...all, ...noArena, ...keys(noPrepacking) },
  'all, initializers outside arena': { ...all, ...keys({ use_device_allocator_for_initializers: '1' }) },
  'all, no constant folding': { ...all, ...keys({}, noFolding) },
  'all, no constant folding, no arena': { ...all, ...noArena, ...keys({}, noFolding) },
  'basic, no prepacking': { graphOptimizationLevel: 'basic', ...keys(noPrepacking) },
  'all, no spinning': { ...all, ...keys({ intra_op: { allow_spinning: '0' } } as never) },
};

interface Memory {
  readonly anonymous: number;
  readonly file: number;
}

/** Undefined once the process is gone. */
function memoryOf(pid: number): Memory | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
    return { anonymous: bytes('RssAnon'), file: bytes('RssFile') };
  } catch {
    return undefined;
  }
}

/** The most of each since it was last asked. */
function watch(pid: number) {
  const now = () => memoryOf(pid) ?? { anonymous: 0, file: 0 };
  let most = now();
  let total = 0;
  const timer = setInterval(() => {
    const { anonymous, file } = now();
    most = { anonymous: Math.max(most.anonymous, anonymous), file: Math.max(most.file, file) };
    total = Math.max(total, anonymous + file);
  }, 5);
  return {
    now,
    take() {
      const taken = { ...most, total };
      most = now();
      total = most.anonymous + most.file;
      return taken;
    },
    stop: () => clearInterval(timer),
  };
}

const entry = fileURLToPath(new URL('./memory-once.ts', import.meta.url));
const gb = (bytes: number) => (bytes / 1e9).toFixed(2).padStart(6);

async function measure(name: string, order: Order): Promise<void> {
  const child = fork(entry, { serialization: 'advanced' });
  const watching = watch(child.pid as number);
  const columns: string[] = [];
  const seconds: string[] = [];
  let norm = 0;
  child.on('message', (message: Phase) => {
    const [most, now] = [watching.take(), watching.now()];
    if (message.phase === 'loaded' || seconds.length === 0)
      columns.push(`${gb(most.anonymous)} ${gb(now.anonymous)} ${gb(now.file)}`);
    const time = `${(message.milliseconds / 1000).toFixed(1)} (${(message.cpu / 1000).toFixed(1)})`;
    if (message.phase === 'loaded') columns.unshift(time.padStart(14));
    else seconds.push(time);
    norm = message.norm ?? norm;
  });
  child.send(order);
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  watching.stop();
  const end = code === 0 ? '' : `  ended with ${signal ?? code}`;
  console.log(`${name.padEnd(36)}${columns.join('  | ')}  | ${seconds.join(' ')}  (‖ε‖ ${norm.toFixed(4)})${end}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    runs: { type: 'string', default: '2' },
    model: { type: 'string', default: 'model.onnx' },
  },
});
const folder = positionals[0] as string;
const pkg = await openPackage(folder);
const { graph, lock } = pkg;
const output = lock?.recipe.output;
if (output === undefined) throw new Error(`${folder} has no lock that says its clip's size.`);
const width = (JSON.parse(readFileSync(join(folder, 'text_encoder/config.json'), 'utf8')) as { hidden_size: number })
  .hidden_size;
const sample = [graph.batch ?? 1, 4, output.frames, output.height / 8, output.width / 8];
const chosen = values.only?.split(';') ?? Object.keys(SETTINGS);
console.log(`${folder}: ${output.frames} frames of ${output.width}×${output.height}, ${output.dtype}`);
console.log(`${describeMachine()}, load ${describeLoad()}; memory in GB`);
console.log(
  `${'session options'.padEnd(36)}load s (of CPU) | most anonymous, then anonymous, file-backed: load | the same: first run | seconds of each run (of CPU)`,
);
for (const name of chosen) {
  const options = SETTINGS[name];
  if (!options) throw new Error(`${name} is none of ${Object.keys(SETTINGS).join('; ')}.`);
  await measure(name, {
    model: join(folder, 'unet', values.model),
    sample,
    states: [graph.batch ?? 1, 77, width],
    options,
    runs: Number(values.runs),
  });
}

/**
 * `lcm-merge diff` on two packages of a real UNet's size, against reading both files and against `cmp`: what bounds it is how fast bytes
 * come, and what it is asked for beyond that is arithmetic on those that differ. docs/performance.md has the figures.
 *
 *     node bench/diff.ts [--megabytes 1200] [--runs 3] [--dir /tmp] [--cold]
 *
 * `--cold` makes the system forget both files before each run (dd's nocache), so that the disk is what bounds it; without it they are in memory.
 * Four packages are written to a folder that is removed: one, a copy, one of which every tenth tensor is other, and one of which every weight is.
 */
import { execFile } from 'node:child_process';
import { mkdir, mkdtempDisposable, open, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { diffPackages } from '../src/compare/diff/package-diff.ts';
import { drain } from '../src/events.ts';
import { openFile } from '../src/formats/byte-source.ts';
import { readAhead } from '../src/merge/read-ahead.ts';
import { addInput, addOutput, createGraph, parameter, rootScope } from '../src/onnx/graph.ts';
import * as op from '../src/onnx/ops.ts';
import { serializeModel } from '../src/onnx/proto.ts';
import {
  type Contender,
  describeLoad,
  describeMachine,
  formatHeader,
  formatRatio,
  formatRow,
  summarize,
  takeTurns,
} from './measure.ts';

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '1200' },
    runs: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
    cold: { type: 'boolean', default: false },
  },
});

/** Of each tensor: `[1280, 1280]` in fp16, the shape of most of SD1.5's weight. */
const [SIDE, BYTES] = [1280, 1280 * 1280 * 2];
const tensors = Math.ceil((Number(values.megabytes) * 1e6) / BYTES);
const names = Array.from(
  { length: tensors },
  (_, i) => `down_blocks.2.attentions.${i % 2}.transformer_blocks.${i}.attn1.to_q.weight`,
);

/** A chain of products, so that every weight is used. */
function graph(): Uint8Array {
  const built = createGraph('bench');
  const scope = rootScope(built, 'float16');
  let x = addInput(built, 'sample', 'float16', [1, SIDE]);
  for (const name of names) x = op.MatMul(scope, x, parameter(scope, name, [SIDE, SIDE]));
  addOutput(scope, x, 'out_sample');
  const external = new Map(
    names.map((name, i) => [name, { location: 'model.onnx_data', offset: i * BYTES, length: BYTES }]),
  );
  return serializeModel(built, { external, producerVersion: '0' });
}

/** Weights of the size that trained ones have; `moved` says of which tensors all values are others. */
async function write(folder: string, moved: (tensor: number) => boolean): Promise<string> {
  await mkdir(join(folder, 'unet'), { recursive: true });
  await writeFile(join(folder, 'unet', 'model.onnx'), graph());
  const own = Float16Array.from(
    { length: SIDE * SIDE },
    (_, i) => 0.03 * Math.sin(i * 1.7) + 0.01 * Math.cos(i * 0.013),
  );
  const other = own.map((value, i) => value + (i % 2 === 0 ? 0.002 : -0.001));
  await using file = await open(join(folder, 'unet', 'model.onnx_data'), 'w');
  for (const i of names.keys()) await file.write(new Uint8Array((moved(i) ? other : own).buffer));
  await file.sync();
  return folder;
}

async function timed(folders: readonly string[], work: () => Promise<unknown>): Promise<number> {
  if (values.cold) for (const folder of folders) await run('dd', [`if=${data(folder)}`, 'iflag=nocache', 'count=0']);
  const started = performance.now();
  await work();
  return performance.now() - started;
}

/** Both files to their end, piece by piece, the next pieces while these are thrown away. */
async function readBoth(a: string, b: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const [x, y] = [stack.use(await openFile(data(a))), stack.use(await openFile(data(b)))];
  const piece = 1 << 20;
  const pieces = Array.from({ length: Math.floor(x.size / piece) }, (_, i) => i * piece);
  const reading = readAhead(pieces, (at, { take }) =>
    Promise.all([x.read(at, piece, take(piece)), y.read(at, piece, take(piece))]),
  );
  for await (const _ of reading);
}

const data = (folder: string) => join(folder, 'unet', 'model.onnx_data');
const run = promisify(execFile);

await using scratch = await mkdtempDisposable(join(values.dir, 'lcm-merge-bench-diff-'));
const at = (name: string) => join(scratch.path, name);
const [a, copy, some, all] = [
  await write(at('a'), () => false),
  await write(at('copy'), () => false),
  await write(at('some'), (i) => i % 10 === 0),
  await write(at('all'), () => true),
];
const contender = (name: string, other: string, work: () => Promise<unknown>): Contender => ({
  name,
  run: () => timed([a, other], work),
});
const contenders = [
  contender('read both files', copy, () => readBoth(a, copy)),
  contender('cmp, equal files', copy, () => run('cmp', [data(a), data(copy)])),
  contender('diff, equal', copy, () => drain(diffPackages(a, copy))),
  contender('diff, a tenth differs', some, () => drain(diffPackages(a, some))),
  contender('diff, all differs', all, () => drain(diffPackages(a, all))),
];
const times = await takeTurns(contenders, Number(values.runs));
const bytes = tensors * BYTES;
console.log(`${describeMachine()}; load ${describeLoad()}; 2 × ${(bytes / 1e9).toFixed(2)} GB in ${tensors} tensors\n`);
console.log(formatHeader('milliseconds'));
for (const [i, { name }] of contenders.entries()) {
  const summary = summarize(times[i] as number[]);
  console.log(formatRow(name, summary, `${((2 * bytes) / summary.min / 1e6).toFixed(2)} GB/s`));
}
console.log(`\n${formatHeader('against reading both')}`);
for (const [i, { name }] of contenders.entries())
  if (i > 0) console.log(formatRatio(name, times[i] as number[], times[0] as number[]));
console.log(`\npeak memory of this process: ${Math.round(process.resourceUsage().maxRSS / 1024)} MB`);

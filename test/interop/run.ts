/**
 * Packages in other people's hands: runs every example in examples/ and holds what comes out against PyTorch. Bakes recipes/tiny.yaml and two
 * variants, makes Python environments where none are given, prints a table, and exits with 1 when anything failed.
 *
 *     npm run test:interop -- [--python PYTHON] [--optimum-python PYTHON] [--only NAME] [--reuse] [--dir out/interop]
 *
 * NAME is a script of test/interop, `node` or `browser`; --reuse takes the packages and PyTorch's answers of the last run.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { bakeCases, CASES, type Case, CLIP } from './cases.ts';
import { type Environment, openEnvironment } from './environment.ts';

interface Figure {
  readonly what: string;
  readonly value: number;
  readonly limit: number;
  readonly unit: string;
  readonly ok: boolean;
}
type Finding = Figure | { readonly what: string; readonly skipped: string };

interface Outcome {
  readonly name: string;
  readonly case: string;
  readonly verdict: 'passed' | 'failed' | 'skipped';
  readonly reason: string;
  readonly findings: readonly Finding[];
}

const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    'optimum-python': { type: 'string' },
    only: { type: 'string' },
    reuse: { type: 'boolean', default: false },
    dir: { type: 'string', default: 'out/interop' },
  },
});
const PYTHON_SCRIPTS = [
  { name: 'onnxruntime_only', environment: 'main' },
  { name: 'diffusers_pipeline', environment: 'main' },
  { name: 'openvino_video', environment: 'main' },
  { name: 'optimum_parts', environment: 'optimum' },
] as const;
/** Of the columns of the table. */
const WIDTHS = [8, 20, 8, 9, 20];
const BROWSER_TEST = 'examples/browser/test.ts';

/** No progress bars, no advice, nothing fetched (everything is on the disk), and threads that wait without spinning. */
const QUIET = {
  TQDM_DISABLE: '1',
  PYTHONWARNINGS: 'ignore',
  TRANSFORMERS_VERBOSITY: 'error',
  HF_HUB_OFFLINE: '1',
  OMP_WAIT_POLICY: 'PASSIVE',
};

const outcomes: Outcome[] = [];
const wanted = (name: string) => values.only === undefined || name === values.only;

/** Runs a command; lines of JSON on its stdout, as figures.py writes them, are findings, the others are shown. */
async function run(
  command: string,
  args: readonly string[],
  cwd = '.',
): Promise<{ code: number; findings: Finding[] }> {
  const child = spawn(command, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...QUIET } });
  let [out, complaint] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-3000);
  });
  const code = await new Promise<number>((done) => {
    child.on('error', (error) => {
      complaint += error.message;
      done(127);
    });
    child.on('close', (status) => done(status ?? 1));
  });
  const lines = out.split('\n').filter((line) => line.trim() !== '');
  const isFinding = (line: string) => line.startsWith('{"what":');
  for (const line of lines.filter((line) => !isFinding(line))) console.log(`  ${line}`);
  if (code !== 0) console.log(complaint.trimEnd());
  return { code, findings: lines.filter(isFinding).map((line) => JSON.parse(line)) };
}

function record(name: string, on: string, code: number, findings: readonly Finding[]): void {
  const broken = findings.filter((finding) => 'ok' in finding && !finding.ok);
  const failed = code !== 0 || broken.length > 0 || findings.length === 0;
  const reason = code !== 0 && broken.length === 0 ? `exit code ${code}` : broken.map(({ what }) => what).join('; ');
  for (const finding of findings) console.log(describe(finding));
  outcomes.push({ name, case: on, verdict: failed ? 'failed' : 'passed', reason, findings });
}

function skip(name: string, on: string, reason: string, isFailure = false): void {
  outcomes.push({ name, case: on, verdict: isFailure ? 'failed' : 'skipped', reason, findings: [] });
}

async function runPython(environment: Environment, name: string, { name: on }: Case): Promise<void> {
  if (typeof environment !== 'string') return skip(name, on, environment.reason, !environment.missing);
  console.log(`${name}, ${on}`);
  const { code, findings } = await run(environment, [join('test/interop', `${name}.py`), join(values.dir, on)]);
  record(name, on, code, findings);
}

/** The latents that the command line gives, beside which a Python program's are laid. */
async function runCommandLine({ name, frames, width, height }: Case): Promise<void> {
  const folder = join(values.dir, name);
  const size = ['--frames', frames, '--width', width, '--height', height].map(String);
  const { prompt, seed, steps } = CLIP;
  const clip = ['--prompt', prompt, '--seed', String(seed), '--steps', String(steps), ...size];
  const files = ['-o', join(folder, 'run'), '--save-latents', join(folder, 'run.safetensors')];
  const { code } = await run(process.execPath, [
    'src/cli.ts',
    'run',
    join(folder, 'package'),
    ...clip,
    ...files,
    '--quiet',
  ]);
  if (code !== 0) throw new Error(`lcm-merge run failed on the package ${name}.`);
}

/** The Node example against PyTorch's frames: it imports `lcm-merge` by its name, so it runs what was built. */
async function runNode(on: Case, hasReference: boolean): Promise<void> {
  const folder = join(values.dir, on.name);
  console.log(`node, ${on.name}`);
  const example = resolve('examples/node/sample.mjs');
  const { code } = await run(
    process.execPath,
    [example, resolve(folder, 'package'), String(CLIP.seed), CLIP.prompt],
    folder,
  );
  if (code !== 0) return record('node', on.name, code, []);
  const made = join(folder, `${CLIP.prompt.replaceAll(' ', '-')}.webp`);
  const { data, info } = await sharp(made, { pages: -1 }).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const shape = `${info.width}×${info.height}`;
  if (!hasReference)
    return skip('node', on.name, `it ran (frames of ${shape}), and there is no PyTorch to compare with`);
  const expected = new Uint8Array(await readFile(join(folder, 'frames.bin')));
  const off = Array.from(expected, (value, i) => Math.abs(value - (data[i] ?? Number.NaN)));
  const wrong = (off.filter((n) => !(n <= 1)).length / off.length) * 100;
  const largest =
    expected.length === data.length ? off.reduce((most, n) => Math.max(most, n), 0) : Number.POSITIVE_INFINITY;
  record('node', on.name, 0, [
    { what: 'frames, values off by more than a level', value: wrong, limit: 1, unit: '%', ok: wrong <= 1 },
    { what: 'frames, largest difference', value: largest, limit: 8, unit: 'levels', ok: largest <= 8 },
  ]);
}

async function runBrowser(): Promise<void> {
  if (!existsSync(BROWSER_TEST)) return skip('browser', 'tiny', `${BROWSER_TEST} is not there`);
  console.log('browser');
  const { code, findings } = await run(process.execPath, [BROWSER_TEST]);
  const passed = { what: 'its own test', value: code, limit: 0, unit: 'exit code', ok: code === 0 };
  record('browser', 'tiny', code, [passed, ...findings]);
}

function describe(finding: Finding): string {
  if ('skipped' in finding) return `    –  ${finding.what}: skipped, ${finding.skipped}`;
  const { what, value, limit, unit, ok } = finding;
  return `    ${ok ? 'ok' : 'NO'} ${what}: ${withUnit(value, unit)} (limit ${withUnit(limit, '')})`;
}

function withUnit(value: number, unit: string): string {
  const isSmall = value !== 0 && Math.abs(value) < 0.01;
  return `${isSmall ? value.toExponential(1) : Number(value.toFixed(3))}${unit && ` ${unit}`}`;
}

function tableRow(...cells: readonly string[]): string {
  return cells.map((cell, i) => cell.padEnd(WIDTHS[i] as number)).join(' ');
}

await mkdir(values.dir, { recursive: true });
if (!values.reuse) {
  await bakeCases(values.dir);
  for (const one of CASES) await runCommandLine(one);
}
const main = await openEnvironment(values.python, join(values.dir, 'venv'), 'examples/python/requirements.txt');
if (typeof main === 'string') {
  for (const { name } of values.reuse ? [] : CASES) {
    const { code } = await run(main, ['test/interop/reference.py', join(values.dir, name)]);
    if (code !== 0) throw new Error(`PyTorch gave no reference for the package ${name}.`);
  }
  for (const script of PYTHON_SCRIPTS.filter(({ name }) => wanted(name))) {
    const environment =
      script.environment === 'main'
        ? main
        : await openEnvironment(
            values['optimum-python'],
            join(values.dir, 'venv-optimum'),
            'examples/python/requirements-optimum.txt',
          );
    for (const one of CASES) await runPython(environment, script.name, one);
  }
} else {
  for (const { name } of PYTHON_SCRIPTS) skip(name, 'all', main.reason, !main.missing);
}
if (wanted('node')) {
  const { code } = await run('npm', ['run', 'build', '--silent']);
  if (code === 0) await runNode(CASES[0] as Case, typeof main === 'string');
  else skip('node', 'tiny', `npm run build ended with exit code ${code}`, true);
}
if (wanted('browser')) await runBrowser();

console.log();
console.log(tableRow('', 'example', 'package', 'latents', 'largest pixel error'));
for (const { name, case: on, verdict, reason, findings } of outcomes) {
  const figureOf = (pattern: RegExp) => {
    const found = findings.find((finding) => pattern.test(finding.what));
    return found && 'value' in found ? withUnit(found.value, found.unit) : '';
  };
  console.log(tableRow(verdict, name, on, figureOf(/^latents/), figureOf(/largest difference$/)) + reason);
}
await writeFile(join(values.dir, 'results.json'), `${JSON.stringify(outcomes, null, 2)}\n`);
const count = (verdict: Outcome['verdict']) => outcomes.filter((outcome) => outcome.verdict === verdict).length;
console.log(`\n${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
process.exitCode = count('failed') > 0 ? 1 : 0;

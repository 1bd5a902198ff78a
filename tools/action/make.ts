/**
 * The action's main step: `lcm-merge RECIPE`, then `lcm-merge publish`, and what came of them as outputs, summary and annotation. It ends with
 * the exit code of the program.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { annotateError, environment, setOutputs, summarise, withoutCommands } from './runner.ts';
import { type Attempt, summaryOf } from './summary.ts';

const PROGRAM = join(environment('GITHUB_ACTION_PATH'), 'dist/cli.js');

/** Its log goes where ours goes; its result is one object. */
function lcmMerge(verb: string, args: readonly string[]): Promise<Attempt> {
  const child = spawn(process.execPath, [PROGRAM, verb, '--json', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => child.kill(signal));
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === null) reject(new Error(`lcm-merge was ended by ${signal}.`));
      else resolve({ exitCode: code, value: stdout === '' ? {} : JSON.parse(stdout) });
    });
  });
}

/** An empty input is one that was not given. */
const option = (name: string, value: string) => (value === '' ? [] : [name, value]);

/** One argument per line: none is split, so that none needs quotes. */
const lines = (name: string) =>
  environment(name)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

const made = await withoutCommands(() =>
  lcmMerge('make', [
    ...option('--out', environment('INPUT_OUT')),
    ...option('--device', environment('INPUT_DEVICE')),
    ...option('--profile', environment('INPUT_PROFILE')),
    ...lines('INPUT_ARGS'),
    '--',
    environment('INPUT_RECIPE'),
  ]),
);
const { package: folder = '', verdict } = made.value;
const to = environment('INPUT_PUBLISH_TO');
const sent =
  verdict === 'passed' && to !== ''
    ? await withoutCommands(() => lcmMerge('publish', ['--to', to, ...lines('INPUT_PUBLISH_ARGS'), '--', folder]))
    : undefined;
const { published = '', pullRequest } = { ...made.value, ...sent?.value };
const { exitCode } = sent ?? made;

const verification = join(folder, 'verification');
const existing = (path: string) => (folder !== '' && existsSync(path) ? path : '');
setOutputs({
  package: folder,
  verdict,
  verification: existing(verification),
  report: existing(join(verification, 'report.json')),
  fingerprint: existing(join(verification, 'fingerprint.json')),
  published,
  digest: published.includes('://') ? published.split('@')[1] : '',
  'pull-request': pullRequest,
  'exit-code': String(exitCode),
});
summarise(summaryOf(made, sent));
const complaint = (sent ?? made).value.error?.message;
if (exitCode !== 0)
  annotateError(complaint ?? `${folder} has not passed verification: ${verdict}. The job's summary says why.`);
process.exitCode = exitCode;

/** action.yml as GitHub would run it: its own scripts, in bash, with the environment of a runner, on the tiny family. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { temporaryFolder } from '../helpers/temporary.ts';
import { golden, writeKey } from '../sign/golden-bundles.ts';

interface Step {
  readonly name: string;
  readonly id?: string;
  readonly if?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly 'working-directory'?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly with?: Readonly<Record<string, string>>;
}

interface Action {
  readonly inputs: Readonly<Record<string, { readonly default?: string }>>;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly steps: readonly Step[] };
}

const TEXT = await readFile('action.yml', 'utf8');
const ACTION = parse(TEXT) as Action;
const SCRIPTS = ACTION.runs.steps.filter(({ run }) => run !== undefined);

type Values = Readonly<Record<string, unknown>>;

/** An expression of GitHub's, as far as action.yml goes: names, texts in quotes, ==, !=, &&, ||, always(). */
function evaluate(expression: string, context: Values): string {
  const [either, ...others] = expression.split('||');
  if (others.length > 0) return evaluate(either ?? '', context) || evaluate(others.join('||'), context);
  let last = '';
  for (const term of expression.split('&&').map((text) => text.trim())) {
    const [, left = '', operator, right = ''] = /^(.*?)(?: (==|!=) (.*))?$/.exec(term) ?? [];
    const value = (text: string): string => {
      if (text === 'always()') return 'true';
      if (text.startsWith("'")) return text.slice(1, -1);
      const found = text.split('.').reduce<unknown>((values, name) => (values as Values | undefined)?.[name], context);
      return (found as string | undefined) ?? '';
    };
    if (operator === undefined) last = value(left);
    else last = (value(left) === value(right)) === (operator === '==') ? 'true' : '';
    if (last === '') return '';
  }
  return last;
}

const filled = (text: string, context: Values) =>
  text.replaceAll(/\$\{\{(.*?)\}\}/g, (_, expression: string) => evaluate(expression.trim(), context));

const filledAll = (texts: Readonly<Record<string, string>> = {}, context: Values) =>
  Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, filled(text, context)]));

/** The files in which a step leaves outputs: `name<<delimiter`, lines, delimiter. */
function outputsOf(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^([^\n]+)<<([^\n]+)\n(.*?)\n\2\n/gms)].map(([, name, , value]) => [name, value] as const),
  );
}

interface Ran {
  readonly outputs: Readonly<Record<string, string>>;
  readonly exitCode: number;
  readonly log: string;
  readonly summary: string;
  /** Of the other actions that are called: which, and with what. */
  readonly called: readonly { readonly uses: string; readonly with: Readonly<Record<string, string>> }[];
}

let actionPath: string;

/** A checkout of the repository that has been built: its program runs from source. */
beforeAll(async () => {
  actionPath = await temporaryFolder();
  for (const name of ['tools', 'node_modules', 'package.json']) await symlink(resolve(name), join(actionPath, name));
  await mkdir(join(actionPath, 'dist'));
  await writeFile(join(actionPath, 'dist/cli.js'), `import ${JSON.stringify(resolve('src/cli.ts'))};\n`);
});

async function runAction(workspace: string, inputs: Values, env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const temporary = await temporaryFolder();
  const [outputFile, summaryFile] = [join(temporary, 'output'), join(temporary, 'summary')];
  await writeFile(summaryFile, '');
  const defaults = Object.fromEntries(Object.entries(ACTION.inputs).map(([name, { default: text }]) => [name, text]));
  const steps: Record<string, { outputs: Record<string, string> }> = {};
  const context = { inputs: { ...defaults, ...inputs }, steps, env };
  const called: Ran['called'][number][] = [];
  let [log, exitCode] = ['', 0];
  for (const step of ACTION.runs.steps) {
    const wanted = step.if ?? '';
    if (exitCode !== 0 && !wanted.includes('always()')) continue;
    if (wanted !== '' && evaluate(wanted, context) === '') continue;
    if (step.uses !== undefined) called.push({ uses: step.uses, with: filledAll(step.with, context) });
    if (step.run === undefined) continue;
    await writeFile(outputFile, '');
    const ended = await bash(step.run, {
      cwd: resolve(workspace, filled(step['working-directory'] ?? '.', context)),
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'] ?? '',
        HOME: temporary,
        RUNNER_OS: 'Linux',
        RUNNER_TEMP: temporary,
        GITHUB_ACTION_PATH: actionPath,
        GITHUB_OUTPUT: outputFile,
        GITHUB_STEP_SUMMARY: summaryFile,
        ...env,
        ...filledAll(step.env, context),
      },
    });
    log += ended.log;
    exitCode = ended.code;
    if (step.id !== undefined) steps[step.id] = { outputs: outputsOf(await readFile(outputFile, 'utf8')) };
  }
  const values = Object.entries(ACTION.outputs).map(([name, { value }]) => [name, filled(value, context)] as const);
  return { outputs: Object.fromEntries(values), exitCode, log, summary: await readFile(summaryFile, 'utf8'), called };
}

/** As a runner calls it for `shell: bash`. */
function bash(script: string, options: { cwd: string; env: Record<string, string> }) {
  return new Promise<{ code: number; log: string }>((done, failed) => {
    const args = ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script];
    const child = spawn('bash', args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (log += text));
    child.on('error', failed);
    child.on('close', (code) => done({ code: code ?? -1, log }));
  });
}

/** A workspace with the tiny recipe, small and with some lines changed. */
async function workspaceWith(...changes: readonly (readonly [from: string, to: string])[]): Promise<string> {
  const folder = await temporaryFolder();
  let text = (await readFile('recipes/tiny.yaml', 'utf8')).replaceAll('../models/tiny', resolve('models/tiny'));
  const small = [
    ['dtype: fp16', 'dtype: fp16, targets: [portable]'],
    ['frames: 16', 'frames: 4'],
  ] as const;
  for (const [from, to] of [...small, ...changes]) {
    expect(text).toContain(from);
    text = text.replace(from, to);
  }
  await mkdir(join(folder, 'models'));
  await writeFile(join(folder, 'models/r.yaml'), text);
  return folder;
}

const QUICK = { recipe: 'r.yaml', 'working-directory': 'models', profile: 'quick', device: 'cpu' };

describe('the action', () => {
  it('puts no text of others into a script, and calls other actions by their commits', () => {
    expect(SCRIPTS.length).toBeGreaterThan(0);
    for (const { run, name } of SCRIPTS) expect(run, name).not.toContain('${{');
    const uses = [...TEXT.matchAll(/uses: (.*)/g)].map(([, action]) => action);
    expect(uses).toHaveLength(3);
    for (const action of uses) expect(action).toMatch(/^actions\/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('builds the program without secrets, which the scripts of packages could read', () => {
    const secrets = ['HF_TOKEN', 'LCM_MERGE_REGISTRY_PASSWORD', 'LCM_MERGE_KEY_PASSPHRASE'];
    expect(SCRIPTS[0]?.run).toContain('npm ci');
    for (const name of secrets) expect(SCRIPTS[0]?.env?.[name], name).toBe('');
  });

  it('has the inputs and outputs of which docs/pipelines.md tells', async () => {
    const page = await readFile('docs/pipelines.md', 'utf8');
    const named = (heading: string) => {
      const rows = page.split(`| ${heading} | meaning |`)[1]?.split('\n\n')[0] ?? '';
      return [...rows.matchAll(/^\| (`.*?) \|/gm)].flatMap(([, cell = '']) => cell.match(/[\w-]+/g) ?? []);
    };
    expect(named('input').toSorted()).toEqual(Object.keys(ACTION.inputs).toSorted());
    expect(named('output').toSorted()).toEqual(Object.keys(ACTION.outputs).toSorted());
  });

  it('makes, verifies, publishes, and tells all of it', async () => {
    const workspace = await workspaceWith();
    const key = await writeKey(golden.keys.plain['pkcs8'] as string);
    const inputs = {
      ...QUICK,
      out: 'made here',
      'publish-to': 'published',
      args: '--allow-fallback\n\n',
      'publish-args': `--sign=${key}\n`,
    };
    const { outputs, exitCode, log, summary, called } = await runAction(workspace, inputs);
    const folder = join(workspace, 'models/made here');
    expect({ exitCode, outputs }, log).toEqual({
      exitCode: 0,
      outputs: {
        package: folder,
        verdict: 'passed',
        report: join(folder, 'verification/report.json'),
        fingerprint: join(folder, 'verification/fingerprint.json'),
        published: join(workspace, 'models/published'),
        digest: '',
        'pull-request': '',
        'exit-code': '0',
      },
    });
    expect(existsSync(join(workspace, 'models/published/model.sig'))).toBe(true);
    expect(called.map(({ uses, with: given }) => [uses.split('@')[0], given])).toEqual([
      [
        'actions/upload-artifact',
        { name: 'verification', path: join(folder, 'verification'), 'if-no-files-found': 'error' },
      ],
    ]);
    const { checks } = JSON.parse(await readFile(outputs['report'] ?? '', 'utf8')) as { checks: { id: string }[] };
    expect(summary).toContain('## tiny: ✅ passed');
    for (const { id } of checks) expect(summary).toContain(`| ${id} | ✅ passed | `);
    const token = /::stop-commands::(.+)\n/.exec(log)?.[1];
    expect(log.indexOf(`::${token}::`)).toBeGreaterThan(log.indexOf('verify: done'));
  });

  it('shows what was verified, also if it did not pass, publishes nothing then, and ends as the program does', async () => {
    const workspace = await workspaceWith(['denoise_ms: 60000', 'denoise_ms: 1']);
    const { outputs, exitCode, log, summary, called } = await runAction(workspace, {
      ...QUICK,
      'publish-to': 'published',
    });
    const folder = join(workspace, 'models/out/tiny.failed');
    expect({ exitCode, ...outputs }, log).toMatchObject({
      exitCode: 1,
      package: folder,
      verdict: 'failed',
      published: '',
      'exit-code': '1',
    });
    expect(existsSync(join(workspace, 'models/published'))).toBe(false);
    expect(called.map(({ with: { path } }) => path)).toEqual([join(folder, 'verification')]);
    expect(summary).toContain('## tiny: ❌ failed');
    expect(summary).toMatch(/\| timing \| ❌ failed \| \w/);
    expect(log).toMatch(/^::error title=lcm-merge::.*has not passed verification: failed/m);
  });

  it('names the mistake in a recipe, and shows nothing where nothing was verified', async () => {
    const workspace = await workspaceWith(['beta: 1', 'betta: 1'], ['gamma: 1', 'gamma: <b>*high*</b>']);
    const { outputs, exitCode, log, summary, called } = await runAction(workspace, QUICK);
    expect({ exitCode, ...outputs }).toMatchObject({ exitCode: 65, package: '', verdict: '', 'exit-code': '65' });
    expect(called).toEqual([]);
    expect(log).toMatch(/^::error title=lcm-merge::r\.yaml:\d+.*Did you mean "beta"\?%0Ar\.yaml:\d+/m);
    expect(summary).toContain('## lcm-merge: ❌ no package');
    expect(summary).not.toMatch(/<b>|\*high/);
  });

  it('runs no command that is written into an input', async () => {
    const workspace = await workspaceWith();
    const names = ['recipe', 'out', 'publish-to', 'device', 'profile', 'args', 'publish-args'];
    const commands = names.map((name) => [name, `$(touch ${name}) \`touch ${name}\`; touch ${name} #`]);
    const { exitCode, log } = await runAction(workspace, { ...QUICK, ...Object.fromEntries(commands) });
    expect(exitCode, log).toBe(2);
    expect(log).toContain('error: lcm-merge takes RECIPE; ');
    expect(await readdir(join(workspace, 'models'))).toEqual(['r.yaml']);
  });

  it('keeps files from hubs under the hash of the recipe, also if the run fails; not without such files, and not if told so', async () => {
    const workspace = await workspaceWith([resolve('models/tiny/ink.safetensors'), 'hf://me/ink/ink.safetensors']);
    const env = { LCM_MERGE_OFFLINE: '1', LCM_MERGE_CACHE: join(workspace, 'cache') };
    const { exitCode, called } = await runAction(workspace, QUICK, env);
    expect(exitCode).toBe(66);
    expect(called.map(({ uses }) => uses.split('@')[0])).toEqual(['actions/cache/restore', 'actions/cache/save']);
    for (const { with: given } of called)
      expect(given).toMatchObject({
        path: env.LCM_MERGE_CACHE,
        key: expect.stringMatching(/^lcm-merge-Linux-[0-9a-f]{64}$/),
      });
    expect(called[0]?.with['restore-keys']).toBe('lcm-merge-Linux-');
    expect((await runAction(workspace, { ...QUICK, cache: 'false' }, env)).called).toEqual([]);
  });
});

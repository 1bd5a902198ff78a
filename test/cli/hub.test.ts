/** The Hub from the command line: recipes with inputs there, and packages that go there; the Hub is on this machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bareEnvironment } from '../helpers/bare-environment.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FakeHub, sha256, startHub } from '../hub/hub-server.ts';
import { makeVerified } from '../publish/handmade.ts';

const PROGRAM = resolve('src/cli.ts');
const TINY = resolve('models/tiny');

let hub: FakeHub;
let commit: string;
let folder: string;
let cache: string;
/** What stands in the repository, by path. */
let tree: Record<string, Buffer>;

beforeAll(async () => {
  hub = await startHub();
  const entries = await readdir(TINY, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  tree = Object.fromEntries(
    await Promise.all(files.map(async (file) => [file.slice(TINY.length + 1), await readFile(file)] as const)),
  );
  commit = hub.commit('me/tiny', tree);
});

beforeEach(async () => {
  hub.fault = () => undefined;
  hub.token = undefined;
  hub.log.length = 0;
  folder = await temporaryFolder();
  cache = join(folder, 'cache');
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function lcmMerge(
  args: readonly string[],
  { env = {}, onStart }: { env?: Record<string, string>; onStart?: (child: ChildProcess) => void } = {},
): Promise<Ended> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      cwd: folder,
      env: bareEnvironment({ HOME: folder, HF_ENDPOINT: hub.endpoint, LCM_MERGE_CACHE: cache, ...env }),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onStart?.(child);
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', failed);
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

async function writeRecipe(
  revision: string,
  { base = `hf://me/tiny/base${revision}`, name = 'r.yaml' } = {},
): Promise<string> {
  const text = (await readFile(resolve('recipes/tiny.yaml'), 'utf8'))
    .replace('../models/tiny/base', base)
    .replaceAll(/\.\.\/models\/tiny\/([\w.]+)/g, base.startsWith('hf:') ? `hf://me/tiny/$1${revision}` : `${TINY}/$1`);
  await writeFile(join(folder, name), text);
  return name;
}

const lockOf = async (out: string) => readFile(join(folder, out, 'lcm-merge.lock.json'), 'utf8');

describe('a recipe whose inputs are on the Hub', () => {
  it('bakes to what the same files bake to from a disk; the lock tells reference, commit and hashes, and no path of the machine', async () => {
    const recipe = await writeRecipe('');
    const local = await writeRecipe('', { base: `${TINY}/base`, name: 'local.yaml' });
    const baked = await lcmMerge(['bake', recipe, '-o', 'hub']);
    expect({ code: baked.code, stdout: baked.stdout }).toEqual({
      code: 0,
      stdout: 'hub\n'.replace('hub', join(folder, 'hub')),
    });
    expect(baked.stderr).toMatch(
      /^plan: r\.yaml\nfetch: 4 of the inputs, from 127\.0\.0\.1:\d+\nfetch: done: \d+ of \d+ bytes downloaded/m,
    );
    expect((await lcmMerge(['bake', local, '-o', 'local'])).code).toBe(0);
    const text = await lockOf('hub');
    const lock = JSON.parse(text);
    const plain = JSON.parse(await lockOf('local'));
    expect(lock.outputs).toEqual(plain.outputs);
    const card = await readFile(join(folder, 'hub', 'README.md'), 'utf8');
    expect(card).toContain('base_model:\n  - me/tiny\nbase_model_relation: merge\n');
    expect(card).toContain('[me/tiny/ink.safetensors](<https://huggingface.co/me/tiny/blob/');
    expect(lock.recipe.base).toEqual({ model: 'hf://me/tiny/base', license: 'cc0-1.0' });
    expect(lock.recipe.personalized[0].lora).toBe('hf://me/tiny/ink.safetensors');
    expect(lock.inputs.map(({ sha256: hash }: { sha256: string }) => hash)).toEqual(
      plain.inputs.map(({ sha256: hash }: { sha256: string }) => hash),
    );
    expect(lock.inputs.map(({ role, file, origin }: Record<string, string>) => [role, file, origin])).toEqual([
      ['base.unet', 'base/unet/diffusion_pytorch_model.safetensors', 'base.model'],
      ['base.text_encoder', 'base/text_encoder/model.safetensors', 'base.model'],
      ['base.vae_decoder', 'base/vae/diffusion_pytorch_model.safetensors', 'base.model'],
      ['personalized[0]', 'ink.safetensors', 'personalized[0].lora'],
      ['lcm', 'lcm.safetensors', 'lcm.lora'],
      ['motion', 'animatelcm.ckpt', 'motion.module'],
    ]);
    const ink = tree['ink.safetensors'] as Buffer;
    expect(lock.origins['personalized[0].lora']).toEqual({
      reference: 'hf://me/tiny/ink.safetensors',
      commit,
      files: { 'ink.safetensors': { sha256: sha256(ink), bytes: ink.length } },
    });
    expect(lock.origins['base.model'].files['base/scheduler/scheduler_config.json'].sha256).toBe(
      sha256(tree['base/scheduler/scheduler_config.json'] as Buffer),
    );
    expect(text).not.toContain(folder);
    expect(text).not.toContain('127.0.0.1');
    expect(plain.origins).toBeUndefined();

    expect((await lcmMerge(['inspect', 'hub'])).stdout.replaceAll(/\s+/g, ' ')).toContain(
      `ink.safetensors of hf://me/tiny/ink.safetensors at ${commit.slice(0, 12)} (`,
    );
    const verified = await lcmMerge(['verify', 'hub', '--recipe', recipe, '--device', 'cpu', '--offline']);
    expect(verified).toMatchObject({ code: 0, stdout: `${join(folder, 'hub')}\n` });
    expect(verified.stderr).toContain('check passed: recompute');
    expect(verified.stderr.match(/^finding: \w+ [a-z ]+: .+$/gm)).toEqual([
      'finding: signature not checked: The package is not signed.',
      expect.stringMatching(/^finding: hashes passed: \d+ files match the lock\.$/),
      expect.stringMatching(/^finding: fingerprint not checked: /), // it is the first verification
    ]);
  });

  it('pinned to a commit asks nothing the second time; with --offline nothing at all', async () => {
    const recipe = await writeRecipe(`@${commit}`);
    const first = await lcmMerge(['plan', recipe, '--json', '-q']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(first.stdout).sources[3]).toMatchObject({
      role: 'personalized[0]',
      reference: `hf://me/tiny/ink.safetensors@${commit}`,
      commit,
    });
    hub.log.length = 0;
    expect(await lcmMerge(['plan', recipe, '--json', '-q'])).toEqual(first);
    expect(await lcmMerge(['bake', recipe, '--offline', '-q'])).toMatchObject({ code: 0, stderr: '' });
    expect(hub.log).toEqual([]);
  });

  it('as events', async () => {
    const { stdout } = await lcmMerge(['plan', await writeRecipe(''), '--json=stream']);
    const events = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(events.slice(0, 2)).toMatchObject([
      { type: 'stage-started', stage: 'plan' },
      { type: 'stage-started', stage: 'fetch' },
    ]);
    const progress = events.filter(({ type, stage }) => type === 'progress' && stage === 'fetch');
    expect(progress.at(-1)).toMatchObject({ unit: 'bytes', done: progress.at(-1).total });
  });

  it('the lock of the package that stands at the output, or --lock, holds the Hub to what it gave', async () => {
    const recipe = await writeRecipe('');
    expect((await lcmMerge(['bake', recipe, '-q'])).code).toBe(0);
    const before = await lockOf('out/tiny');
    const other = Buffer.from(tree['ink.safetensors'] as Buffer);
    other[other.length - 1] = (other.at(-1) as number) ^ 1;
    const moved = hub.commit('me/tiny', { ...tree, 'ink.safetensors': other });
    try {
      const refused = await lcmMerge(['bake', recipe, '-q']);
      expect(refused).toMatchObject({ code: 65, stdout: '' });
      expect(refused.stderr).toContain(
        `the SHA-256 of ink.safetensors is ${sha256(other)} (commit ${moved}), but out/tiny/lcm-merge.lock.json says ${sha256(tree['ink.safetensors'] as Buffer)} (commit ${commit}).`,
      );
      expect(await lockOf('out/tiny')).toBe(before);
      hub.log.length = 0;
      expect(await lcmMerge(['bake', recipe, '-q', '--lock', 'out/tiny', '-o', 'again'])).toMatchObject({
        code: 0,
        stderr: '',
      });
      expect(await lockOf('again')).toBe(before);
      expect(hub.log).toEqual([]);
      expect(await lcmMerge(['bake', recipe, '-q', '--lock', 'nowhere.json'])).toMatchObject({
        code: 66,
        stderr: expect.stringContaining('nowhere.json" does not exist'),
      });
    } finally {
      commit = hub.commit('me/tiny', tree);
    }
  });

  it('a copy in the cache that was changed is noticed while baking', async () => {
    const recipe = await writeRecipe(`@${commit}`);
    await lcmMerge(['plan', recipe, '-q']);
    const hash = sha256(tree['base/vae/diffusion_pytorch_model.safetensors'] as Buffer);
    const blob = join(cache, 'blobs', hash.slice(0, 2), hash);
    const changed = await readFile(blob);
    changed[changed.length - 1] = (changed.at(-1) as number) ^ 1;
    await writeFile(blob, changed);
    const { code, stderr } = await lcmMerge(['bake', recipe, '-q', '-o', 'out']);
    expect(code).toBe(65);
    expect(stderr).toContain(
      `but base/vae/diffusion_pytorch_model.safetensors of hf://me/tiny/base@${commit} has ${hash}: the copy in the cache was changed.`,
    );
    expect(await readdir(folder)).not.toContain('out');
  });
});

describe('exit codes', () => {
  it('66 for what is missing, also offline, with the command that fetches it', async () => {
    const recipe = await writeRecipe('');
    expect(await lcmMerge(['plan', recipe, '--offline', '-q'])).toEqual({
      code: 66,
      stdout: '',
      stderr: `error: ${join(folder, 'r.yaml')}:4:16: hf://me/tiny/base@main is not in the cache, and the network is not to be used. Fetch it once: lcm-merge plan ${join(folder, 'r.yaml')}\n`,
    });
    expect(hub.log).toEqual([]);
    expect((await lcmMerge(['plan', await writeRecipe('@gone'), '-q'])).code).toBe(66);
  });

  it('69 for what the Hub does not give; the token stays unsaid', async () => {
    hub.token = 'hf_right';
    const recipe = await writeRecipe('');
    const { code, stderr } = await lcmMerge(['plan', recipe], {
      env: { HF_TOKEN: 'hf_wrong_but_secret', LCM_MERGE_DEBUG: '1' },
    });
    expect(code).toBe(69);
    expect(stderr).toContain('does not let the token that is used read me/tiny.');
    expect(stderr).not.toContain('secret');
    expect((await lcmMerge(['plan', recipe, '-q'], { env: { HF_TOKEN: 'hf_right' } })).code).toBe(0);
    expect(hub.log.filter(({ server, authorization }) => server === 'storage' && authorization)).toEqual([]);
  });

  it('69 when nobody is there, 130 when it is interrupted', async () => {
    const recipe = await writeRecipe('');
    expect((await lcmMerge(['plan', recipe, '-q'], { env: { HF_ENDPOINT: 'http://127.0.0.1:9' } })).code).toBe(69);
    hub.fault = ({ server }) =>
      server === 'storage' ? { hold: { after: 10, until: new Promise(() => undefined) } } : undefined;
    const interrupted = await lcmMerge(['plan', recipe, '-q'], {
      onStart: (child) => {
        const timer = setInterval(() => {
          if (!hub.log.some(({ server, bytes }) => server === 'storage' && bytes > 0)) return;
          clearInterval(timer);
          child.kill('SIGINT');
        }, 20);
      },
    });
    expect(interrupted.code).toBe(130);
  });

  it('74 when the cache cannot be written', async () => {
    await writeFile(cache, 'a file');
    const { code, stderr } = await lcmMerge(['plan', await writeRecipe(''), '-q']);
    expect({ code, hint: /set LCM_MERGE_CACHE/.test(stderr) }).toEqual({ code: 74, hint: true });
  });
});

it('killed in the middle of a download, the next run goes on where it ended', async () => {
  const recipe = await writeRecipe('');
  const largest = Object.values(tree).reduce((a, b) => (a.length > b.length ? a : b));
  const half = Math.floor(largest.length / 2);
  const isLargest = (url: string) => url.includes(sha256(largest));
  hub.fault = ({ server, url }) =>
    server === 'storage' && isLargest(url) ? { hold: { after: half, until: new Promise(() => undefined) } } : undefined;
  const partOf = async () =>
    (await readdir(join(cache, 'partial')).catch(() => [])).find((name) => name.includes(sha256(largest)));
  const killed = await lcmMerge(['plan', recipe, '-q'], {
    onStart: (child) => {
      const timer = setInterval(async () => {
        const part = await partOf();
        if (part === undefined || (await readFile(join(cache, 'partial', part))).length < half) return;
        clearInterval(timer);
        child.kill('SIGKILL');
      }, 30);
    },
  });
  expect(killed.code).toBe(null);
  hub.fault = () => undefined;
  hub.log.length = 0;
  expect(await lcmMerge(['plan', recipe, '-q'])).toMatchObject({ code: 0, stderr: '' });
  const again = hub.log.filter(({ server, url }) => server === 'storage' && isLargest(url));
  expect(again.map(({ range, status, bytes }) => [range, status, bytes])).toEqual([
    [`bytes=${half}-`, 206, largest.length - half],
  ]);
  expect(await partOf()).toBeUndefined();
});

describe('publish to the Hub', () => {
  const token = 'hf_sEcReT0123456789';
  let to: string;

  beforeEach(async () => {
    hub.token = token;
    to = `hf://me/${folder
      .split('/')
      .at(-1)
      ?.replaceAll(/[^a-z]/gi, '')}`;
    await mkdir(join(folder, '.cache/huggingface'), { recursive: true });
    await writeFile(join(folder, '.cache/huggingface/token'), `${token}\n`); // as \`hf auth login\` leaves it
    await makeVerified(join(folder, 'ink'), { 'a.onnx': Buffer.alloc(5000, 1), 'b.onnx': Buffer.alloc(6000, 2) });
  });

  it('goes on after it was killed, sends the rest alone, and never says the token', async () => {
    const puts = () => hub.log.filter(({ method }) => method === 'PUT').length;
    let running: ChildProcess | undefined;
    hub.fault = ({ method }) => {
      if (method === 'PUT' && puts() > 1) running?.kill('SIGKILL');
      return undefined;
    };
    const killed = await lcmMerge(['publish', 'ink', '--to', to, '--json=stream'], {
      onStart: (child) => (running = child),
    });
    expect(killed.code).toBeNull();
    expect(hub.files(to.slice(5), 'main')).toEqual({});
    hub.fault = () => undefined;
    hub.log.length = 0;
    const ended = await lcmMerge(['publish', 'ink', '--to', to, '--json=stream']);
    expect(puts()).toBe(1);
    expect(ended.code).toBe(0);
    const at = `${to}@${hub.repository(to.slice(5))?.refs.get('main')}`;
    expect(JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ published: at });
    hub.fault = () => ({ status: 403, headers: { 'x-error-message': `no, ${token}` } });
    const refused = await lcmMerge(['publish', 'ink', '--to', to]);
    expect(refused.code).toBe(69);
    expect(refused.stderr).toContain('saying "no, …"');
    for (const { stdout, stderr } of [killed, ended, refused]) expect(stdout + stderr).not.toContain(token);
  });
});

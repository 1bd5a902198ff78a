/** Verbs that take a package, given a reference: one verified package, served by a Hub on this machine. */
import { spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { parseCommandLine } from '../../src/cli/args.ts';
import { compareCommand } from '../../src/cli/commands/compare.ts';
import { inspect } from '../../src/cli/commands/inspect.ts';
import { pullCommand } from '../../src/cli/commands/pull.ts';
import { reproduceCommand } from '../../src/cli/commands/reproduce.ts';
import { runCommand } from '../../src/cli/commands/run.ts';
import { verifyCommand } from '../../src/cli/commands/verify.ts';
import type { Command, Context, Outcome } from '../../src/cli/context.ts';
import type { Compared, CompareOptions } from '../../src/compare/compare.ts';
import { packageRows } from '../../src/compare/grid.ts';
import { drain, type Event, type Stage } from '../../src/events.ts';
import { signPackage } from '../../src/publish/sign.ts';
import { openPackage } from '../../src/runtime/package-folder.ts';
import { openSigner } from '../../src/sign/keys.ts';
import { verify } from '../../src/verify/gate.ts';
import { bareEnvironment } from '../helpers/bare-environment.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';
import { type FakeHub, startHub } from '../hub/hub-server.ts';
import { golden, writeKey } from '../sign/golden-bundles.ts';

const COMMANDS = {
  compare: compareCommand,
  inspect,
  pull: pullCommand,
  reproduce: reproduceCommand,
  run: runCommand,
  verify: verifyCommand,
};

/** What is compared is compare.test.ts' matter; here it is how the packages are called. */
vi.mock('../../src/compare/compare.ts', () => ({
  compare: async function* ({ packages }: CompareOptions): Stage<Compared> {
    const one = { sampler: 'lcm', steps: 1, guidance: 1, evaluations: 1, denoise_ms: 1, speedup: 1 } as const;
    const figures = { ...one, distance: { pixels: 0, latents: 0 }, consistency: 1, motion: 0 };
    const rows = packageRows(packages, undefined).map((row) => ({ ...row, ...figures }));
    for (const row of rows) await openPackage(row.package); // it is there
    const frames = { width: 8, height: 8, count: 1, data: new Uint8Array(8 * 8 * 3) };
    const comparison = { device: 'cpu', prompts: ['x'], negative: '', seeds: [0], rows } as const;
    return { comparison, clips: rows.map(() => frames) };
  },
}));

let hub: FakeHub;
let commit: string;
let tree: Readonly<Record<string, Buffer>>;
let cache: string;
let folder: string;
let events: Event[];
/** Of the key that the package is signed with. */
let publicKey: string;

beforeAll(async () => {
  hub = await startHub();
  const privateKey = golden.keys.plain['pkcs8'] as string;
  const baked = join(await temporaryFolder(), 'package');
  await mkdir(baked);
  const { plan } = await bakeAndCheck(tinyRecipe({ output: { targets: ['portable'], frames: 4 } }), baked);
  expect((await drain(verify(baked, { plan, profile: 'quick', device: 'cpu' }))).verdict).toBe('passed');
  await drain(signPackage(baked, { signer: await openSigner(await writeKey(privateKey)) }));
  publicKey = await writeKey(createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }) as string);
  const entries = await readdir(baked, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  tree = Object.fromEntries(
    await Promise.all(files.map(async (file) => [file.slice(baked.length + 1), await readFile(file)] as const)),
  );
  commit = hub.commit('me/tiny', tree);
  cache = await temporaryFolder();
});
beforeEach(async () => {
  hub.fault = () => undefined;
  hub.log.length = 0;
  events = [];
  folder = await temporaryFolder();
  vi.stubEnv('LCM_MERGE_CACHE', cache);
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
});

type Value = Readonly<Record<string, unknown>> & {
  readonly rows: readonly {
    readonly label: string;
    readonly package: string;
    readonly distance: { readonly pixels: number };
  }[];
};

/** What the command line would, without a process of its own. */
async function lcmMerge(
  verb: keyof typeof COMMANDS,
  ...argv: readonly string[]
): Promise<Outcome & { readonly value: Value }> {
  const request = parseCommandLine([verb, ...argv], () => undefined);
  if (request.kind !== 'run') throw new Error(`${argv} is no command`);
  const context: Context = {
    signal: new AbortController().signal,
    paint: (_, text) => text,
    follow: (stage) => drain(stage, (event) => events.push(event)),
  };
  const outcome = await (COMMANDS[verb] as Command<typeof verb>)(request.invocation.args as never, context);
  expect(await readdir(join(cache, 'packages')).catch(() => [])).toEqual([]);
  return outcome as Outcome & { readonly value: Value };
}

const pinned = () => `hf://me/tiny@${commit}`;
const findings = () => events.flatMap((event) => (event.type === 'finding' ? [`${event.id} ${event.verdict}`] : []));

describe('a reference in place of a package', () => {
  it('is pulled', async () => {
    const out = join(folder, 'tiny');
    expect(await lcmMerge('pull', 'hf://me/tiny', '-o', out)).toMatchObject({
      text: out,
      value: { folder: out, reference: pinned(), files: Object.keys(tree).length },
    });
    for (const [name, data] of Object.entries(tree))
      expect(data.equals(await readFile(join(out, name))), name).toBe(true);
  });

  it('is verified, also without the network: whose it is, whether it is what was verified, and whether it does what it did', async () => {
    await lcmMerge('inspect', 'hf://me/tiny');
    const argv = ['hf://me/tiny', '--public-key', publicKey, '--profile', 'quick', '--device', 'cpu'];
    hub.log.length = 0;
    const { text, value, complaint = '' } = await lcmMerge('verify', ...argv, '--offline');
    expect(text + complaint).toMatch(new RegExp(`^${pinned()}`)); // its time may be too long for the gate on a busy machine
    expect(value).toMatchObject({ package: pinned(), report: { device: 'cpu' } });
    expect(findings()).toEqual(['signature passed', 'hashes passed', 'fingerprint passed']);
    expect(events.find(({ type }) => type === 'finding')).toMatchObject({
      reason: expect.stringMatching(/files are those/),
    });
    expect(hub.log).toEqual([]);
  });

  it('that was changed has failed, nothing of it ran, and what could not be checked is said', async () => {
    hub.commit('me/changed', { ...tree, 'README.md': Buffer.from('other') });
    const { text, complaint, exitCode, value } = await lcmMerge('verify', 'hf://me/changed');
    expect({ text, exitCode }).toEqual({ text: '', exitCode: 1 });
    expect(complaint).toMatch(/^hf:\/\/me\/changed@[0-9a-f]{40} has not passed verification/);
    expect(complaint).toContain('hashes failed: Other files than these were verified: README.md has other bytes.');
    expect(findings()).toEqual(['signature not checked', 'hashes failed', 'fingerprint not checked']);
    expect(value['report']).toBeUndefined();
  });

  it('is run', async () => {
    const out = join(folder, 'frames');
    const { text, value } = await lcmMerge('run', 'hf://me/tiny', '-o', out, '--steps', '1', '--device', 'cpu');
    expect({ text, package: value['package'] }).toEqual({ text: out, package: pinned() });
    expect(await readdir(out)).toHaveLength(5);
  });

  it('is inspected without its weights', async () => {
    vi.stubEnv('LCM_MERGE_CACHE', (cache = await temporaryFolder()));
    const { text, value } = await lcmMerge('inspect', 'hf://me/tiny');
    expect(text).toContain(`${pinned()}: package`);
    expect(text).toContain(`${pinned()}/unet/model.onnx`);
    expect(JSON.stringify(value).includes(cache)).toBe(false);
    expect(hub.log.filter(({ url }) => /onnx_data|webp/.test(url))).toEqual([]);
  });

  it('is compared with a folder, under its name', async () => {
    const [local, out] = [join(folder, 'tiny'), join(folder, 'compared')];
    await lcmMerge('pull', 'hf://me/tiny', '-o', local);
    const { text, value } = await lcmMerge('compare', local, 'hf://me/tiny', '-o', out);
    expect(value.rows.map((row) => [row.label, row.package])).toEqual([
      ['tiny', local],
      [`tiny@${commit.slice(0, 8)}`, pinned()],
    ]);
    expect(text).toContain(`tiny@${commit.slice(0, 8)}`);
    expect((await readFile(join(out, 'comparison.json'), 'utf8')).includes(cache)).toBe(false);
  });

  it('is made once more', async () => {
    const { text, value } = await lcmMerge('reproduce', 'hf://me/tiny', '--sources', 'models/tiny');
    expect({ text, ...value }).toMatchObject({ text: pinned(), package: pinned(), identical: true });
  });

  it('cannot have its sources in two ways', async () => {
    await expect(lcmMerge('reproduce', 'x', '--sources', 'a', '--recipe', 'b')).rejects.toThrow('are both given');
  });
});

describe('a verb that is interrupted', () => {
  it('leaves nothing of the package that it was fetching', async () => {
    cache = await temporaryFolder();
    const { promise: held, resolve: holds } = Promise.withResolvers<void>();
    hub.fault = ({ server }) => {
      if (server !== 'storage') return undefined;
      holds();
      return { hold: { after: 1000, until: new Promise(() => undefined) } };
    };
    const child = spawn(process.execPath, [resolve('src/cli.ts'), 'run', 'hf://me/tiny', '-o', 'frames'], {
      cwd: folder,
      env: bareEnvironment({ HOME: folder, HF_ENDPOINT: hub.endpoint, LCM_MERGE_CACHE: cache }),
      stdio: 'ignore',
    });
    await held;
    expect(await readdir(join(cache, 'packages'))).toHaveLength(1);
    child.kill('SIGINT');
    expect(await once(child, 'exit')).toEqual([130, null]);
    expect(await readdir(join(cache, 'packages'))).toEqual([]);
    expect(await readdir(folder)).toEqual([]);
  });
});

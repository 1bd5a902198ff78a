/** sign, publish --sign and verify --public-key as users meet them; neither key nor passphrase is ever written anywhere. */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { appendFile, chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { drain } from '../../src/events.ts';
import { verify } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';

const PROGRAM = resolve('src/cli.ts');
const PASSPHRASE = 'correct horse battery staple';

let verified: string;
let folder: string;

beforeAll(async () => {
  verified = join(await temporaryFolder(), 'package');
  await mkdir(verified);
  const { plan } = await bakeAndCheck(tinyRecipe({ output: { targets: ['portable'], frames: 4 } }), verified);
  expect((await drain(verify(verified, { plan, profile: 'quick' }))).verdict).toBe('passed');
});

beforeEach(async () => {
  folder = await temporaryFolder();
  await cp(verified, join(folder, 'tiny'), { recursive: true });
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE });
  await writeFile(join(folder, 'key.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(join(folder, 'open.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o644 });
  await writeFile(join(folder, 'encrypted.pem'), encrypted, { mode: 0o600 });
  await writeFile(join(folder, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
});

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function lcmMerge(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const { NO_COLOR: _, FORCE_COLOR: __, ...rest } = process.env;
  return new Promise((done) => {
    const options = { cwd: folder, env: { ...rest, ...env }, maxBuffer: 1 << 26 };
    const child = execFile(process.execPath, [PROGRAM, ...args], options, (_error, stdout, stderr) =>
      done({ code: child.exitCode ?? -1, stdout, stderr }),
    );
  });
}

/** Lines of a PEM file that are the key itself. */
async function secretsOf(file: string): Promise<readonly string[]> {
  return (await readFile(join(folder, file), 'utf8')).split('\n').filter((line) => /^[\w+/=]{20,}$/.test(line));
}

describe('sign and verify', () => {
  it('write the path of the signature and say whose the package is', async () => {
    const signed = await lcmMerge(['sign', 'tiny', '--key', 'key.pem']);
    expect(signed).toMatchObject({ code: 0, stdout: `${join(folder, 'tiny', 'model.sig')}\n` });
    expect(signed.stderr).toMatch(/^sign: done: \d+ files, signed with the P-384 key [0-9a-f]{12}…/m);
    const argv = ['verify', 'tiny', '--public-key', 'public.pem', '--profile', 'quick', '--device', 'cpu', '--json'];
    const { stdout, stderr } = await lcmMerge(argv); // its time may be too long for the gate on a busy machine
    const { evidence } = JSON.parse(stdout);
    for (const id of ['signature', 'hashes', 'fingerprint']) expect(evidence[id]).toMatchObject({ verdict: 'passed' });
    expect(stderr).toMatch(/^verify: done: signature passed, hashes passed, fingerprint passed/m);
  });

  it('end with 1 and the names of the files when something was changed', async () => {
    await lcmMerge(['sign', 'tiny', '--key', 'key.pem']);
    await appendFile(join(folder, 'tiny', 'README.md'), ' ');
    await rm(join(folder, 'tiny', 'model_index.json'));
    await writeFile(join(folder, 'tiny', 'run.py'), '');
    const argv = ['verify', 'tiny', '--public-key', 'public.pem'];
    const { code, stdout, stderr } = await lcmMerge(argv);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(
      'signature failed: Other files than these were signed: README.md has other bytes; model_index.json is missing; run.py was added.',
    );
    const { evidence, verdict, report } = JSON.parse((await lcmMerge([...argv, '--json'])).stdout);
    expect({ verdict, report }).toEqual({ verdict: 'failed', report: undefined });
    expect(evidence.signature.files).toEqual({
      altered: ['README.md'],
      missing: ['model_index.json'],
      added: ['run.py'],
    });
  });

  it.each<readonly [readonly string[], number, RegExp]>([
    [['verify', 'tiny', '--public-key', 'public.pem'], 1, /The package has no signature \(model\.sig\)/],
    [['verify', 'tiny', '--public-key', 'key.pem'], 65, /key\.pem is a private key, and a public one is needed here/],
    [['verify', 'tiny', '--public-key', 'gone.pem'], 66, /gone\.pem: there is no such file/],
    [
      ['verify', 'tiny', '--public-key', 'public.pem', '--signature', 'gone.sig'],
      66,
      /gone\.sig: there is no such file/,
    ],
    [['verify', 'tiny', '--signature', 'x.sig'], 2, /can be checked with its --public-key only/],
    [['sign', 'tiny', '--key', 'open.pem'], 2, /can be used by others on this machine/],
    [['sign', 'tiny', '--key', 'public.pem'], 65, /public\.pem is a public key; what signs is the private one/],
    [['sign', 'hf://me/tiny', '--key', 'key.pem'], 2, /a folder is needed: lcm-merge pull hf:\/\/me\/tiny -o DIR/],
    [['sign', 'tiny', '--key', 'gone.pem'], 66, /gone\.pem: there is no such file/],
    [['sign', 'tiny', '--key', 'tiny/README.md'], 2, /lies in the package, with which it would be given away/],
    [['sign', 'tiny', '--key', 'key.pem', '-o', 'tiny/x.sig'], 2, /its signature is called model\.sig/],
    [['sign', 'gone', '--key', 'key.pem'], 66, /gone is not there/],
    [['sign', 'tiny', '--key', 'encrypted.pem'], 65, /is encrypted\. Put its passphrase/],
    [['sign', 'tiny'], 2, /needs --key KEY\.pem/],
  ])('%j ends with %i', async (argv, code, reason) => {
    const ended = await lcmMerge(argv);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    expect(ended.stderr).toMatch(reason);
  });
});

describe('the secrets', () => {
  it('of a key and its passphrase are in nothing that is written, whether it works or not', async () => {
    const secrets = [
      ...(await secretsOf('key.pem')),
      ...(await secretsOf('encrypted.pem')),
      PASSPHRASE,
      'wrong phrase',
    ];
    expect(secrets.length).toBeGreaterThan(8);
    const right = { LCM_MERGE_KEY_PASSPHRASE: PASSPHRASE, LCM_MERGE_DEBUG: '1' };
    const publish = ['publish', 'tiny', '--to', 'public', '--sign', 'encrypted.pem', '--json=stream'];
    const runs = [
      await lcmMerge([...publish, '--dry-run'], right),
      await lcmMerge(publish, right),
      await lcmMerge(['sign', 'tiny', '--key', 'encrypted.pem', '--json=stream'], right),
      await lcmMerge(publish, { ...right, LCM_MERGE_KEY_PASSPHRASE: 'wrong phrase' }),
    ];
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 65]);
    await chmod(join(folder, 'key.pem'), 0o644);
    runs.push(await lcmMerge(['sign', 'tiny', '--key', 'key.pem', '--json=stream'], right));
    const written = [
      ...runs.map(({ stdout, stderr }) => stdout + stderr),
      await readFile(join(folder, 'public/model.sig'), 'utf8'),
    ];
    for (const secret of secrets) for (const text of written) expect(text).not.toContain(secret);
    const argv = [
      'verify',
      'public',
      '--public-key',
      'public.pem',
      '--profile',
      'quick',
      '--device',
      'cpu',
      '--json',
      '-q',
    ];
    expect(JSON.parse((await lcmMerge(argv)).stdout).evidence.signature.verdict).toBe('passed');
  });
});

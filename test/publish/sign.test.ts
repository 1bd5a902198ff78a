/** A package is signed, published and looked at again by somebody else; whatever is changed on the way shows. */
import { generateKeyPairSync } from 'node:crypto';
import { appendFile, cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { PublishError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import { describePublication } from '../../src/publish/describe.ts';
import { type Proof, proveEvidence } from '../../src/publish/evidence.ts';
import { previewPublication } from '../../src/publish/preview.ts';
import { publish } from '../../src/publish/publish.ts';
import { signPackage } from '../../src/publish/sign.ts';
import { readBundle, unverifiedManifest, verifiedManifest } from '../../src/sign/bundle.ts';
import { openSigner, openVerifier, type Signer, type Verifier } from '../../src/sign/keys.ts';
import { digestPackage, verify } from '../../src/verify/gate.ts';
import { overall } from '../../src/verify/report.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { bakeAndCheck, tinyRecipe } from '../helpers/tiny.ts';
import { digestsOf, writeKey } from '../sign/golden-bundles.ts';

let verified: string;
let signer: Signer;
let verifier: Verifier;
/** The secret line of the private key. */
let secret: string;

beforeAll(async () => {
  verified = join(await temporaryFolder(), 'package');
  await mkdir(verified);
  const recipe = tinyRecipe({ output: { targets: ['portable'], frames: 4 }, verify: { prompt: 'a red circle' } });
  const { plan } = await bakeAndCheck(recipe, verified);
  expect((await drain(verify(verified, { plan, profile: 'quick' }))).verdict).toBe('passed');
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  secret = privateKey.split('\n')[1] as string;
  signer = await openSigner(await writeKey(privateKey));
  verifier = await openVerifier(await writeKey(publicKey));
});

async function copy(): Promise<string> {
  const folder = join(await temporaryFolder(), 'package');
  await cp(verified, folder, { recursive: true });
  return folder;
}

async function signedCopy(): Promise<string> {
  const folder = await copy();
  await drain(signPackage(folder, { signer }));
  return folder;
}

/** Without what a machine that is busy with other things finds too slow. */
const apartFromTime = ({ verdict, report }: Proof) =>
  report ? overall(report.checks.filter(({ id }) => id !== 'timing')) : verdict;

const prove = (folder: string, options: Parameters<typeof proveEvidence>[1] = {}) =>
  drain(proveEvidence(folder, { verifier, profile: 'quick', device: 'cpu', ...options }));

describe('sign', () => {
  it('speaks of every file but itself, the verification included, and leaves all of them as they are', async () => {
    const folder = await copy();
    const before = await digestsOf(folder);
    const events: Event[] = [];
    const signed = await drain(signPackage(folder, { signer }), (event) => events.push(event));
    const { curve, hint } = signer;
    const signature = join(folder, 'model.sig');
    expect(signed).toEqual({ signature, files: before.size, bytes: expect.any(Number), key: { curve, hint } });
    const manifest = unverifiedManifest(await readBundle(signature));
    expect(manifest).toMatchObject({ name: 'package', files: new Map([...before].toSorted()) });
    const { 'model.sig': _, ...after } = Object.fromEntries(await digestsOf(folder));
    expect(after).toEqual(Object.fromEntries(before));
    expect(events.at(-2)).toMatchObject({ type: 'progress', stage: 'sign', done: signed.bytes, total: signed.bytes });
    expect(JSON.stringify([events, signed])).not.toContain(secret.slice(0, 16));
    expect(await readFile(signature, 'utf8')).not.toContain(secret.slice(0, 16));
    // once more takes its place
    expect(await drain(signPackage(folder, { signer }))).toEqual(signed);
  });

  it('elsewhere leaves the package without one; in the package it has one name', async () => {
    const folder = await copy();
    const out = join(await temporaryFolder(), 'tiny.sig');
    expect((await drain(signPackage(folder, { signer, out }))).signature).toBe(out);
    expect(await digestsOf(folder)).toEqual(await digestsOf(verified));
    const manifest = verifiedManifest(await readBundle(out), verifier);
    expect(manifest.files).toEqual(new Map([...(await digestsOf(folder))].toSorted()));
    await appendFile(join(folder, 'README.md'), ' ');
    const files = { altered: ['README.md'], missing: [], added: [] };
    expect((await prove(folder, { signature: out })).evidence.signature).toMatchObject({ verdict: 'failed', files });
    await cp(join(verified, 'README.md'), join(folder, 'README.md'));
    const inside = drain(signPackage(folder, { signer, out: join(folder, 'unet', 'x.sig') }));
    await expect(inside).rejects.toThrow(UsageError);
  });

  it('signs nothing that has not passed with these bytes', async () => {
    const altered = await copy();
    await appendFile(join(altered, 'README.md'), ' ');
    const unverified = await copy();
    await rm(join(unverified, 'verification'), { recursive: true });
    for (const folder of [altered, unverified]) {
      await expect(drain(signPackage(folder, { signer }))).rejects.toThrow(PublishError);
      expect(await readdir(folder)).not.toContain('model.sig');
    }
  });
});

describe('a signed package', () => {
  it('is what was signed, what was verified, and does what it did; nothing is written into it', async () => {
    const folder = await signedCopy();
    const before = await digestsOf(folder);
    const proof = await prove(folder);
    expect({ verdict: apartFromTime(proof), evidence: proof.evidence }).toMatchObject({
      verdict: 'passed',
      evidence: {
        signature: {
          verdict: 'passed',
          reason: expect.stringMatching(/^\d+ files are those that the owner of the P-256 key/),
        },
        hashes: { verdict: 'passed' },
        fingerprint: { verdict: 'passed' },
      },
    });
    expect(await digestsOf(folder)).toEqual(before);
  });

  it('without a key tells what it can', async () => {
    const proof = await prove(await signedCopy(), { verifier: undefined });
    expect(apartFromTime(proof)).toBe('passed');
    expect(proof.evidence).toMatchObject({ signature: { verdict: 'not checked' }, hashes: { verdict: 'passed' } });
  });

  it.each<readonly [string, object, (folder: string) => Promise<unknown>]>([
    ['was changed', { altered: ['unet/model.onnx_data'] }, (at) => appendFile(join(at, 'unet/model.onnx_data'), 'x')],
    ['is missing', { missing: ['README.md'] }, (at) => rm(join(at, 'README.md'))],
    ['was added', { added: ['run.py'] }, (at) => writeFile(join(at, 'run.py'), '')],
    [
      'became a link to the same bytes',
      { altered: ['README.md'] },
      async (at) => {
        await rm(join(at, 'README.md'));
        await symlink(join(verified, 'README.md'), join(at, 'README.md'));
      },
    ],
  ])('of which a file %s is not run, and the file is named', async (_, names, alter) => {
    const folder = await signedCopy();
    await alter(folder);
    const events: Event[] = [];
    const proof = await drain(proveEvidence(folder, { verifier }), (event) => events.push(event));
    const files = { altered: [], missing: [], added: [], ...names };
    expect(proof).toMatchObject({
      verdict: 'failed',
      evidence: {
        signature: { verdict: 'failed', files },
        hashes: { verdict: 'failed', files },
        fingerprint: { verdict: 'not checked' },
      },
    });
    expect(proof).not.toHaveProperty('report');
    expect(events.some(({ type }) => type === 'check')).toBe(false);
    expect(events.at(-1)).toMatchObject({ summary: 'signature failed, hashes failed, fingerprint not checked' });
  });

  it('whose report was made anew is not what was signed', async () => {
    const folder = await signedCopy();
    const report = join(folder, 'verification/report.json');
    await writeFile(report, (await readFile(report, 'utf8')).replace('"verdict": "passed"', '"verdict":  "passed"'));
    const { verdict, evidence } = await prove(folder);
    expect({ verdict, evidence }).toMatchObject({
      verdict: 'failed',
      evidence: { signature: { files: { altered: ['verification/report.json'] } }, hashes: { verdict: 'passed' } },
    });
  });

  it('with a damaged report, or one that did not pass, is not run either', async () => {
    for (const [from, to, reason] of [
      ['{', '', /report\.json is not valid JSON/],
      ['"verdict": "passed"', '"verdict": "failed"', /whose verdict is failed/],
    ] as const) {
      const folder = await copy();
      const report = join(folder, 'verification/report.json');
      await writeFile(report, (await readFile(report, 'utf8')).replace(from, to));
      const proof = await prove(folder, { verifier: undefined });
      expect(proof).toMatchObject({ verdict: 'failed', evidence: { hashes: { verdict: 'failed' } } });
      expect(proof.evidence.hashes.reason).toMatch(reason);
    }
  });

  it('that is asked for and has no signature is none, whatever else holds', async () => {
    expect(await prove(verified)).toMatchObject({
      verdict: 'failed',
      evidence: { signature: { verdict: 'failed', reason: 'The package has no signature (model.sig).' } },
    });
  });

  it('has the same hashes of its own, which the report lists, as before', async () => {
    expect(await digestPackage(await signedCopy())).toEqual(await digestPackage(verified));
  });
});

describe('publish', () => {
  it('signs the copy, and leaves the package as it is', async () => {
    const to = join(await temporaryFolder(), 'published');
    const preview = await drain(previewPublication(verified, { to, signer }));
    expect(describePublication(preview)).toContainEqual([
      'signature',
      `would be made with the P-256 key ${signer.hint.slice(0, 12)}…`,
    ]);
    expect(JSON.stringify(preview)).not.toContain(secret.slice(0, 16));
    const published = await drain(publish(verified, { to, signer }));
    expect(published).toMatchObject({ to, files: preview.files.length + 1, signed: signer.hint });
    const sizes = [...preview.files.map(({ bytes }) => bytes), (await readFile(join(to, 'model.sig'))).length];
    expect(published.bytes).toBe(sizes.reduce((sum, bytes) => sum + bytes, 0));
    expect(await readdir(verified)).not.toContain('model.sig');
    expect(unverifiedManifest(await readBundle(join(to, 'model.sig'))).name).toBe('published');
    const { 'model.sig': _, ...files } = Object.fromEntries(await digestsOf(to));
    const manifest = verifiedManifest(await readBundle(join(to, 'model.sig')), verifier);
    expect(Object.fromEntries(manifest.files)).toEqual(files);
  });

  it('takes the signature of the package along where none is made', async () => {
    const folder = await signedCopy();
    const to = join(await temporaryFolder(), 'published');
    const preview = await drain(previewPublication(folder, { to }));
    expect(describePublication(preview)).toContainEqual(['signature', 'model.sig of the package']);
    const published = await drain(publish(folder, { to }));
    expect(published).toMatchObject({ files: preview.files.length });
    expect(published).not.toHaveProperty('signed');
    expect(await digestsOf(to)).toEqual(await digestsOf(folder));
  });

  it('refuses a signature of other bytes, and replaces it when it is to sign', async () => {
    const folder = await signedCopy();
    const report = join(folder, 'verification/report.json'); // as another verification that has passed leaves it
    await writeFile(report, (await readFile(report, 'utf8')).replace('"verdict": "passed"', '"verdict":  "passed"'));
    const to = join(await temporaryFolder(), 'published');
    const publishing = drain(publish(folder, { to }));
    await expect(publishing).rejects.toThrow(PublishError);
    await expect(publishing).rejects.toThrow(
      /its signature \(model\.sig\) is of other files: .*report\.json.*\. Sign the package again, or remove it\.$/,
    );
    expect((await drain(publish(folder, { to, signer }))).signed).toBe(signer.hint);
    await writeFile(join(folder, 'model.sig'), 'nope');
    await expect(drain(publish(folder, { to }))).rejects.toThrow(
      /model\.sig is not valid JSON.* Sign the package again/,
    );
  });
});

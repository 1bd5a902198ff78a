import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, InputMissingError, UsageError } from '../../src/errors.ts';
import { openSigner, openVerifier } from '../../src/sign/keys.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { golden, writeKey } from './golden-bundles.ts';

const { plain, encrypted, passphrase, hint } = golden.keys;
const data = Buffer.from('what is signed');

describe('a private key', () => {
  it.each(Object.entries(plain))('as %s is called as the reference implementation calls it', async (_, pem) => {
    expect(await openSigner(await writeKey(pem))).toMatchObject({ curve: 'P-256', hint });
  });

  it.each(Object.entries(encrypted))('encrypted as %s opens with its passphrase, and with no other', async (_, pem) => {
    const file = await writeKey(pem);
    expect(await openSigner(file, { passphrase })).toMatchObject({ hint });
    await expect(openSigner(file)).rejects.toThrow(`${file} is encrypted. Put its passphrase into the environment`);
    for (const wrong of ['', 'Geheim'])
      await expect(openSigner(file, { passphrase: wrong })).rejects.toThrow('cannot be decrypted with the passphrase');
  });

  it('shows nothing of itself: not as text, not as JSON, not in what it refuses', async () => {
    const secret = (plain['pkcs8'] as string).split('\n')[1] as string;
    const file = await writeKey(plain['pkcs8'] as string);
    const signer = await openSigner(file);
    expect(Object.keys(signer).sort()).toEqual(['curve', 'hint', 'sign']);
    expect(JSON.stringify(signer)).toBe(JSON.stringify({ curve: 'P-256', hint }));
    await chmod(file, 0o640);
    const refused = await openSigner(file).catch((error: Error) => error);
    expect(refused).toBeInstanceOf(UsageError);
    expect(`${(refused as Error).stack} ${JSON.stringify(refused)}`).not.toContain(secret.slice(0, 20));
  });

  it.each([0o640, 0o604, 0o660, 0o602, 0o601])('of mode %o is refused: others may use it', async (mode) => {
    const file = await writeKey(plain['pkcs8'] as string);
    await chmod(file, mode);
    await expect(openSigner(file)).rejects.toThrow(UsageError);
    await expect(openSigner(file)).rejects.toThrow(`(its mode is ${mode.toString(8)}). Take that from them: chmod 600`);
  });

  it.each([0o600, 0o400])('of mode %o is its owner’s alone', async (mode) => {
    const file = await writeKey(plain['pkcs8'] as string);
    await chmod(file, mode);
    expect((await openSigner(file)).hint).toBe(hint);
  });

  const pairOf = (kind: string) => {
    if (kind === 'rsa') return generateKeyPairSync('rsa', { modulusLength: 2048 });
    if (kind === 'ed25519') return generateKeyPairSync('ed25519');
    return generateKeyPairSync('ec', { namedCurve: kind });
  };
  const ofKind = (kind: string) => {
    const { privateKey, publicKey } = pairOf(kind);
    return {
      privateKey: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
      publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
    };
  };

  it.each(['rsa', 'ed25519', 'secp256k1'])('of the kind %s is refused, and so is its public key', async (kind) => {
    const { privateKey, publicKey } = ofKind(kind);
    const sentence = `is a key of the kind ${kind}; packages are signed on P-256, P-384 or P-521.`;
    await expect(openSigner(await writeKey(privateKey))).rejects.toThrow(sentence);
    await expect(openVerifier(await writeKey(publicKey))).rejects.toThrow(sentence);
  });

  it.each([
    ['prime256v1', 'P-256'],
    ['secp384r1', 'P-384'],
    ['secp521r1', 'P-521'],
  ])('on %s signs what its public key verifies, and nothing else does', async (kind, curve) => {
    const [own, other] = [ofKind(kind), ofKind(kind)];
    const signer = await openSigner(await writeKey(own.privateKey));
    const verifier = await openVerifier(await writeKey(own.publicKey));
    expect([signer.curve, verifier.curve, verifier.hint]).toEqual([curve, curve, signer.hint]);
    const signature = signer.sign(data);
    expect(verifier.verifies(data, signature)).toBe(true);
    expect(verifier.verifies(Buffer.from('something else'), signature)).toBe(false);
    expect(verifier.verifies(data, Buffer.from('no signature'))).toBe(false);
    expect((await openVerifier(await writeKey(other.publicKey))).verifies(data, signature)).toBe(false);
  });

  it.each([
    ['nothing', '', 'has no private key in PEM form'],
    ['a damaged one', '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n', 'has a damaged private key'],
    ['a public one', ofKind('prime256v1').publicKey, 'is a public key'],
    ['bytes', '\u0000\u0001\u0002', 'has no private key in PEM form'],
    ['too much', 'x'.repeat(1 << 17), 'it is something else'],
  ])('is not %s', async (_, pem, sentence) => {
    const opening = openSigner(await writeKey(pem));
    await expect(opening).rejects.toThrow(FormatError);
    await expect(opening).rejects.toThrow(sentence);
  });

  it('must be there, and be a file', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'key.pem'));
    await expect(openSigner(join(folder, 'gone.pem'))).rejects.toThrow(InputMissingError);
    await expect(openSigner(join(folder, 'key.pem'))).rejects.toThrow('a file was expected here');
    await expect(openVerifier(join(folder, 'gone.pem'))).rejects.toThrow(InputMissingError);
  });

  it('is not taken for a public one', async () => {
    for (const pem of [...Object.values(plain), ...Object.values(encrypted)])
      await expect(openVerifier(await writeKey(pem))).rejects.toThrow('is a private key, and a public one is needed');
    await expect(openVerifier(await writeKey('-----BEGIN CERTIFICATE-----\n'))).rejects.toThrow('has no public key');
    const damaged = '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n';
    await expect(openVerifier(await writeKey(damaged))).rejects.toThrow('has a damaged public key');
  });
});

/**
 * Keys that packages are signed with: ECDSA on P-256, P-384 or P-521 in PEM files (OpenSSF Model Signing, algorithm-registry.md).
 * What comes of a private key can sign and be named; the key itself cannot be got out of it, and stands in no message.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { FormatError, UsageError } from '../errors.ts';
import { readSmallFile } from '../formats/byte-source.ts';
import { printable } from '../text/quote.ts';

/** By OpenSSL's name of the curve; each goes with the hash of its size (Sigstore's algorithm registry). */
const CURVES: Readonly<Record<string, { readonly curve: string; readonly hash: string }>> = {
  prime256v1: { curve: 'P-256', hash: 'sha256' },
  secp384r1: { curve: 'P-384', hash: 'sha384' },
  secp521r1: { curve: 'P-521', hash: 'sha512' },
};

export interface KeyName {
  /** `P-256` */
  readonly curve: string;
  /** SHA-256 of the public key's PEM, in hexadecimal: what a bundle calls its key by. */
  readonly hint: string;
}

export interface Signer extends KeyName {
  /** The signature in DER. */
  sign(data: Uint8Array): Uint8Array;
}

export interface Verifier extends KeyName {
  verifies(data: Uint8Array, signature: Uint8Array): boolean;
}

/** PEM files of these keys have 200 to 600 bytes; comments and parameters may stand before. */
const MAX_PEM_BYTES = 1 << 16;
const PRIVATE_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
/** What permissions others than the owner have. */
const OTHERS = 0o077;

/**
 * The private key in `file`; `passphrase` for an encrypted one.
 * @throws InputMissingError, FormatError for what is no such key or another passphrase's, UsageError for a key that others may read.
 */
export async function openSigner(
  file: string,
  { passphrase }: { passphrase?: string | undefined } = {},
): Promise<Signer> {
  const pem = await readSmallFile(file, MAX_PEM_BYTES);
  const key = await privateKey(Buffer.from(pem), { file, passphrase });
  pem.fill(0);
  const { curve, hash, hint } = describe(createPublicKey(key), file);
  return { curve, hint, sign: (data) => sign(hash, data, key) };
}

/** @throws InputMissingError, FormatError for what is no such key */
export async function openVerifier(file: string): Promise<Verifier> {
  const pem = Buffer.from(await readSmallFile(file, MAX_PEM_BYTES)).toString('latin1');
  if (PRIVATE_KEY.test(pem))
    refuse(file, 'is a private key, and a public one is needed here: openssl pkey -in KEY.pem -pubout -out PUBLIC.pem');
  if (!pem.includes('-----BEGIN PUBLIC KEY-----'))
    refuse(file, 'has no public key in PEM form (-----BEGIN PUBLIC KEY-----)');
  const key = attempt(() => createPublicKey(pem)) ?? refuse(file, 'has a damaged public key');
  const { curve, hash, hint } = describe(key, file);
  return { curve, hint, verifies: (data, signature) => verify(hash, data, key, signature) };
}

/** `P-256 key 0123456789ab…` */
export function describeKey({ curve, hint }: KeyName): string {
  return `${curve} key ${hint.slice(0, 12)}…`;
}

/** As ssh does it: a key that others may read is not one's own. Windows has other permissions than these. */
async function assertPrivate(file: string): Promise<void> {
  if (process.platform === 'win32') return;
  const { mode } = await stat(file);
  if ((mode & OTHERS) === 0) return;
  throw new UsageError(
    `The private key ${printable(file, 500)} can be used by others on this machine (its mode is ${(mode & 0o777).toString(8)}). Take that from them: chmod 600 ${printable(file, 500)}`,
  );
}

async function privateKey(
  pem: Buffer,
  { file, passphrase }: { file: string; passphrase: string | undefined },
): Promise<KeyObject> {
  const text = pem.toString('latin1');
  if (text.includes('-----BEGIN PUBLIC KEY-----') && !PRIVATE_KEY.test(text))
    refuse(file, 'is a public key; what signs is the private one that belongs to it');
  if (!PRIVATE_KEY.test(text)) refuse(file, 'has no private key in PEM form (-----BEGIN PRIVATE KEY-----)');
  await assertPrivate(file);
  const isEncrypted = /ENCRYPTED/.test(text);
  if (isEncrypted && passphrase === undefined)
    refuse(file, 'is encrypted. Put its passphrase into the environment as LCM_MERGE_KEY_PASSPHRASE');
  const key = attempt(() => createPrivateKey({ key: pem, ...(isEncrypted && { passphrase }) }));
  if (key) return key;
  return refuse(
    file,
    isEncrypted ? 'cannot be decrypted with the passphrase in LCM_MERGE_KEY_PASSPHRASE' : 'has a damaged private key',
  );
}

function describe(key: KeyObject, file: string) {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const known = CURVES[details?.namedCurve ?? ''];
  if (!known)
    refuse(file, `is a key of the kind ${details?.namedCurve ?? type}; packages are signed on P-256, P-384 or P-521`);
  const hint = createHash('sha256')
    .update(key.export({ type: 'spki', format: 'pem' }))
    .digest('hex');
  return { ...(known as (typeof CURVES)[string]), hint };
}

/** OpenSSL's own reasons help nobody; what it was given is told by whoever asked. */
function attempt<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function refuse(file: string, reason: string): never {
  throw new FormatError(`${printable(file, 500)} ${reason}.`, { file });
}

/** Bundles that the reference implementation made, and models like those it made them of (test/oracle/signing.py). */
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { drain } from '../../src/events.ts';
import { digestCandidate, digestsByName, openCandidate } from '../../src/publish/candidate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';

export interface GoldenBundle {
  readonly curve: string;
  /** Base64 by path. */
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
  readonly public_key: string;
  readonly bundle: {
    readonly mediaType: string;
    readonly verificationMaterial: Readonly<Record<string, unknown>>;
    readonly dsseEnvelope: {
      readonly payload: string;
      readonly payloadType: string;
      readonly signatures: readonly { readonly sig: string; readonly keyid?: string }[];
    };
  };
}

export const golden = JSON.parse(await readFile('test/golden/signing.json', 'utf8')) as {
  readonly cases: Readonly<Record<string, GoldenBundle>>;
  readonly keys: {
    readonly passphrase: string;
    readonly hint: string;
    readonly plain: Readonly<Record<string, string>>;
    readonly encrypted: Readonly<Record<string, string>>;
  };
  /** Message → field → what it is. */
  readonly messages: Readonly<
    Record<string, Readonly<Record<string, { readonly kind: string; readonly many: string }>>>
  >;
};

export function goldenBundle(name: string): GoldenBundle {
  const found = golden.cases[name];
  if (!found) throw new RangeError(`There is no golden bundle ${name}.`);
  return found;
}

/** The model on disk, with its signature in it. */
export async function writeModel({ files, links, bundle }: GoldenBundle): Promise<string> {
  const folder = join(await temporaryFolder(), 'model');
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), Buffer.from(content, 'base64'));
  }
  for (const [name, target] of Object.entries(links)) await symlink(target, join(folder, name));
  await writeFile(join(folder, 'model.sig'), JSON.stringify(bundle));
  return folder;
}

/** A key file as it should be: its owner's alone. */
export async function writeKey(pem: string, mode = 0o600): Promise<string> {
  const file = join(await temporaryFolder(), 'key.pem');
  await writeFile(file, pem, { mode });
  return file;
}

export async function digestsOf(folder: string): Promise<ReadonlyMap<string, string>> {
  const candidate = await openCandidate(folder);
  const digests = await drain(digestCandidate(candidate, { action: 'hash', done: 0, total: candidate.bytes }));
  return digestsByName(candidate.files, digests);
}

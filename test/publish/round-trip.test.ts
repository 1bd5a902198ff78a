/** One signed package through every kind of place, each time taken from the one before: what comes out at the end is what went in. */
import { generateKeyPairSync } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect, it, vi } from 'vitest';
import { drain } from '../../src/events.ts';
import { publish } from '../../src/publish/publish.ts';
import { pull } from '../../src/publish/pull.ts';
import { signPackage } from '../../src/publish/sign.ts';
import { readBundle, verifiedManifest } from '../../src/sign/bundle.ts';
import { openSigner, openVerifier } from '../../src/sign/keys.ts';
import { compareSigned } from '../../src/sign/manifest.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { sha256, startHub } from '../hub/hub-server.ts';
import { hasRegistry, startRegistry } from '../oci/real-registry.ts';
import { digestsOf, writeKey } from '../sign/golden-bundles.ts';
import { makeVerified } from './handmade.ts';

async function hashesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  return Object.fromEntries(
    await Promise.all(
      files.sort().map(async (file) => [relative(folder, file), sha256(await readFile(file))] as const),
    ),
  );
}

it.runIf(hasRegistry)(
  'a folder, a registry and the Hub give back the bytes that they got, and the signature holds',
  async () => {
    const hub = await startHub();
    hub.token = 'hf_secret';
    vi.stubEnv('HF_ENDPOINT', hub.endpoint);
    vi.stubEnv('HF_TOKEN', hub.token);
    const pem = {
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      publicKeyEncoding: { type: 'spki', format: 'pem' },
    };
    const keys = generateKeyPairSync('ec', { namedCurve: 'P-384', ...(pem as object) }) as unknown as Record<
      string,
      string
    >;
    const signer = await openSigner(await writeKey(keys['privateKey'] as string));
    const verifier = await openVerifier(await writeKey(keys['publicKey'] as string, 0o644));

    const own = await makeVerified(join(await temporaryFolder(), 'ink'), {
      'README.md': '# Ink\n',
      'unet/model.onnx': 'graph',
      'unet/model.onnx_data': Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 24),
      'text_encoder/empty.json': '',
    });
    await drain(signPackage(own, { signer }));
    const sent = await hashesOf(own);

    let folder = own;
    const places = [
      join(await temporaryFolder(), 'published'),
      `oci://${await startRegistry()}/styles/ink:v1`,
      'hf://me/ink',
      join(await temporaryFolder(), 'again'),
    ];
    for (const to of places) {
      const published = await drain(publish(folder, { to }));
      vi.stubEnv('LCM_MERGE_CACHE', await temporaryFolder()); // so that all of it comes from there
      folder = to.includes('://')
        ? (await drain(pull(published.to, { out: join(await temporaryFolder(), 'pulled') }))).folder
        : published.to;
      expect(await hashesOf(folder), to).toEqual(sent);
      const manifest = verifiedManifest(await readBundle(join(folder, 'model.sig')), verifier);
      expect(compareSigned(manifest, await digestsOf(folder)), to).toEqual({ altered: [], missing: [], added: [] });
    }
    expect(folder).not.toBe(own);
  },
);

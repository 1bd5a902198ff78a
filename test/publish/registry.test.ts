import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { InputMissingError, PublishError, UnavailableError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import type { Patience } from '../../src/hub/http.ts';
import { MANIFEST_TYPE } from '../../src/oci/artifact.ts';
import { type OciReference, parseOciReference } from '../../src/oci/reference.ts';
import { openRegistry } from '../../src/oci/registry.ts';
import { surveyPublication } from '../../src/publish/preview.ts';
import { publish } from '../../src/publish/publish.ts';
import { pull } from '../../src/publish/pull.ts';
import { openTarget } from '../../src/publish/target.ts';
import { readBundle, unverifiedManifest } from '../../src/sign/bundle.ts';
import { openSigner } from '../../src/sign/keys.ts';
import { digestPackage } from '../../src/verify/gate.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FaultProxy, startFaultProxy } from '../oci/fault-proxy.ts';
import { hasRegistry, startRegistry } from '../oci/real-registry.ts';
import { digestsOf, golden, writeKey } from '../sign/golden-bundles.ts';
import { makeVerified } from './handmade.ts';

const patience: Patience = { attempts: 2, firstDelay: 1, longestDelay: 1000, idle: 5000 };
const WEIGHTS = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * 2654435761) >>> 23);
const FILES = { 'unet/model.onnx_data': WEIGHTS, 'unet/model.onnx': 'graph', 'README.md': '# ink\n' };

if (!hasRegistry) it.skip('publish to a registry: needs docker-registry (Debian: apt install docker-registry)');

const anotherPackage = async (name: string) =>
  makeVerified(join(await temporaryFolder(), name), { 'unet/model.onnx': 'another graph' });

describe.runIf(hasRegistry)('publish to a registry', () => {
  let verified: string;
  let proxy: FaultProxy;
  let serial = 0;
  const place = () => `oci://${proxy.address}/styles/ink${(serial += 1)}:v1`;

  beforeAll(async () => {
    proxy = await startFaultProxy(await startRegistry());
    verified = await makeVerified(join(await temporaryFolder(), 'ink'), FILES);
  });
  beforeEach(async () => {
    proxy.fault = () => undefined;
    proxy.log.length = 0;
    vi.stubEnv('LCM_MERGE_CACHE', await temporaryFolder());
  });

  it('comes back byte for byte, by tag and by digest', async () => {
    const to = place();
    const events: Event[] = [];
    const published = await drain(publish(verified, { to, patience }), (event) => events.push(event));
    expect(published.to).toMatch(new RegExp(`^${to}@sha256:[0-9a-f]{64}$`));
    const shown = events.flatMap((event) => (event.type === 'progress' ? [event.done / event.total] : []));
    expect(shown).toEqual(shown.toSorted((a, b) => a - b));
    expect(shown.at(-1)).toBe(1);
    for (const reference of [to, published.to]) {
      const out = join(await temporaryFolder(), 'deep', 'pulled');
      const pulled = await drain(pull(reference, { out, patience }));
      expect(pulled).toMatchObject({ folder: out, reference: published.to, files: published.files });
      expect(await digestPackage(out)).toEqual(await digestPackage(verified));
      expect((await readdir(join(out, 'verification'))).toSorted()).toEqual(
        (await readdir(join(verified, 'verification'))).toSorted(),
      );
    }
  });

  it('is the same artifact wherever it goes, and sends what is there already to nobody', async () => {
    const to = place();
    const first = await drain(publish(verified, { to, patience }));
    proxy.log.length = 0;
    const again = await drain(publish(verified, { to: to.replace(':v1', ':v2'), patience }));
    expect(again.to.split('@')[1]).toBe(first.to.split('@')[1]);
    expect(proxy.log.filter(({ method }) => method === 'PATCH')).toEqual([]);
  });

  it('is said to be there already, byte for byte, and its tag is not written again', async () => {
    const to = place();
    const first = await drain(publish(verified, { to, patience }));
    expect(first).not.toHaveProperty('unchanged');
    proxy.log.length = 0;
    expect(await drain(publish(verified, { to, patience }))).toEqual({ ...first, unchanged: true });
    expect(proxy.log.filter(({ method }) => method === 'PUT')).toEqual([]);
  });

  it.each([
    ['that moves no tag', 'ink'],
    ['that keeps nothing', undefined],
  ])('is not said to be published by a registry %s', async (_, before) => {
    const to = place();
    if (before !== undefined) await drain(publish(await anotherPackage(before), { to, patience }));
    proxy.fault = ({ method, url }) => (method === 'PUT' && /\/manifests\//.test(url) ? { status: 201 } : undefined);
    const stands = before === undefined ? 'nothing' : 'sha256:[0-9a-f]{64}';
    await expect(drain(publish(verified, { to, patience }))).rejects.toThrow(
      new RegExp(`^${to} names ${stands} after sha256:[0-9a-f]{64} was put there\\. Has somebody else`),
    );
  });

  it.each(['LCM_MERGE_OFFLINE', 'HF_HUB_OFFLINE'])('asks nobody with %s', async (name) => {
    const to = place();
    vi.stubEnv(name, '1');
    const publishing = drain(publish(verified, { to, patience }));
    await expect(publishing).rejects.toThrow(`${name} forbids the network. Unset it to publish to ${to}.`);
    await expect(openTarget(verified, { to, patience })).rejects.toThrow(UnavailableError);
    expect(proxy.log).toEqual([]);
    vi.stubEnv(name, '');
  });

  it('comes back signed where it was to be signed, and the package has no signature', async () => {
    const signer = await openSigner(await writeKey(golden.keys.plain['pkcs8'] as string));
    const to = place();
    const published = await drain(publish(verified, { to, signer, patience }));
    const out = join(await temporaryFolder(), 'pulled');
    const pulled = await drain(pull(to, { out, patience }));
    expect(pulled).toMatchObject({ files: published.files, bytes: published.bytes });
    expect(published.signed).toBe(signer.hint);
    const bundle = await readBundle(join(out, 'model.sig'));
    expect(bundle.hint).toBe(signer.hint);
    const { 'model.sig': _, ...files } = Object.fromEntries(await digestsOf(out));
    expect(Object.fromEntries(unverifiedManifest(bundle).files)).toEqual(files);
    expect(await readdir(verified)).not.toContain('model.sig');
  });

  it('fetches what two pulls share once', async () => {
    const to = place();
    await drain(publish(verified, { to, patience }));
    await drain(pull(to, { out: join(await temporaryFolder(), 'a'), patience }));
    proxy.log.length = 0;
    await drain(pull(to, { out: join(await temporaryFolder(), 'b'), patience }));
    expect(proxy.log.filter(({ url }) => url.includes('/blobs/'))).toEqual([]);
  });

  it('shows nothing of what could not be sent whole, and goes on with it the next time', async () => {
    const to = place();
    proxy.fault = ({ method, url }) => (method === 'PUT' && url.includes('/manifests/') ? { status: 503 } : undefined);
    await expect(drain(publish(verified, { to, patience }))).rejects.toThrow(UnavailableError);
    proxy.fault = () => undefined;
    await expect(drain(pull(to, { out: join(await temporaryFolder(), 'x'), patience }))).rejects.toThrow(
      InputMissingError,
    );
    proxy.log.length = 0;
    await drain(publish(verified, { to, patience }));
    expect(proxy.log.filter(({ method }) => method === 'PATCH')).toEqual([]);
  });

  it('goes on in the middle of a file that was being sent, and leaves no trace of its address', async () => {
    const to = place();
    const stop = new AbortController();
    const chunk = 1 << 20;
    proxy.fault = ({ range }) => {
      if (!range?.startsWith(`${2 * chunk}-`)) return undefined;
      stop.abort(new Error('enough'));
      return { status: 503 };
    };
    const { signal } = stop;
    await expect(drain(publish(verified, { to, patience, chunk, signal }))).rejects.toThrow('enough');
    proxy.fault = () => undefined;
    proxy.log.length = 0;
    const events: Event[] = [];
    await drain(publish(verified, { to, patience, chunk }), (event) => events.push(event));
    const [first] = proxy.log.filter(({ method }) => method === 'PATCH');
    expect(first?.range).toMatch(new RegExp(`^${2 * chunk}-`));
    expect(JSON.stringify(events)).not.toMatch(/_state|uploads/);
    const records = await readdir(join(process.env['LCM_MERGE_CACHE'] as string, 'records'), { recursive: true });
    expect(records.filter((name) => name.endsWith('.json'))).toEqual([]);
  });

  it('refuses a package that has not passed before it says a word to the registry', async () => {
    const folder = join(await temporaryFolder(), 'package');
    await mkdir(folder);
    await writeFile(join(folder, 'README.md'), '');
    await expect(drain(publish(folder, { to: place() }))).rejects.toThrow(PublishError);
    expect(proxy.log).toEqual([]);
  });

  it.each([
    ['oci://Host/A', /is no|expected/],
    [`oci://127.0.0.1:1/a@sha256:${'a'.repeat(64)}`, /names a digest/],
  ])('takes %s for no place to publish to', async (to, reason) => {
    await expect(drain(publish(verified, { to }))).rejects.toThrow(UsageError);
    await expect(drain(publish(verified, { to }))).rejects.toThrow(reason);
  });

  it('does not replace what is no package, and the preview says so', async () => {
    const to = place();
    const registry = openRegistry(parseOciReference(to) as OciReference, { patience });
    const { digest, bytes: size } = await registry.pushBytes(new TextEncoder().encode('{}'));
    const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size };
    const image = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [] });
    await registry.putManifest(new TextEncoder().encode(image), MANIFEST_TYPE, 'v1');
    const publishing = drain(publish(verified, { to, patience }));
    await expect(publishing).rejects.toThrow(UsageError);
    await expect(publishing).rejects.toThrow(/artifact type is "none".* It would be replaced\. Choose another tag\.$/);
    const { refusals } = await surveyPublication(verified, to);
    await expect(publishing).rejects.toThrow(refusals[0]?.message ?? 'The preview says that it can be published.');
  });

  it('says who should log in where a registry wants to know', async () => {
    vi.stubEnv('DOCKER_CONFIG', await temporaryFolder());
    proxy.fault = () => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } });
    await expect(drain(publish(verified, { to: place(), patience }))).rejects.toThrow(/docker login/);
  });

  it('leaves nothing of a pull that breaks off, and what stood there before', async () => {
    const to = place();
    await drain(publish(verified, { to, patience }));
    const out = join(await temporaryFolder(), 'pulled');
    await drain(pull(to, { out, patience }));
    vi.stubEnv('LCM_MERGE_CACHE', await temporaryFolder());
    proxy.fault = ({ method, url }) => (method === 'GET' && url.includes('/blobs/') ? { status: 500 } : undefined);
    await expect(drain(pull(to, { out, patience }))).rejects.toThrow(UnavailableError);
    expect(await readdir(join(out, '..'))).toEqual(['pulled']);
    expect(await readFile(join(out, 'README.md'))).toEqual(await readFile(join(verified, 'README.md')));
  });
});

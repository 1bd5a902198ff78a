import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FormatError } from '../../src/errors.ts';
import { openCache } from '../../src/hub/cache.ts';
import { HttpRefusal, type Patience } from '../../src/hub/http.ts';
import { type Blob, openRegistry, type Registry, type RegistryOptions } from '../../src/oci/registry.ts';
import { openUploads } from '../../src/oci/uploads.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';
import { hasRegistry, startRegistry } from './real-registry.ts';

const QUICK: Patience = { attempts: 4, firstDelay: 1, longestDelay: 2000, idle: 5000 };
const MIB = 1 << 20;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

let proxy: FaultProxy;
let serial = 0;

if (!hasRegistry) it.skip('a registry: needs docker-registry (Debian: apt install docker-registry)');

describe.runIf(hasRegistry)('a registry', () => {
  beforeAll(async () => {
    proxy = await startFaultProxy(await startRegistry());
  });
  beforeEach(() => {
    proxy.fault = () => undefined;
    proxy.log.length = 0;
  });

  const open = (options: RegistryOptions = {}) =>
    openRegistry(
      { registry: proxy.address, repository: `test/r${(serial += 1)}` },
      { patience: QUICK, chunk: MIB, ...options },
    );

  async function randomFile(bytes: number): Promise<{ path: string; blob: Blob; data: Buffer }> {
    const data = randomBytes(bytes);
    const path = join(await temporaryFolder(), 'blob');
    await writeFile(path, data);
    return { path, data, blob: { digest: digestOf(data), bytes } };
  }

  it('takes a file in chunks, says how far it is, and gives it back from any byte on', async () => {
    const registry = open();
    const { path, blob, data } = await randomFile(2.5 * MIB);
    expect(await registry.has(blob)).toBe(false);
    expect(await Array.fromAsync(registry.push(blob, path))).toEqual([MIB, 2 * MIB, 2.5 * MIB]);
    expect(await registry.has(blob)).toBe(true);
    expect(await contentOf(registry, blob, 0)).toEqual(data);
    expect(await contentOf(registry, blob, 1000)).toEqual(data.subarray(1000));
  });

  it.each([0, 1, MIB])('takes a file of %i bytes', async (bytes) => {
    const registry = open();
    const { path, blob, data } = await randomFile(bytes);
    await Array.fromAsync(registry.push(blob, path));
    expect(await contentOf(registry, blob, 0)).toEqual(data);
  });

  it('keeps manifests by tag and digest', async () => {
    const registry = open();
    expect(await registry.getManifest('v1', MANIFEST)).toBeUndefined();
    const config = await registry.pushBytes(new TextEncoder().encode('{}'));
    const bytes = new TextEncoder().encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MANIFEST,
        config: { mediaType: 'application/json', digest: config.digest, size: config.bytes },
        layers: [],
      }),
    );
    const digest = await registry.putManifest(bytes, MANIFEST, 'v1');
    expect(digest).toBe(digestOf(bytes));
    expect(await registry.getManifest('v1', MANIFEST)).toMatchObject({ digest, mediaType: MANIFEST });
    expect((await registry.getManifest(digest, MANIFEST))?.bytes).toEqual(Buffer.from(bytes));
  });

  it.each([
    ['the connection is cut', { cutAfter: 0 }],
    ['the registry fails', { status: 500 }],
    ['it has got elsewhere', { status: 416 }],
    ['it is asked too often', { status: 429, headers: { 'retry-after': '1' } }],
  ] as const)('goes on where it has got to when %s', async (_, fault) => {
    const registry = open();
    const { path, blob, data } = await randomFile(3 * MIB);
    let faults = 0;
    proxy.fault = ({ method, range }) =>
      method === 'PATCH' && range?.startsWith(`${MIB}-`) && (faults += 1) === 1 ? fault : undefined;
    await Array.fromAsync(registry.push(blob, path));
    expect(await contentOf(registry, blob, 0)).toEqual(data);
    const begun = proxy.log.filter(({ method, range }) => method === 'PATCH' && range?.startsWith('0-'));
    expect(begun).toHaveLength(1); // what was there was not sent again
  });

  it('begins again when the registry gives an upload up that was cut in the middle of a chunk', async () => {
    const registry = open();
    const { path, blob, data } = await randomFile(3 * MIB);
    let faults = 0;
    proxy.fault = ({ method, range }) =>
      method === 'PATCH' && range?.startsWith(`${MIB}-`) && (faults += 1) === 1 ? { cutAfter: 300_000 } : undefined;
    await Array.fromAsync(registry.push(blob, path));
    expect(await contentOf(registry, blob, 0)).toEqual(data);
  });

  it('gives up when it gets no further, and says why', async () => {
    const registry = open();
    const { path, blob } = await randomFile(2 * MIB);
    proxy.fault = ({ method }) => (method === 'PATCH' ? { status: 503 } : undefined);
    await expect(Array.fromAsync(registry.push(blob, path))).rejects.toThrow(HttpRefusal);
    expect(await registry.has(blob)).toBe(false);
  });

  it('begins again when the registry has forgotten the upload', async () => {
    const registry = open();
    const { path, blob } = await randomFile(2 * MIB);
    let gone = false;
    proxy.fault = ({ method, range }) => {
      if (gone && method === 'GET') {
        gone = false;
        return { status: 404 };
      }
      if (gone || range?.startsWith(`${MIB}-`) !== true || proxy.log.filter((seen) => seen.range === range).length > 1)
        return undefined;
      gone = true;
      return { status: 500 };
    };
    await Array.fromAsync(registry.push(blob, path));
    expect(await registry.has(blob)).toBe(true);
  });

  describe('goes on with what another process has begun', () => {
    let cache: string;
    beforeEach(async () => {
      cache = await temporaryFolder();
    });
    const repository = () => `test/u${(serial += 1)}`;
    const openAt = (repo: string, options: RegistryOptions = {}) => {
      const reference = { registry: proxy.address, repository: repo };
      const uploads = openUploads(openCache(cache), reference);
      return openRegistry(reference, { patience: QUICK, chunk: MIB, uploads, ...options });
    };
    const records = async () =>
      (await readdir(cache, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
    const begun = () => proxy.log.filter(({ method, range }) => method === 'PATCH' && range?.startsWith('0-'));

    it('and was killed at', async () => {
      const repo = repository();
      const { path, blob, data } = await randomFile(3.5 * MIB);
      const script = `
        import { openCache } from ${JSON.stringify(resolve('src/hub/cache.ts'))};
        import { openRegistry } from ${JSON.stringify(resolve('src/oci/registry.ts'))};
        import { openUploads } from ${JSON.stringify(resolve('src/oci/uploads.ts'))};
        const reference = ${JSON.stringify({ registry: proxy.address, repository: repo })};
        const uploads = openUploads(openCache(${JSON.stringify(cache)}), reference);
        const registry = openRegistry(reference, { chunk: ${MIB}, uploads });
        for await (const _ of registry.push(${JSON.stringify(blob)}, ${JSON.stringify(path)}));`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' });
      proxy.fault = ({ range }) => {
        if (!range?.startsWith(`${2 * MIB}-`)) return undefined;
        child.kill('SIGKILL');
        return { status: 503 }; // nothing of the third chunk arrives
      };
      expect(await once(child, 'exit')).toEqual([null, 'SIGKILL']);
      const [record = '', ...more] = await records();
      expect(more).toEqual([]);
      expect((await stat(record)).mode & 0o777).toBe(0o600);
      proxy.fault = () => undefined;
      proxy.log.length = 0;
      const told = await Array.fromAsync(openAt(repo).push(blob, path));
      expect(told).toEqual([2 * MIB, 3 * MIB, 3.5 * MIB]);
      expect(begun()).toEqual([]);
      expect(await contentOf(openAt(repo), blob)).toEqual(data);
      expect(await records()).toEqual([]);
    });

    /** Sends `chunks` of the file and stops. */
    async function beginWith(repo: string, blob: Blob, path: string, chunks = 1): Promise<void> {
      const stop = new AbortController();
      const pushing = openAt(repo, { signal: stop.signal }).push(blob, path);
      for (let i = 0; i < chunks; i += 1) await pushing.next();
      stop.abort(new Error('enough'));
      await expect(pushing.next()).rejects.toThrow('enough');
      expect(await records()).toHaveLength(1);
      proxy.log.length = 0;
    }

    it.each([404, 416, 403])('unless the registry has forgotten it (%i)', async (status) => {
      const repo = repository();
      const { path, blob } = await randomFile(3 * MIB);
      await beginWith(repo, blob, path);
      proxy.fault = ({ method, url }) => (method === 'GET' && url.includes('/uploads/') ? { status } : undefined);
      await Array.fromAsync(openAt(repo).push(blob, path));
      expect(begun()).toHaveLength(1);
      expect(await openAt(repo).has(blob)).toBe(true);
      expect(await records()).toEqual([]);
    });

    it('and sends nothing again where only the end is missing', async () => {
      const repo = repository();
      const { path, blob } = await randomFile(2 * MIB);
      proxy.fault = ({ method }) => (method === 'PUT' ? { status: 503 } : undefined);
      await expect(Array.fromAsync(openAt(repo).push(blob, path))).rejects.toThrow(HttpRefusal);
      proxy.fault = () => undefined;
      proxy.log.length = 0;
      expect(await Array.fromAsync(openAt(repo).push(blob, path))).toEqual([2 * MIB]);
      expect(proxy.log.filter(({ method }) => method === 'PATCH')).toEqual([]);
      expect(await openAt(repo).has(blob)).toBe(true);
    });

    it('from the start where that was of another file', async () => {
      const repo = repository();
      const { path, blob, data } = await randomFile(2 * MIB);
      await beginWith(repo, blob, (await randomFile(2 * MIB)).path);
      await Array.fromAsync(openAt(repo).push(blob, path));
      expect(begun()).toHaveLength(1);
      expect(await contentOf(openAt(repo), blob)).toEqual(data);
      expect(await records()).toEqual([]);
    });

    it('but for what a living one is at', async () => {
      const repo = repository();
      const { path, blob } = await randomFile(2 * MIB);
      await beginWith(repo, blob, path);
      const [record = ''] = await records();
      const text = await readFile(record, 'utf8');
      expect(text).toContain(`"pid":${process.pid}}`);
      await writeFile(record, text.replace(`"pid":${process.pid}}`, `"pid":${process.ppid}}`));
      await Array.fromAsync(openAt(repo).push(blob, path));
      expect(begun()).toHaveLength(1);
    });

    it('and publishes also where nothing can be noted', async () => {
      const repo = repository();
      const { path, blob } = await randomFile(2 * MIB);
      await writeFile(join(cache, 'records'), ''); // no folder
      await Array.fromAsync(openAt(repo).push(blob, path));
      expect(await openAt(repo).has(blob)).toBe(true);
    });
  });

  it('is not sent to where it is not safe', async () => {
    const { path, blob } = await randomFile(1000);
    proxy.fault = ({ method }) =>
      method === 'POST' ? { status: 202, headers: { location: 'ftp://elsewhere.example/x?secret' } } : undefined;
    const pushing = Array.fromAsync(open().push(blob, path));
    await expect(pushing).rejects.toThrow(/an address that is none, or is not safe$/);
    await expect(pushing).rejects.not.toThrow('secret');
  });

  it('does not take other bytes than were promised', async () => {
    const registry = open();
    const { path, blob } = await randomFile(2 * MIB);
    await writeFile(path, randomBytes(2 * MIB));
    await expect(Array.fromAsync(registry.push(blob, path))).rejects.toThrow(/400|digest/i);
    await truncate(path, MIB);
    await expect(Array.fromAsync(registry.push(blob, path))).rejects.toThrow(FormatError);
    expect(await registry.has(blob)).toBe(false);
  });

  it('stops when it is told to', async () => {
    const controller = new AbortController();
    const registry = open({ signal: controller.signal });
    const { path, blob } = await randomFile(3 * MIB);
    const pushing = registry.push(blob, path);
    await pushing.next();
    controller.abort(new Error('enough'));
    await expect(pushing.next()).rejects.toThrow('enough');
  });

  it('shows who one is when that is asked for, and again when the token has run out', async () => {
    const credentials = { user: 'ann', password: 'secret' };
    const registry = open({ credentials });
    const { path, blob } = await randomFile(2 * MIB);
    let valid = 0;
    let given = 0;
    const challenge = `Bearer realm="http://${proxy.address}/token",service="test",scope="repository:x:pull,push"`;
    const tokens: string[] = [];
    proxy.fault = (seen) => {
      if (seen.url.startsWith('/token')) {
        tokens.push(`${seen.authorization} ${seen.url}`);
        given += 1;
        valid = 4;
        return {
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ token: `t${given}` }),
        };
      }
      if (seen.authorization === `Bearer t${given}` && given > 0 && (valid -= 1) >= 0) return undefined;
      return { status: 401, headers: { 'www-authenticate': challenge } };
    };
    await Array.fromAsync(registry.push(blob, path));
    expect(given).toBeGreaterThan(1);
    expect(tokens[0]).toBe(
      `Basic ${Buffer.from('ann:secret').toString('base64')} /token?service=test&scope=repository%3Ax%3Apull%2Cpush`,
    );
    expect(
      proxy.log.filter(({ url, authorization }) => !url.startsWith('/token') && authorization?.startsWith('Basic')),
    ).toEqual([]);
  });

  it('does not tell another host, to which the registry sends, who one is, whatever that asks', async () => {
    const registry = open({ credentials: { user: 'ann', password: 'secret' } });
    const { path, blob } = await randomFile(1000);
    await Array.fromAsync(registry.push(blob, path));
    const stranger = await startFaultProxy(proxy.address);
    stranger.fault = ({ url }) =>
      url.startsWith('/token')
        ? { status: 200, body: '{"token":"x"}' }
        : { status: 401, headers: { 'www-authenticate': `Bearer realm="http://${stranger.address}/token"` } };
    const location = `http://${stranger.address}/blob`;
    proxy.fault = ({ url }) => (url.includes('/blobs/') ? { status: 307, headers: { location } } : undefined);
    await expect(registry.wire.open(registry.addressOf(blob), {})).rejects.toMatchObject({ status: 401 });
    expect(stranger.log.map(({ url, authorization }) => [url, authorization])).toEqual([['/blob', undefined]]);
  });

  it('says so when the service that the registry names gives no token', async () => {
    const registry = open();
    const challenge = `Bearer realm="http://${proxy.address}/token"`;
    proxy.fault = ({ url }) =>
      url.startsWith('/token')
        ? { status: 200, body: '<html>' }
        : { status: 401, headers: { 'www-authenticate': challenge } };
    await expect(registry.has({ digest: digestOf(Buffer.from('x')), bytes: 1 })).rejects.toThrow('gives none');
  });

  it('is refused without credentials, with what the registry said', async () => {
    const registry = open();
    proxy.fault = () => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } });
    await expect(registry.has({ digest: digestOf(Buffer.from('x')), bytes: 1 })).rejects.toMatchObject({ status: 401 });
  });
});

function digestOf(data: Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

async function contentOf({ wire, addressOf }: Registry, blob: Blob, from = 0): Promise<Buffer> {
  const answer = await wire.open(addressOf(blob), from > 0 ? { range: `bytes=${from}-` } : {});
  expect(answer.status).toBe(from > 0 ? 206 : 200);
  return Buffer.concat(await Array.fromAsync(answer.chunks()));
}

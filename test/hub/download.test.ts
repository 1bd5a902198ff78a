import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Blob, openCache } from '../../src/hub/cache.ts';
import { download, type RemoteFile } from '../../src/hub/download.ts';
import { ConnectionFailure, collect, HttpRefusal, openWire, PATIENCE, type Patience } from '../../src/hub/http.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FakeHub, type Served, sha256, startHub } from './hub-server.ts';

const QUICK: Patience = { attempts: 4, firstDelay: 5, longestDelay: 1500, idle: 400 };
const SIZE = 3_000_000;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, i) => (i * 2654435761) >>> 24);
const LARGE: RemoteFile = { path: 'w.safetensors', bytes: SIZE, hash: { kind: 'sha256', hex: sha256(CONTENT) } };
const SMALL_CONTENT = Buffer.from('{"a": 1}\n');
/** `printf '{"a": 1}\n' | git hash-object --stdin` */
const SMALL_HASH = 'cb5b2f69babc53f9145b45ad20b9a075d48717ef';
const SMALL: RemoteFile = { path: 'config.json', bytes: 9, hash: { kind: 'git', hex: SMALL_HASH } };

let hub: FakeHub;
let commit: string;
let folder: string;

beforeEach(async () => {
  hub ??= await startHub();
  hub.fault = () => undefined;
  commit = hub.commit('o/r', { 'w.safetensors': CONTENT, 'config.json': SMALL_CONTENT });
  hub.log.length = 0;
  folder = await temporaryFolder();
});

interface Tried {
  readonly blob?: Blob;
  readonly error?: unknown;
  /** Bytes, as they were told. */
  readonly told: number[];
}

async function fetchFile(
  file: RemoteFile,
  { signal, until, onTold }: { signal?: AbortSignal; until?: number; onTold?: () => void } = {},
): Promise<Tried> {
  const wire = openWire({ endpoint: hub.endpoint, signal, patience: QUICK });
  const loading = download(`${hub.endpoint}/o/r/resolve/${commit}/${file.path}`, file, {
    wire,
    cache: openCache(folder),
    label: 'it',
    signal,
  });
  const told: number[] = [];
  try {
    for (;;) {
      const step = await loading.next();
      if (step.done) return { blob: step.value, told };
      told.push(step.value);
      onTold?.();
      if (until !== undefined && step.value >= until) {
        await loading.return(undefined as never);
        return { told };
      }
    }
  } catch (error) {
    return { error, told };
  }
}

const files = async () =>
  (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map(({ name }) => name);
const fromStorage = () => hub.log.filter(({ server }) => server === 'storage');
const blobOf = (content: Uint8Array) => ({ sha256: sha256(content), bytes: content.length });
const whenStored = (fault: (nth: number, request: Served) => ReturnType<FakeHub['fault']>) => {
  let nth = 0;
  let current: Served | undefined;
  hub.fault = (request) => {
    if (request.server !== 'storage') return undefined;
    if (request !== current) nth += 1; // a server asks before it answers and while it does
    current = request;
    return fault(nth, request);
  };
};

describe('a download', () => {
  it('follows the redirect to the storage, tells how far it is, and ends in the cache under its SHA-256', async () => {
    const { blob, told } = await fetchFile(LARGE);
    expect(blob).toEqual(blobOf(CONTENT));
    expect(told.at(-1)).toBe(SIZE);
    expect(told.length).toBeGreaterThan(1);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(await files()).toEqual([LARGE.hash.hex]);
    expect(new Uint8Array(await readFile(openCache(folder).blobPath(LARGE.hash.hex)))).toEqual(CONTENT);
  });

  it("of a file that is not in Git LFS is held to git's object id", async () => {
    expect((await fetchFile(SMALL)).blob).toEqual(blobOf(SMALL_CONTENT));
    const other = 'f'.repeat(40);
    const { error } = await fetchFile({ ...SMALL, hash: { kind: 'git', hex: other } });
    expect(String(error)).toContain(`its git object id is ${SMALL_HASH}, ${other} was expected`);
  });

  it('goes on where the connection was cut, and loads no byte twice', async () => {
    whenStored((nth) => (nth <= 2 ? { cutAfter: 700_000 } : undefined));
    const { blob } = await fetchFile(LARGE);
    expect(blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ range, ifRange, status }) => [range, ifRange, status])).toEqual([
      [undefined, undefined, 200],
      ['bytes=700000-', `"etag-${LARGE.hash.hex.slice(0, 8)}"`, 206],
      ['bytes=1400000-', `"etag-${LARGE.hash.hex.slice(0, 8)}"`, 206],
    ]);
    expect(fromStorage().reduce((sum, { bytes }) => sum + bytes, 0)).toBe(SIZE);
  });

  it('begins anew when the file has changed in between, and when the server knows no ranges', async () => {
    whenStored((nth) => (nth === 1 ? { cutAfter: 700_000, etag: '"older"' } : undefined));
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ status, ifRange }) => [status, ifRange])).toEqual([
      [200, undefined],
      [200, '"older"'],
    ]);
    folder = await temporaryFolder();
    whenStored((nth) => ({ ignoreRange: true, ...(nth === 1 && { cutAfter: 700_000 }) }));
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
  });

  it('sends no weak ETag with If-Range', async () => {
    whenStored((nth) => (nth === 1 ? { cutAfter: 700_000, etag: 'W/"weak"' } : undefined));
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ ifRange, status }) => [ifRange, status])).toEqual([
      [undefined, 200],
      [undefined, 206],
    ]);
  });

  it('that never gets anywhere ends after so many tries, and leaves what came for the next one', async () => {
    whenStored(() => ({ cutAfter: 1000 }));
    const { error } = await fetchFile(LARGE);
    expect(error).toBeInstanceOf(ConnectionFailure);
    expect(fromStorage()).toHaveLength(QUICK.attempts);
    expect(await files()).toEqual([expect.stringMatching(/^sha256-[0-9a-f]{64}\..*-0-\d+\.part$/)]);
    hub.fault = () => undefined;
    hub.log.length = 0;
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ range, bytes }) => [range, bytes])).toEqual([['bytes=4000-', SIZE - 4000]]);
    expect(await files()).toEqual([LARGE.hash.hex]);
  });

  it('counts its tries anew as long as it gets on', async () => {
    whenStored((_, { range }) =>
      range === undefined || Number(/\d+/.exec(range)) < SIZE - 1_048_576 ? { cutAfter: 1_048_576 } : undefined,
    );
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage()).toHaveLength(3);
  });

  it('from a silent server is taken for cut', async () => {
    whenStored((nth) => (nth === 1 ? { hold: { after: 5000, until: new Promise(() => undefined) } } : undefined));
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ range }) => range)).toEqual([undefined, 'bytes=5000-']);
  });

  it('of other bytes than the repository lists is refused, and nothing of it stays', async () => {
    const other = CONTENT.map((byte) => byte ^ 1);
    whenStored(() => ({ content: other }));
    const { error } = await fetchFile(LARGE);
    expect(error).toMatchObject({ kind: 'format' });
    expect(String(error)).toContain(
      `its SHA-256 is ${sha256(other)}, ${LARGE.hash.hex} was expected. It was thrown away.`,
    );
    expect(await files()).toEqual([]);
  });

  it.each([
    ['longer', 10],
    ['shorter', -10],
  ])('of a %s file than the repository lists is refused', async (_, by) => {
    whenStored(() => ({ content: Buffer.concat([CONTENT, Buffer.alloc(10)]).subarray(0, SIZE + by) }));
    const { error, blob } = await fetchFile(LARGE);
    expect(blob).toBeUndefined();
    expect(String(error)).toContain(`has ${SIZE + by} bytes where the repository lists ${SIZE} for w.safetensors`);
    expect(await files()).toEqual([]);
  });

  it('of a file that never stays the same ends', async () => {
    whenStored((nth) => ({ cutAfter: 1_500_000, etag: `"${nth}"` }));
    const { error } = await fetchFile(LARGE);
    expect(String(error)).toContain('does not answer a request for w.safetensors as HTTP asks');
    expect(fromStorage()).toHaveLength(4);
  });

  it('begins once anew when what an earlier process left is something else', async () => {
    await mkdir(join(folder, 'partial'), { recursive: true });
    const host = 'ffffffff'; // another machine, long silent
    const left = join(folder, 'partial', `sha256-${LARGE.hash.hex}.${host}-7-1.part`);
    await writeFile(left, Buffer.alloc(1000, 7));
    await utimes(left, 0, 0);
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage().map(({ range }) => range)).toEqual(['bytes=1000-', undefined]);
    expect(await files()).toEqual([LARGE.hash.hex]);
  });

  it('is stopped by its signal, also while it waits, and by whoever stops listening; both leave what came', async () => {
    whenStored(() => ({ hold: { after: 2_000_000, until: new Promise(() => undefined) } }));
    const stop = new AbortController();
    const onTold = () => setTimeout(() => stop.abort(new Error('enough')), 50); // when it waits for more
    expect((await fetchFile(LARGE, { signal: stop.signal, onTold })).error).toEqual(new Error('enough'));
    hub.fault = () => undefined;
    const { told } = await fetchFile(LARGE, { until: 2_500_000 });
    expect(told[0]).toBeGreaterThan(2 << 20); // it went on behind the first MiB
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(await files()).toEqual([LARGE.hash.hex]);
  });

  it.skipIf(process.getuid?.() === 0)('says where it may not write', async () => {
    await chmod(folder, 0o500);
    const { error } = await fetchFile(LARGE);
    expect(error).toMatchObject({ kind: 'io' });
    expect(String(error)).toContain('set LCM_MERGE_CACHE');
  });

  it('says that there is no room before it begins', async () => {
    const { error } = await fetchFile({ ...LARGE, bytes: 2 ** 52 });
    expect(error).toMatchObject({ kind: 'io' });
    expect(String(error)).toMatch(
      /^IoError: it needs 4503599627370496 more bytes in the cache, and .* has room for \d+\. Free some/,
    );
    expect(fromStorage()).toEqual([]);
    expect(await files()).toEqual([]);
  });
});

describe('answers that may pass', () => {
  it.each([408, 429, 500, 502, 503, 504])('%i is asked again', async (status) => {
    whenStored((nth) => (nth <= 2 ? { status } : undefined));
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(fromStorage()).toHaveLength(3);
  });

  it('so many times', async () => {
    whenStored(() => ({ status: 503 }));
    expect((await fetchFile(LARGE)).error).toMatchObject({ status: 503 });
    expect(fromStorage()).toHaveLength(QUICK.attempts);
  });

  it.each([400, 403, 404, 410])('%i is not', async (status) => {
    whenStored(() => ({ status }));
    const { error } = await fetchFile(LARGE);
    expect(error).toBeInstanceOf(HttpRefusal);
    expect(fromStorage()).toHaveLength(1);
  });

  it('Retry-After is waited for when it is short, and told when it is long', async () => {
    whenStored((nth) => (nth === 1 ? { status: 429, headers: { 'retry-after': '1' } } : undefined));
    const before = performance.now();
    expect((await fetchFile(LARGE)).blob).toEqual(blobOf(CONTENT));
    expect(performance.now() - before).toBeGreaterThan(950);
    folder = await temporaryFolder();
    hub.log.length = 0;
    whenStored(() => ({ status: 429, headers: { 'retry-after': '3600' } }));
    expect((await fetchFile(LARGE)).error).toMatchObject({ status: 429, retryAfter: 3600 });
    expect(fromStorage()).toHaveLength(1);
  });
});

describe('the token', () => {
  const ask = async (address: string, endpoint = hub.endpoint) => {
    const wire = openWire({ endpoint, authorization: () => 'Bearer hf_secret', patience: QUICK });
    return wire.fetch(address).catch((error: unknown) => error);
  };

  it('goes to the Hub, not to where it redirects to, and not back from there', async () => {
    hub.token = 'hf_secret';
    await ask(`${hub.endpoint}/o/r/resolve/${commit}/w.safetensors`);
    expect(hub.log.map(({ server, authorization }) => [server, authorization])).toEqual([
      ['hub', 'Bearer hf_secret'],
      ['storage', undefined],
    ]);
    whenStored(() => ({ status: 302, headers: { location: `${hub.endpoint}/o/r/resolve/${commit}/config.json` } }));
    hub.log.length = 0;
    expect(await ask(`${hub.endpoint}/o/r/resolve/${commit}/w.safetensors`)).toMatchObject({ status: 401 });
    expect(hub.log.map(({ authorization }) => authorization)).toEqual(['Bearer hf_secret', undefined, undefined]);
    hub.token = undefined;
  });

  it('is not sent over plain http to another machine', async () => {
    const seen: unknown[] = [];
    const real = globalThis.fetch;
    globalThis.fetch = async (_, init) => {
      seen.push(new Headers(init?.headers).get('authorization'));
      return new Response('{}');
    };
    try {
      for (const endpoint of ['http://hub.example', 'https://hub.example']) await ask(`${endpoint}/api/x`, endpoint);
    } finally {
      globalThis.fetch = real;
    }
    expect(seen).toEqual([null, 'Bearer hf_secret']);
  });

  it('redirects end, and do not lead to another scheme', async () => {
    hub.fault = ({ url }) => ({
      status: 302,
      headers: { location: url.endsWith('loop') ? '/loop' : 'file:///etc/passwd' },
    });
    expect(String(await ask(`${hub.endpoint}/loop`))).toContain('redirects more than 8 times');
    expect(String(await ask(`${hub.endpoint}/x`))).toContain('redirects to file://');
  });
});

describe('several processes', () => {
  /** Fetches in a process of its own; resolves to what it printed. */
  const start = () => {
    const script = `
      import { openCache } from ${JSON.stringify(resolve('src/hub/cache.ts'))};
      import { download } from ${JSON.stringify(resolve('src/hub/download.ts'))};
      import { openWire } from ${JSON.stringify(resolve('src/hub/http.ts'))};
      const wire = openWire({ endpoint: ${JSON.stringify(hub.endpoint)} });
      const file = ${JSON.stringify(LARGE)};
      const url = ${JSON.stringify(`${hub.endpoint}/o/r/resolve/${commit}/w.safetensors`)};
      const loading = download(url, file, { wire, cache: openCache(${JSON.stringify(folder)}), label: 'it' });
      for (;;) { const step = await loading.next(); console.log(step.done ? JSON.stringify(step.value) : step.value); if (step.done) break; }`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    return { child, ended: once(child, 'close').then(() => output.trim().split('\n').at(-1)) };
  };

  it('that want one file load it once', async () => {
    whenStored(() => ({ hold: { after: 100_000, until: new Promise((done) => setTimeout(done, 800)) } }));
    const both = await Promise.all([start().ended, start().ended]);
    expect(both).toEqual(both.map(() => JSON.stringify(blobOf(CONTENT))));
    expect(fromStorage().map(({ bytes }) => bytes)).toEqual([SIZE]);
    expect(await files()).toEqual([LARGE.hash.hex]);
  });

  it('one that is killed in the middle leaves a part, with which the next one goes on', async () => {
    whenStored((nth) => (nth === 1 ? { hold: { after: 2_000_000, until: new Promise(() => undefined) } } : undefined));
    const first = start();
    await once(first.child.stdout, 'data'); // one MiB is there
    first.child.kill('SIGKILL');
    await first.ended;
    const [part = ''] = await files();
    expect(part).toContain(`-${first.child.pid}-`);
    const { size } = await stat(join(folder, 'partial', part));
    expect(size).toBeGreaterThanOrEqual(1 << 20);
    expect(await start().ended).toBe(JSON.stringify(blobOf(CONTENT)));
    const [, second] = fromStorage();
    expect([second?.range, second?.status, second?.bytes]).toEqual([`bytes=${size}-`, 206, SIZE - size]);
    expect(await files()).toEqual([LARGE.hash.hex]);
  });
});

describe('a body that is sent', () => {
  const put = async (pieces: () => AsyncIterable<Uint8Array>) => {
    const served = createServer((request, response) => {
      let bytes = 0;
      request.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('end', () => response.end(String(bytes)));
    }).listen(0, '127.0.0.1');
    await once(served, 'listening');
    const endpoint = `http://127.0.0.1:${(served.address() as AddressInfo).port}`;
    try {
      const wire = openWire({ endpoint, patience: { ...QUICK, attempts: 2 } });
      const answer = await wire.send(endpoint, { method: 'PUT', headers: {}, body: { bytes: 600, pieces } });
      return String(await collect(answer, 100, 'it'));
    } finally {
      served.closeAllConnections();
      served.close();
    }
  };

  it('may take longer than silence may, as long as something goes out', async () => {
    async function* slowly() {
      for (let sent = 0; sent < 600; sent += 100) {
        await sleep(QUICK.idle / 4);
        yield new Uint8Array(100);
      }
    }
    expect(await put(slowly)).toBe('600');
  });

  it('is read no faster than it is taken', async () => {
    let [read, whenTaken] = [0, 0];
    const served = createServer((request, response) => {
      setTimeout(() => {
        whenTaken = read;
        request.resume().on('end', () => response.end());
      }, 200);
    }).listen(0, '127.0.0.1');
    await once(served, 'listening');
    const endpoint = `http://127.0.0.1:${(served.address() as AddressInfo).port}`;
    async function* large() {
      for (; read < 64; read += 1) yield new Uint8Array(1 << 20);
    }
    const wire = openWire({ endpoint, patience: PATIENCE });
    await wire.send(endpoint, { method: 'PUT', headers: {}, body: { bytes: 64 << 20, pieces: large } });
    served.closeAllConnections();
    served.close();
    expect(read).toBe(64);
    expect(whenTaken).toBeLessThan(32);
  });

  it('fails with what reading it throws, and is not tried again', async () => {
    let read = 0;
    async function* broken() {
      read += 1;
      yield new Uint8Array(100);
      throw new RangeError('no more');
    }
    await expect(put(broken)).rejects.toThrow(RangeError);
    expect(read).toBe(1);
  });
});

/** Packages that are elsewhere, pulled and taken as arguments, from a Hub and a registry on this machine that may be hostile. */
import { lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { FormatError, InputMissingError, IoError, UnavailableError, UsageError } from '../../src/errors.ts';
import { drain, type Event } from '../../src/events.ts';
import type { Patience } from '../../src/hub/http.ts';
import { HOST } from '../../src/hub/partial.ts';
import { artifactManifest } from '../../src/oci/artifact.ts';
import { openLocalPackage, openLocalPackages } from '../../src/publish/local-package.ts';
import { type PullOptions, pull } from '../../src/publish/pull.ts';
import { temporaryFolder } from '../helpers/temporary.ts';
import { type FakeHub, sha256, startHub } from '../hub/hub-server.ts';
import { type FaultProxy, startFaultProxy } from '../oci/fault-proxy.ts';

const patience: Patience = { attempts: 2, firstDelay: 1, longestDelay: 10, idle: 5000 };
const TOKEN = 'hf_secret';
const LOCK = Buffer.from('{}');
const WEIGHTS = Buffer.from(Uint8Array.from({ length: 100_000 }, (_, i) => (i * 2654435761) >>> 24));
const FILES = {
  'lcm-merge.lock.json': LOCK,
  'README.md': Buffer.from('# tiny\n'),
  'unet/model.onnx': Buffer.from('graph'),
  'unet/model.onnx_data': WEIGHTS,
};

let hub: FakeHub;
let cache: string;

beforeAll(async () => {
  hub = await startHub();
});
beforeEach(async () => {
  hub.fault = () => undefined;
  hub.token = undefined;
  hub.log.length = 0;
  cache = await temporaryFolder();
  vi.stubEnv('LCM_MERGE_CACHE', cache);
  vi.stubEnv('HF_ENDPOINT', hub.endpoint);
  vi.stubEnv('HF_TOKEN', TOKEN);
});

const pullTo = async (reference: string, options: Partial<PullOptions> = {}) =>
  drain(pull(reference, { out: join(await temporaryFolder(), 'pulled'), patience, ...options }));
const served = (part: string) => hub.log.filter(({ url }) => url.includes(part));

/** Path and content of every file below `folder`. */
async function contentsOf(folder: string): Promise<Record<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files) expect((await lstat(file)).isFile(), file).toBe(true); // none is a link
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file.slice(folder.length + 1), await readFile(file)] as const)),
  );
}

describe('a package on the Hub', () => {
  it('comes back byte for byte, without what the Hub has added, and is called by its commit', async () => {
    const commit = hub.commit('me/tiny', { ...FILES, '.gitattributes': Buffer.from('*.onnx filter=lfs\n') });
    const pulled = await pullTo('hf://me/tiny');
    expect(pulled).toMatchObject({ reference: `hf://me/tiny@${commit}`, files: 4 });
    expect(pulled.bytes).toBe(Object.values(FILES).reduce((sum, { length }) => sum + length, 0));
    expect(await contentsOf(pulled.folder)).toEqual(FILES);
    hub.commit('me/tiny', { ...FILES, 'README.md': Buffer.from('# another\n') });
    expect(await contentsOf((await pullTo(pulled.reference)).folder)).toEqual(FILES);
  });

  it('is fetched once, and then there without the network', async () => {
    const commit = hub.commit('me/tiny', FILES);
    await expect(pullTo('hf://me/tiny', { offline: true })).rejects.toThrow(/is not in the cache.* without --offline/);
    const events: Event[] = [];
    await pullTo('hf://me/tiny');
    hub.log.length = 0;
    await pullTo(`hf://me/tiny@${commit}`);
    expect(hub.log).toEqual([]);
    const out = join(await temporaryFolder(), 'pulled');
    const pulled = await drain(pull('hf://me/tiny', { out, offline: true }), (event) => events.push(event));
    expect(pulled.reference).toBe(`hf://me/tiny@${commit}`);
    expect(await contentsOf(out)).toEqual(FILES);
    expect(hub.log).toEqual([]);
    expect(events).toContainEqual(expect.objectContaining({ type: 'warning' })); // main may be another by now
    expect(events.at(-1)).toMatchObject({ type: 'stage-finished', summary: '4 files, all in the cache' });
  });

  it('is fetched again where the cache has been damaged, and refused without the network', async () => {
    hub.commit('me/tiny', FILES);
    await pullTo('hf://me/tiny');
    const blob = join(cache, 'blobs', sha256(WEIGHTS).slice(0, 2), sha256(WEIGHTS));
    const damaged = Uint8Array.from(WEIGHTS);
    damaged[99] = 1 + (WEIGHTS[99] ?? 0);
    await writeFile(blob, damaged);
    await expect(pullTo('hf://me/tiny', { offline: true })).rejects.toThrow(
      /What the cache has of unet\/model\.onnx_data is no longer what was fetched, and the network is not to be used/,
    );
    const events: Event[] = [];
    const out = join(await temporaryFolder(), 'pulled');
    await drain(pull('hf://me/tiny', { out, patience }), (event) => events.push(event));
    expect(await contentsOf(out)).toEqual(FILES);
    expect(await readFile(blob)).toEqual(WEIGHTS);
    expect(events).toContainEqual(
      expect.objectContaining({ type: 'warning', message: expect.stringMatching(/again/) }),
    );
  });

  it('goes on where a broken download ended', async () => {
    hub.commit('me/cut', FILES);
    hub.fault = ({ server, range }) => (server === 'storage' && range === undefined ? { cutAfter: 60_000 } : undefined);
    expect(await contentsOf((await pullTo('hf://me/cut')).folder)).toEqual(FILES);
    expect(served('/store/').map(({ range }) => range)).toEqual([undefined, 'bytes=60000-']);
  });

  it('does not get the token to where the Hub redirects to', async () => {
    hub.token = TOKEN;
    hub.commit('me/private', FILES);
    expect(await contentsOf((await pullTo('hf://me/private')).folder)).toEqual(FILES);
    expect(new Set(hub.log.map(({ server, authorization }) => `${server} ${authorization}`))).toEqual(
      new Set([`hub Bearer ${TOKEN}`, 'storage undefined']),
    );
  });

  it.each([
    ['hf://me/tiny/unet', UsageError, 'a package is all of one: hf://me/tiny@main'],
    ['hf://datasets/me/x', UsageError, 'only model repositories'],
    ['http://me/tiny', UsageError, 'is no reference to a package'],
    ['hf://me/nothing', InputMissingError, 'There is no repository me/nothing'],
    ['hf://me/tiny@v9', InputMissingError, 'has no revision v9'],
  ])('%s is none, and why', async (reference, error, reason) => {
    hub.commit('me/tiny', FILES);
    const pulling = pullTo(reference);
    await expect(pulling).rejects.toThrow(error);
    await expect(pulling).rejects.toThrow(reason);
  });

  it('is none without lock or graph, which is said before anything is fetched', async () => {
    hub.commit('me/base', { 'model_index.json': Buffer.from('{}'), 'unet/model.safetensors': WEIGHTS });
    await expect(pullTo('hf://me/base')).rejects.toThrow(
      'hf://me/base is no package: it has neither lcm-merge.lock.json nor unet/model.onnx. Nothing was fetched.',
    );
    expect(served('/resolve/')).toEqual([]);
  });
});

describe('a hostile Hub', () => {
  const refused = async (reference: string, options: Partial<PullOptions> = {}) => {
    const out = join(await temporaryFolder(), 'deep', 'pulled');
    const error: unknown = await pullTo(reference, { out, ...options }).catch((thrown: unknown) => thrown);
    expect(await readdir(join(out, '../..'))).toEqual([]); // nothing of it is anywhere
    return error;
  };

  it.each([
    [{ '../x': LOCK }, 'holds "../x", which has ".." in its path'],
    [{ '/etc/x': LOCK }, 'holds "/etc/x", which has an empty part'],
    [{ 'C:x': LOCK }, 'holds "C:x", which'],
    [{ 'unet/con': LOCK }, 'device on Windows'],
    [{ 'a\\b': LOCK }, 'backslash'],
    [{ 'readme.md': LOCK }, 'which some systems take for one file'],
    [{ 'unet/model.onnx/x': LOCK }, 'holds "unet/model.onnx" as a file and as a folder at once'],
  ])('%j becomes no path', async (more, reason) => {
    hub.commit('me/evil', { ...FILES, ...more });
    const error = await refused('hf://me/evil');
    expect(error).toBeInstanceOf(FormatError);
    expect(String(error)).toContain(reason);
    expect(served('/resolve/')).toEqual([]);
    // nor does it from what the cache remembers of the listing
    expect(String(await refused('hf://me/evil', { offline: true }))).toContain(reason);
  });

  const entries = (change: object) =>
    JSON.stringify(
      Object.entries(FILES).map(([path, data]) => ({
        ...{ type: 'file', path, oid: 'a'.repeat(40), size: data.length },
        ...(path.endsWith('_data') && { lfs: { oid: sha256(data), size: data.length }, ...change }),
      })),
    );
  const listing = (body: string, headers: Readonly<Record<string, string>> = {}) => {
    hub.fault = ({ url }) => (url.includes('/tree/') ? { status: 200, headers, body } : undefined);
  };

  it('whose listing does not end is not listened to', async () => {
    hub.commit('me/endless', FILES);
    const page = Array.from({ length: 5000 }, (_, i) => ({ type: 'file', path: `${i}`, oid: 'a'.repeat(40), size: 1 }));
    listing(JSON.stringify(page), { link: `<${hub.endpoint}/api/models/me/endless/tree/x?cursor=1>; rel="next"` });
    expect(String(await refused('hf://me/endless'))).toContain('there is no end to it');
    listing(`[${' '.repeat(33 << 20)}]`);
    expect(await refused('hf://me/endless')).toBeInstanceOf(UnavailableError);
  });

  it('that lists more files than a package has is not fetched from', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => [`x${i}`, LOCK] as const);
    hub.commit('me/many', { ...FILES, ...Object.fromEntries(many) });
    expect(String(await refused('hf://me/many'))).toContain('it has 10004 files, and 10000 at most are fetched');
    expect(served('/resolve/')).toEqual([]);
  });

  it('that lists a file for which there is no room is not fetched from', async () => {
    hub.commit('me/huge', FILES);
    listing(entries({ lfs: { oid: 'a'.repeat(64), size: 2 ** 52 } }));
    const error = await refused('hf://me/huge');
    expect(error).toBeInstanceOf(IoError);
    expect(String(error)).toContain('needs 45035996');
    expect(served('/resolve/')).toEqual([]);
    hub.commit('me/uncountable', FILES);
    listing(entries({ lfs: { oid: 'a'.repeat(64), size: 2 ** 60 } }));
    expect(await refused('hf://me/uncountable')).toBeInstanceOf(UnavailableError);
  });

  it.each([
    ['other bytes', (data: Buffer) => Buffer.alloc(data.length), 'is not the file that the repository lists'],
    ['more bytes', (data: Buffer) => Buffer.concat([data, data]), 'has 200000 bytes where the repository lists 100000'],
    [
      'a pointer',
      () => Buffer.from('version https://git-lfs.github.com/spec/v1\n'),
      'bytes where the repository lists',
    ],
  ])('that gives %s than it lists is caught', async (_, change, reason) => {
    hub.commit('me/other', FILES);
    hub.fault = ({ server }) => (server === 'storage' ? { content: change(WEIGHTS) } : undefined);
    const error = await refused('hf://me/other');
    expect(error).toBeInstanceOf(FormatError);
    expect(String(error)).toContain(reason);
  });

  it('is taken by its word in the hash of small files, too', async () => {
    hub.commit('me/small', FILES);
    hub.fault = ({ url }) => (url.endsWith('README.md') ? { content: Buffer.from('# evil\n') } : undefined);
    expect(String(await refused('hf://me/small'))).toContain('its git object id is');
  });
});

describe('a hostile registry', () => {
  let registry: FaultProxy;
  beforeAll(async () => {
    registry = await startFaultProxy('127.0.0.1:9');
  });

  it.each([
    [['../x'], '".." in its path'],
    [['/etc/x'], 'an empty part'],
    [['C:x'], 'Windows has no place for'],
    [['con'], 'device on Windows'],
    [['A', 'a'], 'take for one file'],
    [['a', 'a/b'], 'as a file and as a folder'],
  ])('names %j, which become no paths', async (names, reason) => {
    registry.log.length = 0;
    const digest = `sha256:${'a'.repeat(64)}`;
    const files = ['lcm-merge.lock.json', ...names].map((name) => ({ name, digest, bytes: 1 }));
    registry.fault = () => ({ status: 200, body: JSON.stringify(artifactManifest(files, { digest, bytes: 2 })) });
    const reference = `oci://${registry.address}/evil`;
    await expect(pullTo(reference)).rejects.toThrow(reason);
    expect(registry.log.filter(({ url }) => url.includes('/blobs/'))).toEqual([]);
    await expect(pullTo(reference, { offline: true })).rejects.toThrow('not in the cache'); // it is not remembered either
  });

  const listing = (bytes: number) => {
    const digest = `sha256:${'a'.repeat(64)}`;
    return JSON.stringify(artifactManifest([{ name: 'lcm-merge.lock.json', digest, bytes }], { digest, bytes: 2 }));
  };

  it.each([
    ['more than there is room for', () => listing(2 ** 52), 'more bytes in the cache'],
    ['a size that cannot be counted with', () => listing(2 ** 60), 'not that of an artifact with layers'],
    ['a manifest that does not end', () => listing(1).padEnd(5 << 20), 'answers with a manifest with more than'],
    ['no package', () => listing(1).replace('lcm-merge.lock.json', 'model.gguf'), 'has neither lcm-merge.lock.json'],
  ])('lists %s', async (_, body, reason) => {
    registry.log.length = 0;
    registry.fault = () => ({ status: 200, body: body() });
    await expect(pullTo(`oci://${registry.address}/evil`)).rejects.toThrow(reason);
    expect(registry.log.filter(({ url }) => url.includes('/blobs/'))).toEqual([]);
  });

  it('cannot change what a digest stands for, nor can who changes the cache', async () => {
    const digest = `sha256:${sha256(LOCK)}`;
    const body = JSON.stringify(
      artifactManifest([{ name: 'lcm-merge.lock.json', digest, bytes: LOCK.length }], { digest, bytes: 2 }),
    );
    registry.fault = ({ url }) => ({ status: 200, body: url.includes('/blobs/') ? LOCK.toString() : body });
    const { reference } = await pullTo(`oci://${registry.address}/a:v1`);
    expect(reference).toBe(`oci://${registry.address}/a:v1@sha256:${sha256(Buffer.from(body))}`);
    expect(await pullTo(reference, { offline: true })).toMatchObject({ reference, files: 1 });
    const records = join(cache, 'records');
    for (const name of await readdir(records, { recursive: true })) {
      if (!name.endsWith('.json')) continue;
      const file = join(records, name);
      const evil = Buffer.from(body.replace('lcm-merge.lock.json', '../x.lock.json.....')).toString('base64');
      await writeFile(file, (await readFile(file, 'utf8')).replace(Buffer.from(body).toString('base64'), evil));
    }
    await expect(pullTo(reference, { offline: true })).rejects.toThrow('not in the cache');
    registry.fault = () => ({ status: 200, body: `${body} ` });
    await expect(pullTo(reference)).rejects.toThrow('gives a manifest with the digest');
  });
});

describe('a package as an argument', () => {
  const standing = () => readdir(join(cache, 'packages')).catch(() => []);

  it('is a folder as it is', async () => {
    await using local = await drain(openLocalPackage('out/tiny'));
    expect(local).toMatchObject({ folder: 'out/tiny', name: join(process.cwd(), 'out/tiny'), isTemporary: false });
    expect(hub.log).toEqual([]);
  });

  it('is, of a reference, a folder of files that is gone afterwards', async () => {
    const commit = hub.commit('me/tiny', FILES);
    {
      await using local = await drain(openLocalPackage('hf://me/tiny', { patience }));
      expect(local).toMatchObject({ name: `hf://me/tiny@${commit}`, isTemporary: true });
      expect(local.folder).toMatch(new RegExp(`tiny@${commit.slice(0, 8)}$`));
      expect(await contentsOf(local.folder)).toEqual(FILES);
      await using again = await drain(openLocalPackage('hf://me/tiny', { offline: true }));
      expect(again.folder).not.toBe(local.folder);
      expect(await standing()).toHaveLength(2);
    }
    expect(await standing()).toEqual([]);
    expect(await contentsOf((await pullTo('hf://me/tiny', { offline: true })).folder)).toEqual(FILES); // the cache is whole
  });

  it('has no more files than are needed', async () => {
    hub.commit('me/tiny', FILES);
    const wanted = (path: string) => path.endsWith('.json');
    await using local = await drain(openLocalPackage('hf://me/tiny', { patience, wanted }));
    expect(await contentsOf(local.folder)).toEqual({ 'lcm-merge.lock.json': LOCK });
    expect(served('/store/')).toEqual([]);
  });

  it('is one for one reference, however often it is named', async () => {
    hub.commit('me/tiny', FILES);
    await using local = await drain(openLocalPackages(['hf://me/tiny', 'out/x', 'hf://me/tiny'], { patience }));
    const [first, folder, second] = local.packages;
    expect(first).toBe(second);
    expect(folder?.folder).toBe('out/x');
    expect(await standing()).toHaveLength(1);
  });

  it('leaves nothing when it is stopped on its way or cannot be had', async () => {
    hub.commit('me/tiny', FILES);
    const stop = new AbortController();
    hub.fault = ({ server }) =>
      server === 'storage' ? { hold: { after: 50_000, until: new Promise(() => undefined) } } : undefined;
    const opening = drain(openLocalPackage('hf://me/tiny', { patience, signal: stop.signal }), (event) => {
      if (event.type === 'progress' && event.detail === 'unet/model.onnx')
        setTimeout(() => stop.abort(new Error('enough')), 50);
    });
    await expect(opening).rejects.toThrow('enough');
    expect(await standing()).toEqual([]);
    hub.fault = ({ server }) => (server === 'storage' ? { status: 500 } : undefined);
    await expect(drain(openLocalPackage('hf://me/tiny', { patience }))).rejects.toThrow(UnavailableError);
    await expect(drain(openLocalPackages(['hf://me/tiny@main', 'hf://me/gone'], { patience }))).rejects.toThrow();
    expect(await standing()).toEqual([]);
  });

  it('removes what a killed process of this machine has left', async () => {
    hub.commit('me/tiny', FILES);
    const [mine, others] = ['999999999.partial', `${'0'.repeat(8)}-1.999999999.partial`];
    for (let i = 1; i < 100; i += 1) await mkdir(join(cache, 'packages', `${HOST}-${i}.${mine}`), { recursive: true });
    await mkdir(join(cache, 'packages', others)); // of another one, whose processes we cannot see
    await using local = await drain(openLocalPackage('hf://me/tiny', { patience }));
    const left = await standing();
    expect(left).toContain(others);
    expect(left).not.toContain(`${local.folder.split(/[\\/]/).at(-2)?.split('.')[0]}.${mine}`);
  });
});

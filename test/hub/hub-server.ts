/**
 * A Hub on this machine, as @huggingface/hub calls the real one: the model, tree and paths-info APIs and `resolve`, which sends large
 * files (Git LFS) on to a storage with another address; hub-writes.ts has what changes something. Both servers really serve ranges,
 * If-Range and ETags, count every byte, and can be told to misbehave.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  addCommit,
  emptyRepository,
  fileOf,
  gitOid,
  type StoredFile,
  type StoredRepository,
  type WriteSettings,
  writeRoutes,
} from './hub-writes.ts';

export { sha256 } from './hub-writes.ts';

export interface Served {
  readonly server: 'hub' | 'storage';
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
  readonly authorization: string | undefined;
  /** Bytes of what was sent. */
  sent: number;
  status: number;
  /** Of the body, as handed to the socket. */
  bytes: number;
}

/** What happens instead of, or in the middle of, an answer. */
export interface Fault {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** The connection is destroyed when so many bytes of the body are out. */
  readonly cutAfter?: number;
  /** The rest of the body waits for this. */
  readonly hold?: { readonly after: number; readonly until: Promise<unknown> };
  /** Other bytes than the file's. */
  readonly content?: Uint8Array;
  /** As a server that knows no ranges. */
  readonly ignoreRange?: boolean;
  readonly etag?: string;
  /** The connection is destroyed when so many bytes of what is sent have come. */
  readonly resetAfter?: number;
  /** What is sent has its effect, and then the connection is destroyed in place of an answer. */
  readonly losesAnswer?: boolean;
  /** The storage keeps other bytes than came. */
  readonly damaged?: boolean;
}

export interface FakeHub extends WriteSettings {
  readonly endpoint: string;
  readonly log: Served[];
  /** Asked before every answer. */
  fault: (request: Served) => Fault | undefined;
  /** Only with this token is anything answered. */
  token: string | undefined;
  /** What the model API says of a repository beside its commit: `cardData`, `tags`. */
  readonly about: Map<string, object>;
  /** Entries of a listing in one answer. */
  pageSize: number;
  /** Makes a commit that `main` points to, and returns it. Files of 1 KiB and more are in Git LFS. */
  commit(repo: string, files: Readonly<Record<string, Uint8Array>>): string;
  repository(repo: string): StoredRepository | undefined;
  /** What stands at a revision, `.gitattributes` aside. */
  files(repo: string, revision: string): Readonly<Record<string, Uint8Array>>;
}

type File = StoredFile;

/** Closed when the file of tests is done; a script that uses it ends when it wants to. */
export async function startHub(): Promise<FakeHub> {
  const repos = new Map<string, StoredRepository>();
  const log: Served[] = [];

  const answer = (
    server: Served['server'],
    route: (request: Served, response: ServerResponse, body: string) => void,
    write: (request: Parameters<Writes['hub']>[0], isKnown: boolean) => ReturnType<Writes['hub']>,
  ) => {
    return createServer((incoming, response) => {
      void (async () => {
        const served = note(server, incoming);
        log.push(served);
        const fault = hub.fault(served);
        const body = await read(incoming, served, fault?.resetAfter);
        if (!body) return;
        if (fault?.status !== undefined)
          return send(served, response, fault.status, fault.headers ?? {}, Buffer.from(fault.body ?? ''));
        if (server === 'hub' && hub.token !== undefined && served.authorization !== `Bearer ${hub.token}`) {
          return send(
            served,
            response,
            401,
            { 'x-error-code': 'RepoNotFound' },
            Buffer.from('{"error":"Invalid username or password."}'),
          );
        }
        const request = {
          method: served.method,
          url: new URL(served.url, hub.endpoint),
          body,
          headers: incoming.headers,
          damaged: fault?.damaged === true,
        };
        const written = write(request, served.authorization !== undefined);
        if (fault?.losesAnswer) return void response.destroy();
        if (!written) return route(served, response, String(body));
        const { status, json: value, headers = {} } = written;
        const text = value === undefined ? '' : JSON.stringify(value);
        send(served, response, status, { 'content-type': 'application/json', ...headers }, Buffer.from(text));
      })();
    });
  };

  const notFound = (served: Served, response: ServerResponse, code: string) =>
    send(
      served,
      response,
      404,
      { 'x-error-code': code, 'content-type': 'application/json' },
      Buffer.from('{"error":"not found"}'),
    );

  const json = (served: Served, response: ServerResponse, value: unknown, headers: Record<string, string> = {}) =>
    send(served, response, 200, { 'content-type': 'application/json', ...headers }, Buffer.from(JSON.stringify(value)));

  const main = answer(
    'hub',
    (served, response, body) => {
      const url = new URL(served.url, hub.endpoint);
      const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);
      const isApi = parts[0] === 'api';
      const [owner, name, what, revision = '', ...rest] = isApi ? parts.slice(2) : parts;
      const repo = repos.get(`${owner}/${name}`);
      if (!repo) return notFound(served, response, 'RepoNotFound');
      const sha = repo.refs.get(revision) ?? revision;
      const tree = repo.commits.get(sha);
      if (!tree) return notFound(served, response, 'RevisionNotFound');
      const path = rest.join('/');
      if (isApi && what === 'revision')
        return json(served, response, {
          _id: '1',
          id: `${owner}/${name}`,
          sha,
          siblings: [...tree.keys()].map((rfilename) => ({ rfilename })),
          private: repo.isPrivate,
          gated: false,
          lastModified: '2026-01-01T00:00:00.000Z',
          ...hub.about.get(`${owner}/${name}`),
        });
      if (isApi && what === 'paths-info') {
        const { paths } = JSON.parse(body) as { paths: string[] };
        return json(
          served,
          response,
          paths.flatMap((wanted) => entryOf(tree, wanted)),
        );
      }
      if (isApi && what === 'tree') {
        const all = [...tree]
          .filter(([file]) => path === '' || file.startsWith(`${path}/`))
          .map(([file, found]) => describe(file, found));
        const from = Number(url.searchParams.get('cursor') ?? 0);
        url.searchParams.set('cursor', String(from + hub.pageSize));
        const more: Record<string, string> =
          from + hub.pageSize < all.length ? { link: `<${url.href}>; rel="next"` } : {};
        return json(served, response, all.slice(from, from + hub.pageSize), more);
      }
      const file = tree.get(path);
      if (what !== 'resolve' || !file) return notFound(served, response, 'EntryNotFound');
      const at = { 'x-repo-commit': sha };
      if (file.sha256 === undefined) return sendFile(served, response, file.data, `"${file.oid}"`, at);
      const location = `${storageAddress}/store/${file.sha256}?signed=yes`;
      return send(
        served,
        response,
        302,
        {
          location,
          'x-linked-etag': `"${file.sha256}"`,
          'x-linked-size': String(file.data.length),
          etag: '"a redirect"',
          ...at,
        },
        Buffer.alloc(0),
      );
    },
    (request, isKnown) => writes.hub(request, isKnown),
  );

  const storage = answer(
    'storage',
    (served, response) => {
      const hash = served.url.split('/').at(-1)?.split('?')[0] ?? '';
      const data = repos
        .values()
        .map(({ contents }) => contents.get(hash))
        .find((found) => found !== undefined);
      if (!data) return notFound(served, response, 'NoSuchKey');
      return sendFile(served, response, data, `"etag-${hash.slice(0, 8)}"`);
    },
    (request) => writes.storage(request),
  );

  function sendFile(
    served: Served,
    response: ServerResponse,
    whole: Uint8Array,
    ownTag: string,
    more: Readonly<Record<string, string>> = {},
  ): void {
    const fault = hub.fault(served) ?? {};
    const data = fault.content ?? whole;
    const etag = fault.etag ?? ownTag;
    const [, first] = /^bytes=(\d+)-/.exec(served.range ?? '') ?? [];
    const ranged =
      first !== undefined && !fault.ignoreRange && (served.ifRange === undefined || served.ifRange === etag);
    if (ranged && Number(first) >= data.length) {
      send(served, response, 416, {}, Buffer.alloc(0));
      return;
    }
    const part = ranged ? data.subarray(Number(first)) : data;
    const range = ranged ? { 'content-range': `bytes ${first}-${data.length - 1}/${data.length}` } : {};
    send(served, response, ranged ? 206 : 200, { etag, 'accept-ranges': 'bytes', ...range, ...more }, part, fault);
  }

  const [endpoint, storageAddress] = [await listen(main), await listen(storage)];
  type Writes = ReturnType<typeof writeRoutes>;
  const hub: FakeHub = {
    endpoint,
    log,
    fault: () => undefined,
    token: undefined,
    about: new Map(),
    pageSize: 1000,
    account: { type: 'user', name: 'me', orgs: [], auth: { type: 'access_token', accessToken: { role: 'write' } } },
    multipart: { from: Number.POSITIVE_INFINITY, part: 0 },
    verifies: true,
    commit(repo, files) {
      const known = repos.get(repo) ?? emptyRepository();
      repos.set(repo, known);
      const tree = new Map(Object.entries(files).map(([path, data]) => [path, fileOf(data)]));
      for (const { sha256: large, data } of tree.values()) if (large !== undefined) known.contents.set(large, data);
      return addCommit(known, 'main', tree, { title: 'by hand' });
    },
    repository: (repo) => repos.get(repo),
    files(repo, revision) {
      const found = repos.get(repo);
      const tree = found?.commits.get(found.refs.get(revision) ?? revision) ?? new Map<string, File>();
      const own = [...tree].filter(([path]) => path !== '.gitattributes');
      return Object.fromEntries(own.map(([path, { data }]) => [path, data]));
    },
  };
  const writes: Writes = writeRoutes(repos, hub, () => ({ endpoint, storage: storageAddress }));
  return hub;
}

const started: Server[] = [];

if (process.env['VITEST'])
  (await import('vitest')).afterAll(() => {
    for (const server of started.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

async function listen(server: Server): Promise<string> {
  started.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function note(server: Served['server'], { method = '', url = '', headers }: IncomingMessage): Served {
  const { range, authorization } = headers;
  const ifRange = headers['if-range'];
  return {
    server,
    method,
    url,
    range,
    ifRange: typeof ifRange === 'string' ? ifRange : undefined,
    authorization,
    sent: 0,
    status: 0,
    bytes: 0,
  };
}

/** Undefined when it breaks off. */
async function read(incoming: IncomingMessage, served: Served, resetAfter?: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of incoming) {
      chunks.push(chunk as Buffer);
      served.sent += (chunk as Buffer).length;
      if (resetAfter !== undefined && served.sent >= resetAfter) incoming.destroy();
    }
  } catch {
    return undefined;
  }
  return incoming.destroyed && resetAfter !== undefined ? undefined : Buffer.concat(chunks);
}

function send(
  served: Served,
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array,
  { cutAfter, hold }: Fault = {},
): void {
  served.status = status;
  response.writeHead(status, { ...headers, 'content-length': String(body.length) });
  const stop = cutAfter ?? hold?.after;
  if (stop === undefined || stop >= body.length) {
    served.bytes = body.length;
    response.end(body);
    return;
  }
  served.bytes = stop;
  response.write(body.subarray(0, stop), () => {
    if (hold) {
      void hold.until.then(() => {
        served.bytes = body.length;
        response.end(body.subarray(stop));
      });
    } else setTimeout(() => response.destroy(), 50); // what was written arrives before the end does
  });
}

/** As the tree API has it. */
function describe(path: string, { data, oid, sha256: large }: File) {
  if (large === undefined) return { type: 'file', oid, size: data.length, path };
  return {
    type: 'file',
    oid: gitOid(Buffer.from(`pointer to ${large}`)),
    size: data.length,
    path,
    lfs: { oid: large, size: data.length, pointerSize: 134 },
  };
}

function entryOf(tree: ReadonlyMap<string, File>, path: string): object[] {
  const file = tree.get(path);
  if (file) return [describe(path, file)];
  const isFolder = [...tree.keys()].some((name) => name.startsWith(`${path}/`));
  return isFolder ? [{ type: 'directory', oid: gitOid(Buffer.from(path)), size: 0, path }] : [];
}

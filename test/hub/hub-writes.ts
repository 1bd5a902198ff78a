/**
 * The write half of the Hub on this machine, as huggingface_hub and @huggingface/hub call the real one: repositories, branches, preupload,
 * the LFS batch API with basic and multipart transfers on a storage elsewhere, verification, commits, pull requests, whoami. It takes
 * nothing on trust: lengths, parts, ETags and hashes are checked, and what was never stored whole cannot be committed.
 */
import { createHash } from 'node:crypto';

export interface StoredFile {
  readonly data: Uint8Array;
  readonly oid: string;
  /** Large files only. */
  readonly sha256: string | undefined;
}

export interface StoredRepository {
  readonly refs: Map<string, string>;
  readonly commits: Map<string, Map<string, StoredFile>>;
  readonly history: {
    readonly sha: string;
    readonly parent: string;
    readonly ref: string;
    readonly title: string;
    readonly description: string;
  }[];
  /** Of its large files, by SHA-256: those that were found to be what they are called. */
  readonly contents: Map<string, Uint8Array>;
  isPrivate: boolean;
}

export interface WriteRequest {
  readonly method: string;
  readonly url: URL;
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The storage keeps other bytes than it got. */
  readonly damaged: boolean;
}

export interface Answer {
  readonly status: number;
  readonly json?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface WriteSettings {
  /** What whoami answers. */
  account: object;
  /** Bytes from which files go in parts, and of a part. */
  multipart: { from: number; part: number };
  /** Whether uploads are to be verified by those who made them. */
  verifies: boolean;
}

export const LFS_FROM = 1024;

export const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
export const gitOid = (data: Uint8Array) =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');
const md5 = (data: Uint8Array) => createHash('md5').update(data).digest('hex');

const refuse = (status: number, error: string, code?: string): Answer => ({
  status,
  json: { error },
  ...(code !== undefined && { headers: { 'x-error-code': code } }),
});

export function fileOf(data: Uint8Array): StoredFile {
  return { data, oid: gitOid(data), sha256: data.length >= LFS_FROM ? sha256(data) : undefined };
}

/** Makes a commit that `ref` points to. */
export function addCommit(
  repo: StoredRepository,
  ref: string,
  tree: Map<string, StoredFile>,
  { title, description = '' }: { title: string; description?: string },
): string {
  const parent = repo.refs.get(ref) ?? '';
  const sha = createHash('sha1')
    .update(JSON.stringify([...tree].map(([path, { oid }]) => [path, oid])) + repo.commits.size)
    .digest('hex');
  repo.commits.set(sha, tree);
  repo.refs.set(ref, sha);
  repo.history.push({ sha, parent, ref, title, description });
  return sha;
}

export const emptyRepository = (): StoredRepository => ({
  refs: new Map(),
  commits: new Map(),
  history: [],
  contents: new Map(),
  isPrivate: false,
});

interface Upload {
  readonly repo: StoredRepository;
  readonly oid: string;
  readonly size: number;
  readonly part: number;
  readonly parts: Map<number, Buffer>;
}

/** The routes of both servers; undefined for what is none of theirs. */
export function writeRoutes(
  repos: Map<string, StoredRepository>,
  settings: WriteSettings,
  addresses: () => { readonly endpoint: string; readonly storage: string },
) {
  /** What came, not yet looked at; by SHA-256 as it was called. */
  const arrived = new Map<string, Uint8Array>();
  const uploads = new Map<string, Upload>();
  let serial = 0;

  /** Whether what has arrived as `oid` is that; what is not is gone. */
  const accept = ({ contents }: StoredRepository, oid: string, size: number): boolean => {
    const data = arrived.get(oid);
    arrived.delete(oid);
    if (data && data.length === size && sha256(data) === oid) contents.set(oid, data);
    return contents.has(oid);
  };

  function createRepository(body: Buffer): Answer {
    const { name, organization, visibility, private: secret } = JSON.parse(String(body));
    const id = `${organization ?? 'me'}/${name}`;
    if (repos.has(id)) return refuse(409, 'You already created this model repo');
    const repo = emptyRepository();
    repo.isPrivate = visibility === 'private' || secret === true;
    repos.set(id, repo);
    const attributes = fileOf(Buffer.from('*.onnx filter=lfs diff=lfs merge=lfs -text\n'));
    addCommit(repo, 'main', new Map([['.gitattributes', attributes]]), { title: 'initial commit' });
    return { status: 200, json: { url: `${addresses().endpoint}/${id}`, id, name: id } };
  }

  function preupload(body: Buffer): Answer {
    const { files } = JSON.parse(String(body)) as { files: { path: string; size: number; sample: string }[] };
    const wrong = files.find(({ size, sample }) => Buffer.from(sample, 'base64').length !== Math.min(size, 512));
    if (wrong) return refuse(400, `sample of ${wrong.path}`);
    return {
      status: 200,
      json: {
        files: files.map(({ path, size }) => ({
          path,
          uploadMode: size >= LFS_FROM ? 'lfs' : 'regular',
          shouldIgnore: false,
        })),
      },
    };
  }

  function batch(id: string, repo: StoredRepository, body: Buffer, headers: WriteRequest['headers']): Answer {
    if (headers['content-type'] !== 'application/vnd.git-lfs+json') return refuse(415, 'content type');
    const { operation, objects, transfers = ['basic'] } = JSON.parse(String(body));
    if (operation !== 'upload') return refuse(400, 'operation');
    const { endpoint, storage } = addresses();
    const { from, part } = settings.multipart;
    let transfer = 'basic';
    const answers = (objects as { oid: string; size: number }[]).map(({ oid, size }) => {
      if (repo.contents.has(oid)) return { oid, size };
      const key = String((serial += 1));
      const verify = settings.verifies ? { verify: { href: `${endpoint}/${id}.git/info/lfs/verify` } } : {};
      if (size < from || !transfers.includes('multipart')) {
        uploads.set(key, { repo, oid, size, part: size, parts: new Map() });
        return { oid, size, actions: { upload: { href: `${storage}/put/${key}?X-Signature=signed` }, ...verify } };
      }
      transfer = 'multipart';
      uploads.set(key, { repo, oid, size, part, parts: new Map() });
      const parts = Array.from({ length: Math.ceil(size / part) }, (_, i) => [
        String(i + 1).padStart(5, '0'),
        `${storage}/part/${key}/${i + 1}?X-Signature=signed`,
      ]);
      const header = { chunk_size: String(part), ...Object.fromEntries(parts) };
      return {
        oid,
        size,
        actions: { upload: { href: `${endpoint}/api/complete_multipart?upload=${key}`, header }, ...verify },
      };
    });
    return {
      status: 200,
      json: { transfer, objects: answers },
      headers: { 'content-type': 'application/vnd.git-lfs+json' },
    };
  }

  function complete(key: string, body: Buffer): Answer {
    const upload = uploads.get(key);
    if (!upload) return refuse(404, 'NoSuchUpload');
    const { oid, parts } = JSON.parse(String(body)) as { oid: string; parts: { partNumber: number; etag: string }[] };
    const expected = Math.ceil(upload.size / upload.part);
    const isRight =
      oid === upload.oid &&
      parts.length === expected &&
      parts.every(
        ({ partNumber, etag }, i) =>
          partNumber === i + 1 && etag === `"${md5(upload.parts.get(partNumber) ?? Buffer.of())}"`,
      );
    if (!isRight) return refuse(400, 'InvalidPart');
    uploads.delete(key);
    arrived.set(oid, Buffer.concat(parts.map(({ partNumber }) => upload.parts.get(partNumber) as Buffer)));
    return settings.verifies || accept(upload.repo, oid, upload.size)
      ? { status: 200, json: { success: true } }
      : refuse(400, 'The hash is another');
  }

  function verify(repo: StoredRepository, body: Buffer): Answer {
    const { oid, size } = JSON.parse(String(body));
    return accept(repo, oid, size)
      ? { status: 200, json: {} }
      : refuse(400, 'The object is not there, or its hash is another');
  }

  function commit(id: string, repo: StoredRepository, ref: string, isProposal: boolean, body: Buffer): Answer {
    const [header, ...operations] = String(body)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { key: string; value: Record<string, string> });
    const head = repo.refs.get(ref);
    if (header?.key !== 'header' || !header.value['summary']) return refuse(400, 'header');
    if (head === undefined) return refuse(404, `Invalid rev id: ${ref}`, 'RevisionNotFound');
    const {
      parentCommit,
      summary: title,
      description = '',
    } = header.value as Record<string, string> & { summary: string };
    if (!isProposal && parentCommit !== undefined && parentCommit !== head)
      return refuse(412, 'A commit has happened since. Please refresh and try again.');
    const tree = new Map(repo.commits.get(isProposal ? (parentCommit ?? head) : head));
    for (const { key, value } of operations) {
      const { path = '', content = '', oid = '', size } = value;
      if (key === 'deletedFile') {
        if (!tree.delete(path)) return refuse(400, `${path} is not there`);
      } else if (key === 'lfsFile') {
        const data = repo.contents.get(oid) ?? (accept(repo, oid, Number(size)) ? repo.contents.get(oid) : undefined);
        if (!data || data.length !== Number(size ?? data.length))
          return refuse(400, `LFS pointer of ${path} points to a file that does not exist`);
        tree.set(path, { data, oid: gitOid(Buffer.from(`pointer to ${oid}`)), sha256: oid });
      } else if (key === 'file') {
        const data = Buffer.from(content, 'base64');
        if (data.length >= LFS_FROM) return refuse(400, `${path} must be in LFS`);
        tree.set(path, { data, oid: gitOid(data), sha256: undefined });
      } else return refuse(400, key);
    }
    const number = [...repo.refs.keys()].filter((name) => name.startsWith('refs/pr/')).length + 1;
    const target = isProposal ? `refs/pr/${number}` : ref;
    if (isProposal) repo.refs.set(target, parentCommit ?? head);
    const sha = addCommit(repo, target, tree, { title, description });
    const at = `${addresses().endpoint}/${id}`;
    return {
      status: 200,
      json: {
        success: true,
        commitOid: sha,
        commitUrl: `${at}/commit/${sha}`,
        hookOutput: '',
        ...(isProposal && { pullRequestUrl: `${at}/discussions/${number}` }),
      },
    };
  }

  return {
    /** `isKnown`: somebody has shown who they are. */
    hub({ method, url, body, headers }: WriteRequest, isKnown: boolean): Answer | undefined {
      const parts = url.pathname.split('/').slice(1).map(decodeURIComponent);
      const [first, second, owner, name, what, revision = ''] = parts;
      if (method === 'GET' && url.pathname === '/api/whoami-v2')
        return isKnown ? { status: 200, json: settings.account } : refuse(401, 'Invalid username or password.');
      if (method !== 'POST' || what === 'paths-info') return undefined;
      if (url.pathname === '/api/complete_multipart') return complete(url.searchParams.get('upload') ?? '', body);
      if (!isKnown) return refuse(401, 'Invalid username or password.');
      if (url.pathname === '/api/repos/create') return createRepository(body);
      if (url.pathname === '/api/validate-yaml') return { status: 200, json: { errors: [], warnings: [] } };
      const git = /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/(verify|objects\/batch)$/.exec(url.pathname);
      const id = git?.[1] ?? `${owner}/${name}`;
      const repo = repos.get(id);
      if (!repo) return refuse(404, 'Repository not found', 'RepoNotFound');
      if (git) return git[2] === 'verify' ? verify(repo, body) : batch(id, repo, body, headers);
      if (first !== 'api' || second !== 'models') return undefined;
      if (what === 'preupload')
        return repo.refs.has(revision) || repo.commits.has(revision)
          ? preupload(body)
          : refuse(404, `Invalid rev id: ${revision}`, 'RevisionNotFound');
      if (what === 'branch') {
        if (repo.refs.has(revision)) return refuse(409, 'Reference already exists');
        const { startingPoint = repo.refs.get('main') } = JSON.parse(String(body));
        if (!repo.commits.has(startingPoint))
          return refuse(404, `Invalid rev id: ${startingPoint}`, 'RevisionNotFound');
        repo.refs.set(revision, startingPoint);
        return { status: 200, json: {} };
      }
      if (what === 'commit') return commit(id, repo, revision, url.searchParams.get('create_pr') === '1', body);
      return undefined;
    },
    storage({ method, url, body, headers, damaged }: WriteRequest): Answer | undefined {
      if (method !== 'PUT') return undefined;
      const [, kind, key = '', number = '1'] = url.pathname.split('/');
      const upload = uploads.get(key);
      if (!upload || url.searchParams.get('X-Signature') !== 'signed') return { status: 403 };
      if (headers['content-length'] === undefined || headers['transfer-encoding'] !== undefined) return { status: 411 };
      const from = (Number(number) - 1) * upload.part;
      if (body.length !== Math.min(upload.part, upload.size - from)) return { status: 400 };
      const kept = Buffer.from(body);
      if (damaged && kept[0] !== undefined) kept[0] ^= 1;
      const etag = { etag: `"${md5(kept)}"` };
      if (kind === 'put') {
        arrived.set(upload.oid, kept);
        if (!settings.verifies && !accept(upload.repo, upload.oid, upload.size)) return { status: 200, headers: etag }; // it says so when it is committed
      } else upload.parts.set(Number(number), kept);
      return { status: 200, headers: etag };
    },
  };
}

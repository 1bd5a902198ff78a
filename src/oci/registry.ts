/**
 * An OCI registry as the distribution specification (v1.1) has it: blobs are looked up, pushed in chunks and read; manifests are put
 * and got by tag or digest. Who one is is shown as the registry asks (WWW-Authenticate: Basic, or Bearer with a token service).
 */
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { FormatError } from '../errors.ts';
import { ioError } from '../formats/byte-source.ts';
import { openChecked } from '../hub/content.ts';
import {
  type Call,
  ConnectionFailure,
  collect,
  HttpRefusal,
  isSafe,
  type Opened,
  openWire,
  type Patience,
  type Wire,
} from '../hub/http.ts';
import { answerTo } from './authorization.ts';
import type { Credentials } from './credentials.ts';
import { DIGEST, endpointOf, type OciReference } from './reference.ts';
import type { Uploads } from './uploads.ts';

export interface Blob {
  /** `sha256:…` */
  readonly digest: string;
  readonly bytes: number;
}

export interface Manifest {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly mediaType: string;
  readonly digest: string;
}

export interface Registry {
  has(blob: Blob): Promise<boolean>;
  /**
   * Pushes the file at `path`; yields how many bytes are there whenever more are. After a cut it goes on where the registry says that
   * it has got to, and so does another process, if `uploads` are noted.
   * @throws IoError when the file cannot be read or is no longer as long; FormatError when the registry finds other bytes
   */
  push(blob: Blob, path: string): AsyncGenerator<number, void>;
  /** A small blob, such as a config. */
  pushBytes(bytes: Uint8Array<ArrayBuffer>): Promise<Blob>;
  /** @returns the digest of the manifest */
  putManifest(bytes: Uint8Array<ArrayBuffer>, mediaType: string, tag: string | undefined): Promise<string>;
  /** Undefined where there is none. @throws FormatError when it does not have the digest that it should have */
  getManifest(reference: string, accept: string): Promise<Manifest | undefined>;
  /** Where the content of a blob is … */
  addressOf(blob: Blob): string;
  /** … and what reads it from there: hub/download.ts, for one. */
  readonly wire: Wire;
}

export interface RegistryOptions {
  readonly credentials?: Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
  /** Bytes of a chunk, which is in memory while it is sent. */
  readonly chunk?: number | undefined;
  /** Where uploads are noted that another process may go on with; default: nowhere. */
  readonly uploads?: Uploads | undefined;
}

/** One that is under way. */
interface Upload {
  readonly at: string;
  /** Bytes that the registry has of it. */
  readonly sent: number;
}

/** Registries behind proxies refuse requests that are much larger (Cloudflare: 100 MB). */
const CHUNK = 32 << 20;
/** Of a manifest: what the specification asks registries to take. */
const MAX_MANIFEST = 4 << 20;
/** Attempts at going on after a cut without getting any further. */
const MAX_STANDSTILLS = 5;

const sha256 = (bytes: Uint8Array) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Asks for nothing yet. @throws HttpRefusal, ConnectionFailure, the signal's reason: all functions of the registry */
export function openRegistry(
  reference: Pick<OciReference, 'registry' | 'repository'>,
  { credentials, signal, patience, chunk = CHUNK, uploads }: RegistryOptions = {},
): Registry {
  const endpoint = endpointOf(reference);
  const base = `${endpoint}/v2/${reference.repository}`;
  let authorization: string | undefined;
  const wire = openWire({ endpoint, authorization: () => authorization, signal, patience });

  /** Shows who one is when that is asked for, and once more when a token has run out. */
  const send = async (url: string, call: Call): Promise<Opened> => {
    try {
      return await wire.send(url, call);
    } catch (error) {
      if (!(error instanceof HttpRefusal) || error.status !== 401 || error.challenge === undefined) throw error;
      if (error.origin !== endpoint) throw error; // whoever it was that the registry sent us to is not told who we are
      authorization = await answerTo(error.challenge, credentials, { endpoint, signal, patience });
      if (authorization === undefined) throw error;
      return wire.send(url, call);
    }
  };
  const ask = async (url: string, call: Call): Promise<Opened> => {
    const answer = await send(url, call);
    await answer.cancel();
    return answer;
  };

  const has = async ({ digest }: Blob) => {
    try {
      await ask(`${base}/blobs/${digest}`, { method: 'HEAD', headers: {} });
      return true;
    } catch (error) {
      if (error instanceof HttpRefusal && error.status === 404) return false;
      throw error;
    }
  };

  const begin = async () => {
    const answer = await ask(`${base}/blobs/uploads/`, { method: 'POST', headers: { 'content-length': '0' } });
    return locationOf(answer, endpoint);
  };
  const finish = async (at: string, digest: string) => {
    const url = new URL(at);
    url.searchParams.set('digest', digest);
    await ask(url.href, { method: 'PUT', headers: { 'content-length': '0' } });
  };

  return {
    has,
    async *push(blob, path) {
      const file = await openChecked(path);
      try {
        const begun = await takenUp(blob);
        try {
          yield* sendFrom(begun ?? { at: await begin(), sent: 0 }, file, blob, path);
        } catch (error) {
          if (!isRefusal(error)) throw error;
          await uploads?.forget(blob.digest);
          if (!begun) throw error;
          yield* sendFrom({ at: await begin(), sent: 0 }, file, blob, path); // what an earlier process had sent was of another file
        }
      } finally {
        await file.close();
      }
      if (!(await has(blob)))
        throw new FormatError(
          `${endpoint} took ${path} and does not have it as ${blob.digest}. Did the file change on the way?`,
          {
            file: path,
          },
        );
    },
    async pushBytes(bytes) {
      const blob = { digest: sha256(bytes), bytes: bytes.length };
      if (await has(blob)) return blob;
      const url = new URL(await begin());
      url.searchParams.set('digest', blob.digest);
      await ask(url.href, { method: 'PUT', headers: { 'content-type': 'application/octet-stream' }, body: bytes });
      return blob;
    },
    async putManifest(bytes, mediaType, tag) {
      const digest = sha256(bytes);
      await ask(`${base}/manifests/${tag ?? digest}`, {
        method: 'PUT',
        headers: { 'content-type': mediaType },
        body: bytes,
      });
      return digest;
    },
    async getManifest(name, accept) {
      let answer: Opened;
      try {
        answer = await send(`${base}/manifests/${name}`, { method: 'GET', headers: { accept } });
      } catch (error) {
        if (error instanceof HttpRefusal && error.status === 404) return undefined;
        throw error;
      }
      const bytes = await collect(answer, MAX_MANIFEST, `${endpoint} answers with a manifest`);
      const digest = sha256(bytes);
      if (DIGEST.test(name) && name !== digest)
        throw new FormatError(`${endpoint} gives a manifest with the digest ${digest} where ${name} was asked for.`);
      return { bytes, digest, mediaType: answer.headers.get('content-type') ?? '' };
    },
    addressOf: ({ digest }) => `${base}/blobs/${digest}`,
    wire: { ...wire, open: (url, headers) => send(url, { method: 'GET', headers, ranged: true }) },
  };

  /** What an earlier process has begun, if the registry still has it. */
  async function takenUp({ digest }: Blob): Promise<Upload | undefined> {
    const location = await uploads?.begun(digest);
    return location === undefined ? undefined : standing(safeLocation(location, endpoint));
  }

  /** Sends what is missing, and yields how much is there whenever more is. */
  async function* sendFrom(
    { at, sent }: Upload,
    file: FileHandle,
    blob: Blob,
    path: string,
  ): AsyncGenerator<number, void> {
    const isLong = blob.bytes > chunk; // what is one chunk is sent at once or not at all
    if (sent > 0) yield sent;
    for (let [standstills, most] = [0, sent]; sent < blob.bytes; ) {
      if (isLong) await uploads?.note(blob.digest, at);
      const body = await readChunk(file, path, sent, Math.min(chunk, blob.bytes - sent));
      try {
        const range = `${sent}-${sent + body.length - 1}`;
        const headers = { 'content-type': 'application/octet-stream', 'content-range': range };
        // a chunk that was half taken cannot simply be sent again
        const answer = await ask(at, { method: 'PATCH', headers, body, attempts: 1 });
        [at, sent] = [locationOf(answer, endpoint), Math.max(endOf(answer) ?? 0, sent + body.length)];
        [standstills, most] = [0, Math.max(most, sent)];
      } catch (error) {
        if (!isCut(error) || standstills >= MAX_STANDSTILLS) throw error;
        signal?.throwIfAborted();
        standstills += 1;
        await wire.pause(standstills);
        const now = (await standing(at)) ?? { at: await begin(), sent: 0 };
        if (now.sent > most) standstills = 0;
        ({ at, sent } = now);
        most = Math.max(most, sent);
      }
      yield sent;
    }
    if (isLong) await uploads?.note(blob.digest, at);
    await finish(at, blob.digest);
    if (isLong) await uploads?.forget(blob.digest);
  }

  /** After a cut: where the upload goes on, and how much of it is there; undefined for one that is gone. */
  async function standing(at: string): Promise<Upload | undefined> {
    try {
      const answer = await ask(at, { method: 'GET', headers: {} });
      return { at: locationOf(answer, endpoint, at), sent: endOf(answer) ?? 0 };
    } catch (error) {
      if (error instanceof HttpRefusal && GONE.has(error.status)) return undefined;
      throw error;
    }
  }
}

/** An upload that has ended. docker-registry ends one (404 or 400) whose connection broke in the middle of a chunk; other registries keep it. */
const GONE: ReadonlySet<number> = new Set([400, 403, 404, 405, 410, 416]); // 403: its address has run out; whoever may not write hears it at the next

/** The registry will not have what it was sent, or no longer knows of it; who may not send at all has still sent what is there. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof HttpRefusal) || isCut(error)) return false;
  return error.status < 500 && error.status !== 401 && error.status !== 403;
}

/** What passes, and leaves an upload that can be gone on with. */
function isCut(error: unknown): boolean {
  if (error instanceof ConnectionFailure) return !error.lasting;
  return error instanceof HttpRefusal && (error.status === 416 || error.status === 429 || error.status >= 500);
}

/** Where the server says that it goes on: an address of its own, or one relative to it. */
function locationOf({ headers }: Opened, endpoint: string, otherwise?: string): string {
  const location = headers.get('location') ?? otherwise;
  if (location === undefined) throw new ConnectionFailure(`${endpoint} begins an upload and does not say where`, true);
  return safeLocation(location, endpoint);
}

/** @throws ConnectionFailure for what must not be gone to */
function safeLocation(location: string, endpoint: string): string {
  const url = URL.canParse(location, endpoint) ? new URL(location, endpoint) : undefined;
  if (url && isSafe(url, new URL(endpoint))) return url.href;
  throw new ConnectionFailure(`${endpoint} begins an upload at an address that is none, or is not safe`, true);
}

/** Bytes that an upload has: `Range: 0-N` is inclusive, and `0-0` of docker-registry is none. */
function endOf({ headers }: Opened): number | undefined {
  const [, end] = /^(?:bytes=)?0-(\d+)$/.exec(headers.get('range') ?? '') ?? [];
  if (end === undefined) return undefined;
  return end === '0' ? 0 : Number(end) + 1;
}

async function readChunk(
  file: FileHandle,
  path: string,
  from: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let read = 0; read < length; ) {
    const { bytesRead } = await file.read(bytes, read, length - read, from + read).catch((error: unknown) => {
      throw ioError('read', path, error);
    });
    if (bytesRead === 0)
      throw new FormatError(`${path} has become shorter while it was sent: it ends at byte ${from + read}.`, {
        file: path,
      });
    read += bytesRead;
  }
  return bytes;
}

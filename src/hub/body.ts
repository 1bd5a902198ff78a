/**
 * One request with what it sends: a text, bytes, or a stream that is made anew whenever it is sent again. Streams go out by node:http and
 * not by fetch, which reads a body as fast as it can be read and keeps in memory what the line has not taken yet (Node 24: all of a file).
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export interface Streamed {
  /** Of all pieces together. Always told: storages take no bodies of unknown length. */
  readonly bytes: number;
  /** What it throws is thrown by the call as it is, and not tried again. */
  pieces(): AsyncIterable<Uint8Array>;
}

export type Body = string | Uint8Array<ArrayBuffer> | Streamed;

/** `cause` is what reading the body threw, so that it is not taken for the connection's fault. */
export class UnreadableBody extends Error {
  constructor(cause: unknown) {
    super('What is to be sent cannot be read.', { cause });
  }
}

export interface RequestOptions {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body | undefined;
  readonly signal: AbortSignal;
  /** Something goes out, which is no silence, however slow the line is. */
  readonly onPiece: () => void;
}

/** So much of bytes is handed over between two looks at the clock. */
const PIECE = 1 << 18;
/** Statuses whose answers have no body, in the words of the Fetch standard. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** As fetch does it, without following redirects. @throws UnreadableBody, the signal's reason, what node:http throws */
export async function request(url: URL, { body, onPiece, ...options }: RequestOptions): Promise<Response> {
  if (body === undefined || typeof body === 'string')
    return fetch(url, { ...options, redirect: 'manual', ...(body !== undefined && { body }) });
  const { bytes, pieces } = body instanceof Uint8Array ? { bytes: body.length, pieces: () => cut(body) } : body;
  const { method, signal } = options;
  const headers = { ...options.headers, 'content-length': String(bytes) };
  const outgoing = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, { method, headers, signal });
  let fault: UnreadableBody | undefined;
  async function* watched() {
    try {
      for await (const piece of pieces()) {
        onPiece();
        yield piece;
      }
    } catch (error) {
      throw (fault = new UnreadableBody(error));
    }
  }
  try {
    const answered = answerTo(outgoing);
    const sending = pipeline(Readable.from(watched()), outgoing);
    sending.catch(() => undefined); // the answer, or that there is none, tells
    const incoming = await answered;
    incoming.once('end', () => outgoing.writableFinished || outgoing.destroy()); // who has said no wants no more
    return asResponse(incoming);
  } catch (error) {
    throw fault ?? (signal.aborted ? signal.reason : error);
  }
}

function answerTo(outgoing: ClientRequest): Promise<IncomingMessage> {
  return new Promise((answered, failed) => outgoing.once('response', answered).on('error', failed));
}

async function* cut(body: Uint8Array) {
  for (let at = 0; at < body.length; at += PIECE) yield body.subarray(at, at + PIECE);
}

function asResponse(incoming: IncomingMessage): Response {
  const { statusCode: status = 0, rawHeaders } = incoming;
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2)
    headers.append(rawHeaders[i] as string, rawHeaders[i + 1] as string);
  if (BODILESS.has(status)) incoming.resume();
  const body = BODILESS.has(status) ? null : (Readable.toWeb(incoming) as ReadableStream<Uint8Array>);
  return new Response(body, { status, headers });
}

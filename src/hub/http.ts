/**
 * Requests to one host, the Hub or a registry: the secret goes to the host's own address and nowhere else, nothing leads from https to
 * http, certificates are always checked, and what may pass (429, 5xx, a lost connection) is tried again, so often and so long as `Patience` says.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { UsageError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { type Body, request, UnreadableBody } from './body.ts';
import { type Watch, watchSilence } from './silence.ts';

/** Milliseconds, but for `attempts`. */
export interface Patience {
  /** Tries of one request in all. */
  readonly attempts: number;
  /** Before the second try; each later one waits twice as long. */
  readonly firstDelay: number;
  /** The longest wait that a server may ask for (Retry-After); one that asks for more is not waited for. */
  readonly longestDelay: number;
  /** Silence after which a connection counts as lost. */
  readonly idle: number;
}

export const PATIENCE: Patience = { attempts: 6, firstDelay: 250, longestDelay: 60_000, idle: 30_000 };

/** huggingface.co needs two: to a renamed repository, to the storage. */
const MAX_REDIRECTS = 8;
/** A listing's page has a thousand entries of some 300 bytes. */
const MAX_ANSWER_BYTES = 32 << 20;

const MAY_PASS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Errors of the connection that the next try would meet again: no such host, nobody listens, a certificate that is not trusted. */
const LASTING =
  /^(ENOTFOUND|ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ERR_(TLS|SSL|INVALID).*|.*CERT.*|DEPTH_ZERO.*|UNABLE_TO.*|EPROTO)$/;

/** Of those the ones that a certificate more would help against. */
const UNKNOWN_AUTHORITY = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)/;

/** A server has answered, and the answer is no. */
export class HttpRefusal extends Error {
  readonly status: number;
  /** The Hub's own word for it, `X-Error-Code`: RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo. */
  readonly code: string | undefined;
  /** Seconds that a server asked to be left alone, when that was too long. */
  readonly retryAfter: number | undefined;
  /** Whose answer it is, after all redirects. */
  readonly origin: string;
  /** What the server says about it in words (the Hub: `X-Error-Message`, or `error` in the body): anybody's text. */
  readonly told: string | undefined;
  /** How one has to show who one is, where the server asks for that (WWW-Authenticate, RFC 9110, 11.6.1). */
  readonly challenge: string | undefined;

  constructor(
    url: URL,
    response: Response,
    { retryAfter, told }: { retryAfter?: number | undefined; told?: string | undefined } = {},
  ) {
    super(`${url.host} answers ${response.status}`);
    this.status = response.status;
    this.origin = url.origin;
    this.code = response.headers.get('x-error-code') ?? undefined;
    this.retryAfter = retryAfter;
    this.told = told;
    this.challenge = response.headers.get('www-authenticate') ?? undefined;
  }
}

/** No answer, or one that broke off; `message` is a sentence without its full stop. */
export class ConnectionFailure extends Error {
  /** Whether trying again is of no use. */
  readonly lasting: boolean;
  constructor(message: string, lasting: boolean, options?: ErrorOptions) {
    super(message, options);
    this.lasting = lasting;
  }
}

export interface Wire {
  readonly patience: Patience;
  /** An answer whose body is whole and in memory, as @huggingface/hub calls it. */
  readonly fetch: typeof fetch;
  /** An answer whose body is still to come, by `chunks`. */
  open(url: string, headers: Readonly<Record<string, string>>): Promise<Opened>;
  /** The same for any method. */
  send(url: string, call: Call): Promise<Opened>;
  /** Waits before try number `attempt` (from 1) of something, or for the seconds that the server has asked for. */
  pause(attempt: number, seconds?: number): Promise<void>;
}

export interface Opened {
  readonly status: number;
  readonly headers: Headers;
  /** @throws ConnectionFailure when it breaks off or falls silent */
  chunks(): AsyncGenerator<Uint8Array>;
  cancel(): Promise<void>;
}

export interface WireOptions {
  readonly endpoint: string;
  /** What to show the endpoint, and nobody else; asked before each request. */
  readonly authorization?: (() => string | undefined) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly patience?: Patience | undefined;
}

export interface Call {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Body;
  /** Asks for a part of something: then 416, "there is no such part", is an answer and no refusal. */
  readonly ranged?: true;
  /** How often it is tried; default: what patience says. */
  readonly attempts?: number;
}

/** What is shorter stands in answers by chance. */
const SHORTEST_SECRET = 16;
/** Headers that a server gave for its own address (Git LFS), and nobody else's. */
const OWN_HEADERS = /^(authorization|cookie)$/i;

/** @throws UsageError where certificates would not be checked; HttpRefusal, ConnectionFailure, the signal's reason: all calls of the wire */
export function openWire({ endpoint, authorization, signal, patience = PATIENCE }: WireOptions): Wire {
  const home = new URL(endpoint);
  assertChecked(home);
  const secret = () => (isPrivate(home) ? authorization?.() : undefined);

  /** What a server answers, without the secret where it repeats that: names and paths of it are shown. */
  function hide(answer: Buffer<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const [, shown = ''] = secret()?.split(' ') ?? [];
    if (shown.length < SHORTEST_SECRET || !answer.includes(shown)) return answer;
    return Buffer.from(String(answer).replaceAll(shown, '…'));
  }

  /** One try, through all redirects. */
  async function go(
    address: string,
    { method, headers, body }: Call,
  ): Promise<{ response: Response; url: URL; watch: Watch }> {
    let url = new URL(address);
    if (!isSafe(url, home))
      throw new ConnectionFailure(
        `${home.host} names ${url.protocol}//${url.host} as an address, which is not safe`,
        true,
      );
    const watch = watchSilence(patience.idle, signal);
    const first = url.origin;
    let trusted = url.origin === home.origin;
    const shown = trusted ? secret() : undefined;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
      trusted &&= url.origin === home.origin; // whoever was sent away does not come back with the token
      const response = await request(url, {
        method,
        body,
        signal: watch.signal,
        onPiece: watch.touch,
        headers: {
          ...(url.origin === first ? headers : withoutOwn(headers)),
          'user-agent': `lcm-merge/${VERSION}`,
          'accept-encoding': 'identity', // sizes and ranges are those of the file
          ...(trusted && shown !== undefined && { authorization: shown }),
        },
      }).catch((error: unknown) => {
        watch.end();
        throw error instanceof UnreadableBody ? error.cause : broken(url, error, signal);
      });
      watch.touch();
      if (!REDIRECTS.has(response.status)) return { response, url, watch };
      await response.body?.cancel();
      url = follow(url, response.headers.get('location'), watch);
    }
    watch.end();
    throw new ConnectionFailure(`${home.host} redirects more than ${MAX_REDIRECTS} times`, true);
  }

  /** As many tries as it takes and patience allows; `use` turns an accepted answer into the result. */
  async function persist<Result>(
    address: string,
    call: Call,
    use: (opened: Opened) => Promise<Result>,
  ): Promise<Result> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { response, url, watch } = await go(address, call);
        if (response.ok || (response.status === 416 && call.ranged))
          return await use(opened(response, url, watch, signal));
        const told = await toldBy(response, url, watch, signal);
        throw new HttpRefusal(url, response, { retryAfter: delayOf(response), told });
      } catch (error) {
        signal?.throwIfAborted();
        if (!mayPass(error, patience) || attempt >= (call.attempts ?? patience.attempts)) throw error;
        await pause(attempt, error instanceof HttpRefusal ? error.retryAfter : undefined);
      }
    }
  }

  async function pause(attempt: number, seconds?: number): Promise<void> {
    const grown = patience.firstDelay * 2 ** (attempt - 1) * (0.75 + Math.random() / 2); // so that many do not come back at once
    await sleep(seconds === undefined ? Math.min(grown, patience.longestDelay) : seconds * 1000, undefined, {
      ...(signal && { signal }),
    }).catch(() => signal?.throwIfAborted());
  }

  return {
    patience,
    pause,
    open: (url, headers) => persist(url, { method: 'GET', headers, ranged: true }, async (found) => found),
    send: (url, call) => persist(url, call, async (found) => found),
    fetch: async (input, init = {}) => {
      const { method = 'GET', body } = init;
      const { authorization: _, ...headers } = Object.fromEntries(new Headers(init.headers)); // the wire shows its own
      const call = { method, headers, ...(typeof body === 'string' && { body }) };
      return persist(String(input), call, async (answer) => {
        const body = await collect(answer, MAX_ANSWER_BYTES, `${home.host} answers a question`);
        return new Response(hide(body), { status: answer.status, headers: answer.headers });
      });
    },
  };
}

/** Milliseconds that an answer may take in any case, and bytes a second that it must have after them: nobody is kept by single bytes. */
const [GRACE, SLOWEST] = [60_000, 1000];

/** All of a body that is small. `what` begins the sentence about one that is not. @throws ConnectionFailure */
export async function collect({ chunks }: Opened, most: number, what: string): Promise<Buffer<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  const started = performance.now();
  for await (const chunk of chunks()) {
    parts.push(chunk);
    bytes += chunk.length;
    if (bytes > most) throw new ConnectionFailure(`${what} with more than ${most} bytes`, true);
    const late = performance.now() - started - GRACE;
    if (late > 0 && bytes < (late / 1000) * SLOWEST)
      throw new ConnectionFailure(`${what} so slowly that it would never end`, true);
  }
  return Buffer.concat(parts);
}

/** Longer than any sentence. */
const MAX_TOLD_BYTES = 1 << 14;

/** What a refusal says of itself; an answer that cannot be read says nothing. */
async function toldBy(response: Response, url: URL, watch: Watch, signal?: AbortSignal): Promise<string | undefined> {
  const found = opened(response, url, watch, signal);
  const told = response.headers.get('x-error-message');
  if (told !== null || !/\bjson\b/.test(response.headers.get('content-type') ?? '')) {
    await found.cancel();
    return told ?? undefined;
  }
  try {
    const { error, message } = JSON.parse(String(await collect(found, MAX_TOLD_BYTES, ''))) as Record<string, unknown>;
    return [error, message].find((text) => typeof text === 'string');
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}

/** Over plain http a token can be read by anybody on the way; only this machine's own servers get it so. */
export function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
}

/** Whether what `from` names may be gone to: without leaving https, and as nobody whose name and password stand in the address. */
export function isSafe(to: URL, from: URL): boolean {
  const isHttp = to.protocol === 'https:' || (to.protocol === 'http:' && from.protocol === 'http:');
  return isHttp && to.username === '' && to.password === '';
}

/** What else Node would do without a word: show a token to whoever says that it is the host. */
function assertChecked({ protocol, host }: URL): void {
  if (protocol !== 'https:' || process.env['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0') return;
  throw new UsageError(
    `NODE_TLS_REJECT_UNAUTHORIZED=0 lets anybody pass for ${host}, so nothing is asked of it. Unset it; a certificate of your own is trusted with NODE_EXTRA_CA_CERTS=FILE.pem.`,
  );
}

function withoutOwn(headers: Call['headers']): Call['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !OWN_HEADERS.test(name)));
}

function follow(from: URL, location: string | null, watch: Watch): URL {
  const to = location !== null && URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  if (to && isSafe(to, from)) return to;
  watch.end();
  throw new ConnectionFailure(
    `${from.host} redirects ${to ? `to ${to.protocol}// (${to.host}), which is not safe` : 'to nowhere'}`,
    true,
  );
}

function opened(response: Response, url: URL, watch: Watch, signal: AbortSignal | undefined): Opened {
  return {
    status: response.status,
    headers: response.headers,
    async *chunks() {
      try {
        for await (const chunk of response.body ?? []) {
          watch.rest(); // what the reader does with it is its own time
          yield chunk as Uint8Array;
          watch.touch();
        }
      } catch (error) {
        throw broken(url, error, signal);
      } finally {
        watch.end();
      }
    },
    async cancel() {
      watch.end();
      await response.body?.cancel().catch(() => undefined);
    },
  };
}

/** What fetch throws hides the reason in `cause`, sometimes twice. */
function broken(url: URL, thrown: unknown, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  let error = thrown;
  while (error instanceof Error && !('code' in error) && error.cause instanceof Error) error = error.cause;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const said = error instanceof Error ? error.message || code : String(error);
  const reason = UNKNOWN_AUTHORITY.test(code)
    ? `${code}, nobody who is trusted here has signed its certificate; NODE_EXTRA_CA_CERTS=FILE.pem adds somebody`
    : said;
  return new ConnectionFailure(`the connection to ${url.host} fails: ${reason}`, LASTING.test(code), { cause: thrown });
}

/** Retry-After in seconds: a number, or a date (RFC 9110, 10.2.3); or when the Hub's window ends (its page "Rate limits"). */
function delayOf({ headers, status }: Response): number | undefined {
  const text = headers.get('retry-after');
  const [, window] = /;r=0;t=(\d+)/.exec(headers.get('ratelimit') ?? '') ?? [];
  if (text === null) return status === 429 && window !== undefined ? Number(window) : undefined;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

/** Whether trying again may help. */
export function mayPass(error: unknown, { longestDelay }: Patience): boolean {
  if (error instanceof ConnectionFailure) return !error.lasting;
  return error instanceof HttpRefusal && MAY_PASS.has(error.status) && (error.retryAfter ?? 0) * 1000 <= longestDelay;
}

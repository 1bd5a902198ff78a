/**
 * What a request sends: a text, bytes, or a stream that need not be in memory and is made anew whenever it is sent again. Its length is
 * always told, because storages take no bodies of unknown length.
 */

export interface Streamed {
  /** Of all pieces together. */
  readonly bytes: number;
  /** What it throws is thrown by the call as it is, and not tried again. */
  pieces(): AsyncIterable<Uint8Array>;
}

/** So much is handed over between two looks at the clock. */
const PIECE = 1 << 18;

/** A body as fetch wants it; `onPiece`: something goes out, which is no silence, however slow the line is. */
export function outgoing(body: string | Uint8Array | Streamed | undefined, onPiece: () => void) {
  if (body === undefined || typeof body === 'string')
    return { init: body === undefined ? {} : { body }, headers: {}, fault: () => undefined };
  const { bytes, pieces } = body instanceof Uint8Array ? { bytes: body.length, pieces: () => cut(body) } : body;
  let fault: unknown;
  async function* watched() {
    try {
      for await (const piece of pieces()) {
        onPiece();
        yield piece;
      }
    } catch (error) {
      fault = error;
      throw error;
    }
  }
  return {
    init: { body: ReadableStream.from(watched()), duplex: 'half' as const },
    headers: { 'content-length': String(bytes) },
    fault: () => fault,
  };
}

async function* cut(body: Uint8Array) {
  for (let at = 0; at < body.length; at += PIECE) yield body.subarray(at, at + PIECE);
}

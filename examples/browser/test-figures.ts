/** How far two clips are apart, and the frames that an animated PNG holds. */
import { crc32 } from 'node:zlib';
import sharp from 'sharp';

/** ‖a − b‖ / ‖b‖; 1 and more is another picture. */
export function relativeError(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  const norm = (of: (x: number, i: number) => number) => Math.sqrt(b.reduce((sum, x, i) => sum + of(x, i) ** 2, 0));
  return norm((x, i) => x - (a[i] as number)) / norm((x) => x);
}

export function meanDifference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((sum, value, i) => sum + Math.abs(value - (b[i] as number)), 0) / a.length;
}

/** Every frame of an animated PNG, decoded as the still picture that its chunks make. */
export async function framesOfApng(file: Uint8Array): Promise<Uint8Array> {
  const data = Buffer.from(file);
  const chunks: { type: string; whole: Buffer; content: Buffer }[] = [];
  for (let at = 8; at < data.length; ) {
    const length = data.readUInt32BE(at);
    const whole = data.subarray(at, at + 12 + length);
    chunks.push({ type: whole.toString('latin1', 4, 8), whole, content: whole.subarray(8, 8 + length) });
    at += 12 + length;
  }
  const header = chunks.find(({ type }) => type === 'IHDR') as { whole: Buffer };
  const end = chunks.at(-1) as { whole: Buffer };
  const stills = chunks.flatMap(({ type, whole, content }) => {
    if (type !== 'IDAT' && type !== 'fdAT') return [];
    const pixels = type === 'IDAT' ? whole : pngChunk('IDAT', content.subarray(4));
    return [Buffer.concat([data.subarray(0, 8), header.whole, pixels, end.whole])];
  });
  return Buffer.concat(await Promise.all(stills.map((still) => sharp(still).removeAlpha().raw().toBuffer())));
}

function pngChunk(type: string, content: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + content.length);
  chunk.writeUInt32BE(content.length);
  chunk.write(type, 4, 'latin1');
  content.copy(chunk, 8);
  chunk.writeUInt32BE(crc32(chunk.subarray(4, -4)), chunk.length - 4);
  return chunk;
}

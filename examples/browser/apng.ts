/**
 * A clip as an animated PNG: lossless, and every browser plays it. Sources: PNG (ISO/IEC 15948) §5 and §11, and the third
 * edition's acTL, fcTL and fdAT. Browsers and Node have zlib (CompressionStream) but no encoder of moving pictures.
 */
import type { Clip } from './messages.ts';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const RGB = 2;
/** Each pixel as its difference from the one above. */
const FILTER_UP = 2;

export async function encodeApng({ width, height, count, data }: Clip, framesPerSecond: number): Promise<Blob> {
  const stride = width * 3;
  const parts: Uint8Array<ArrayBuffer>[] = [
    SIGNATURE,
    chunk('IHDR', uint32(width), uint32(height), Uint8Array.of(8, RGB, 0, 0, 0)),
    chunk('acTL', uint32(count), uint32(0)), // plays without end
  ];
  let sequence = 0;
  for (let frame = 0; frame < count; frame += 1) {
    const pixels = data.subarray(frame * stride * height, (frame + 1) * stride * height);
    const place = [uint32(width), uint32(height), uint32(0), uint32(0)];
    const delay = Uint8Array.of(0, 1, framesPerSecond >> 8, framesPerSecond & 0xff); // 1 / fps seconds
    parts.push(chunk('fcTL', uint32(sequence++), ...place, delay, Uint8Array.of(0, 0))); // nothing disposed of, nothing blended
    const packed = await deflate(filtered(pixels, stride));
    parts.push(frame === 0 ? chunk('IDAT', packed) : chunk('fdAT', uint32(sequence++), packed));
  }
  parts.push(chunk('IEND'));
  return new Blob(parts, { type: 'image/apng' });
}

function filtered(pixels: Uint8Array, stride: number): Uint8Array<ArrayBuffer> {
  const rows = pixels.length / stride;
  const lines = new Uint8Array(rows * (stride + 1));
  for (let row = 0; row < rows; row += 1) {
    lines[row * (stride + 1)] = FILTER_UP;
    for (let i = 0; i < stride; i += 1) {
      const above = row === 0 ? 0 : (pixels[(row - 1) * stride + i] as number);
      lines[row * (stride + 1) + 1 + i] = (pixels[row * stride + i] as number) - above;
    }
  }
  return lines;
}

/** zlib's container, as PNG wants it. */
async function deflate(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream('deflate'))).bytes();
}

/** Length, type, content, and the checksum of both. */
function chunk(type: string, ...content: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  const bytes = new Uint8Array(12 + length);
  bytes.set(uint32(length));
  bytes.set(new TextEncoder().encode(type), 4);
  let at = 8;
  for (const part of content) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes.set(uint32(crc32(bytes.subarray(4, at))), at);
  return bytes;
}

function uint32(value: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let bit = 0; bit < 8; bit += 1) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}

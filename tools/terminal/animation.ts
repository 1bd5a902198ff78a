/** Screens one after the other as a WebP that moves: each is a picture of svg.ts, drawn by librsvg with the machine's own fonts. */
import sharp from 'sharp';
import { encodeAnimatedWebp } from '../../src/runtime/frame-files.ts';
import { CHANNELS, CLIP_FPS } from '../../src/runtime/frames.ts';

/** Screens of one size, as SVG. Equal ones that follow each other become one. */
export async function encodeAnimation(screens: readonly string[]): Promise<Uint8Array> {
  const drawn = await Promise.all(
    screens.map((svg) => sharp(Buffer.from(svg)).flatten({ background: '#fff' }).raw().toBuffer({ resolveWithObject: true })),
  );
  const [{ info } = { info: { width: 0, height: 0 } }] = drawn;
  const { width, height } = info;
  const data = new Uint8Array(width * height * CHANNELS * drawn.length);
  drawn.forEach(({ data: pixels }, i) => data.set(pixels, i * pixels.length));
  return encodeAnimatedWebp({ width, height, count: drawn.length, data }, { fps: CLIP_FPS, lossless: true });
}

/** Screens one after the other as a WebP that moves: each is a picture of svg.ts, drawn by librsvg with the machine's own fonts. */
import sharp from 'sharp';
import { encodeAnimatedWebp } from '../../src/runtime/frame-files.ts';
import { CLIP_FPS } from '../../src/runtime/frames.ts';

/** Screens of one size, as SVG, at the rate of clips. Corners that are not the window's become white. */
export async function encodeAnimation(screens: readonly string[]): Promise<Uint8Array> {
  const drawn = await Promise.all(
    screens.map((svg) =>
      sharp(Buffer.from(svg)).flatten({ background: '#fff' }).raw().toBuffer({ resolveWithObject: true }),
    ),
  );
  const { width = 0, height = 0 } = drawn[0]?.info ?? {};
  const data = Buffer.concat(drawn.map((screen) => screen.data));
  return encodeAnimatedWebp({ width, height, count: drawn.length, data }, { fps: CLIP_FPS, lossless: true });
}

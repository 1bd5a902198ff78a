/** The pictures that the page carries, as data: URLs. Small ones are exact, large ones as small as they look good. */
import { encodeAnimatedWebp, encodeWebp } from '../../runtime/frame-files.ts';
import { CLIP_FPS, type Frames } from '../../runtime/frames.ts';
import type { Video } from '../../runtime/pipeline.ts';

export interface Pictures {
  readonly clip?: string;
  /** Its middle frame. */
  readonly still?: string;
  /** After steps of sampling; a step whose estimate has no colours is missing. */
  readonly steps: readonly { readonly step: number; readonly width: number; readonly picture: string }[];
}

/** Pixels of a side up to which every bit is kept: there are few of them, and enlarged they are all seen. */
const EXACT_SIDE = 128;
/** Pixels that a step of the strip is wide at most. */
const STEP_WIDTH = 256;

export async function picturesOf(video: Video | undefined): Promise<Pictures> {
  if (!video) return { steps: [] };
  const { frames, previews } = video;
  const lossless = isSmall(frames);
  const steps: Pictures['steps'][number][] = [];
  for (const { step, width, height, pixels } of previews) {
    const preview = { width, height, count: 1, data: pixels };
    const webp = await encodeWebp(preview, 0, { lossless: isSmall(preview), maxWidth: STEP_WIDTH });
    steps.push({ step, width, picture: dataUrl(webp) });
  }
  return {
    clip: dataUrl(await encodeAnimatedWebp(frames, { fps: CLIP_FPS, lossless })),
    still: dataUrl(await encodeWebp(frames, Math.floor(frames.count / 2), { lossless })),
    steps,
  };
}

function isSmall({ width, height }: Pick<Frames, 'width' | 'height'>): boolean {
  return Math.max(width, height) <= EXACT_SIDE;
}

function dataUrl(webp: Uint8Array): string {
  return `data:image/webp;base64,${Buffer.from(webp).toString('base64')}`;
}

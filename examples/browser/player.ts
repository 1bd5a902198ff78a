/** Shows a clip on a canvas: moving, stopped at a frame, or one still picture while the clip is being made. */
import type { Clip } from './messages.ts';

export const FRAMES_PER_SECOND = 8;

export interface Player {
  /** A clip of several frames begins to move, unless the reader's system asks for no motion. */
  show(clip: Clip): void;
  /** Goes on, or stops. */
  toggle(): void;
  /** Stops at a frame, counted from 0. */
  seek(frame: number): void;
  readonly playing: boolean;
}

/** `onFrame` hears of every frame that is drawn. */
export function createPlayer(canvas: HTMLCanvasElement, onFrame: (frame: number, playing: boolean) => void): Player {
  const context = canvas.getContext('2d') as CanvasRenderingContext2D;
  let frames: readonly ImageData[] = [];
  let current = 0;
  let playing = false;
  let last = 0;

  const draw = (frame: number) => {
    const image = frames[frame];
    if (!image) return;
    current = frame;
    context.putImageData(image, 0, 0);
    onFrame(current, playing);
  };
  const tick = (now: number) => {
    if (!playing) return;
    if (now - last >= 1000 / FRAMES_PER_SECOND) {
      last = now;
      draw((current + 1) % frames.length);
    }
    requestAnimationFrame(tick);
  };
  const play = (wanted: boolean) => {
    const starts = wanted && !playing;
    playing = wanted;
    if (starts) requestAnimationFrame(tick);
    onFrame(current, playing);
  };
  return {
    show(clip) {
      play(false);
      canvas.width = clip.width;
      canvas.height = clip.height;
      frames = toImages(clip);
      draw(0);
      play(clip.count > 1 && !matchMedia('(prefers-reduced-motion: reduce)').matches);
    },
    toggle: () => play(!playing && frames.length > 1),
    seek(frame) {
      play(false);
      draw(frame);
    },
    get playing() {
      return playing;
    },
  };
}

function toImages({ width, height, count, data }: Clip): ImageData[] {
  const pixels = width * height;
  return Array.from({ length: count }, (_, frame) => {
    const image = new ImageData(width, height);
    for (let i = 0; i < pixels; i += 1) {
      const from = (frame * pixels + i) * 3;
      image.data.set([data[from] as number, data[from + 1] as number, data[from + 2] as number, 255], i * 4);
    }
    return image;
  });
}

/** Clips and contexts for the checks that look at what running gave, made without running anything. */
import type { Video } from '../../src/runtime/pipeline.ts';
import type { CheckContext } from '../../src/verify/check.ts';

const [COUNT, SIDE] = [4, 8];

/** 64 latents. */
export const latentsOf = (fill: (i: number) => number) => Float32Array.from({ length: 64 }, (_, i) => fill(i));

/** A clip that every check accepts: a wave that wanders, from latents that settle. */
export function movingVideo(changes: Partial<Video> = {}): Video {
  const latents = latentsOf(Math.sin);
  const given = latentsOf((i) => Math.cos(7 * i));
  return {
    latents,
    shape: [1, 4, COUNT, 2, 2],
    trajectory: [given, given, latents],
    estimates: [latentsOf((i) => 2 * Math.cos(i)), latentsOf((i) => 0.8 * Math.sin(i)), latents],
    previews: [],
    first: {
      timestep: 999,
      before: given,
      given,
      noise: [given],
      states: [{ dims: [1, 1], data: Float32Array.of(1) }],
    },
    frames: {
      width: SIDE,
      height: SIDE,
      count: COUNT,
      data: painted((x, y, frame) => 128 + 60 * Math.sin((x + y) / 2 + frame / 3)),
    },
    tokens: 77,
    decoded: { min: -1, max: 1, finite: true },
    device: 'cpu',
    graphs: { unet: '', text_encoder: '', vae_decoder: '' },
    timing: { load_ms: 1, denoise_ms: 150, step_ms: [50, 50, 50], decode_ms: 10, peak_bytes: 1000 },
    ...changes,
  };
}

/** RGB of four frames of 8×8, the same in every channel. */
export function painted(level: (x: number, y: number, frame: number) => number): Uint8Array {
  return Uint8Array.from({ length: COUNT * SIDE * SIDE * 3 }, (_, i) => {
    const pixel = Math.floor(i / 3);
    return level(pixel % SIDE, Math.floor(pixel / SIDE) % SIDE, Math.floor(pixel / SIDE ** 2));
  });
}

/** What a check is given beside the package. */
export function contextWith(changes: Partial<CheckContext> & Pick<CheckContext, 'pkg'>): CheckContext {
  return {
    folder: changes.pkg.folder,
    lock: changes.pkg.lock,
    files: {},
    plan: undefined,
    request: { prompt: 'a red circle', negative: '', seed: 0, guidance: 1 },
    video: movingVideo(),
    profile: 'standard',
    budgets: {},
    earlier: undefined,
    again: () => Promise.reject(new Error('Nothing should be run again.')),
    signal: undefined,
    ...changes,
  };
}

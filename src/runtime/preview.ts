/**
 * Previews: what the clip would be if sampling ended with this step. Of each step's clean estimate (the samplers' `denoised`) the
 * middle frame goes through the VAE decoder, a fraction of what the clip costs.
 */
import { VAE_SCALE } from '../architecture/vae-scale.ts';
import type { Preview } from '../events.ts';
import { type DenoisingStep, decode, type LoadedGraph, middleFrame } from './denoise.ts';
import { framesFromDecoder } from './frames.ts';
import type { VideoPackage } from './package-folder.ts';

/**
 * Undefined where the decoder gives no colours: early estimates may lie so far out that fp16 overflows in it, which says nothing of
 * the clip. `shape` is the clip's, `[1, 4, F, h, w]`.
 */
export async function previewOf(
  { index, denoised }: Pick<DenoisingStep, 'index' | 'denoised'>,
  total: number,
  shape: readonly number[],
  { pkg, decoder }: { readonly pkg: Pick<VideoPackage, 'scaling_factor'>; readonly decoder: LoadedGraph },
): Promise<Preview | undefined> {
  const [, channels = 0, , h = 0, w = 0] = shape;
  const decoded = await decode(pkg, decoder, middleFrame(denoised, shape), [1, channels, 1, h, w]);
  if (decoded.some(Number.isNaN)) return undefined;
  const { width, height, data } = framesFromDecoder(decoded, [1, 3, h * VAE_SCALE, w * VAE_SCALE]);
  return { step: index + 1, total, width, height, pixels: data };
}

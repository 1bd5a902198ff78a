/** The VAE encoder runs: the clip's first frame is turned back into latents, which are numbers and not all alike. */
import { TRAITS } from '../../runtime/device.ts';
import type { Frames } from '../../runtime/frames.ts';
import { type HostTensor, startHost } from '../../runtime/host.ts';
import { graphFor } from '../../runtime/package-folder.ts';
import type { Video } from '../../runtime/pipeline.ts';
import { loadPlaced } from '../../runtime/placement.ts';
import { type Check, failed, passed } from '../check.ts';

/** Below this the means have collapsed to one value. */
const MIN_DEVIATION = 1e-3;

export const encoder: Check = {
  id: 'encoder',
  proves: 'the VAE encoder runs on the device and turns a frame into latents that are finite and not all alike',
  cost: 'one picture',
  from: 'quick',
  applies: ({ pkg, video }) => pkg.graphs.vae_encoder !== undefined && !(video instanceof Error),
  async run({ pkg, video, signal }) {
    if (video instanceof Error) throw video;
    const graph = graphFor(pkg.graphs.vae_encoder ?? [], TRAITS[video.device].target);
    if (!graph) throw new RangeError('encoder needs a package with an encoder.');
    await using host = startHost(signal);
    const allowFallback = video.fallback !== undefined;
    const session = await loadPlaced(host, graph.path, video.device, { allowFallback });
    const { outputs } = await session.run({ sample: firstFrame(video.frames) });
    const moments = outputs['latent_parameters']?.data as Float32Array;
    const at = moments.findIndex((x) => !Number.isFinite(x));
    if (at >= 0)
      return failed(`The encoder makes ${moments[at]} of the first frame, at element ${at}.`, { element: at });
    const means = moments.subarray(0, moments.length / 2).map((x) => x * pkg.scaling_factor);
    const { deviation, correlation } = compare(means, firstLatents(video));
    const figures = { deviation, correlation };
    return deviation < MIN_DEVIATION
      ? failed(`The latents of the first frame are all alike (standard deviation ${deviation}).`, figures)
      : passed(
          `The latents of the first frame have a standard deviation of ${deviation.toFixed(3)} and a correlation of ${correlation.toFixed(3)} with those it was decoded from.`,
          figures,
        );
  },
};

/** `[1, 3, H, W]` in −1 … 1. */
function firstFrame({ data, width, height }: Frames): HostTensor {
  const plane = width * height;
  const sample = Float32Array.from(
    { length: 3 * plane },
    (_, i) => (data[(i % plane) * 3 + Math.floor(i / plane)] as number) / 127.5 - 1,
  );
  return { type: 'float32', dims: [1, 3, height, width], data: sample };
}

/** `[4, h, w]` of `[1, 4, F, h, w]`. */
function firstLatents({ latents, shape: [, , frames, height, width] }: Pick<Video, 'latents' | 'shape'>): Float32Array {
  const plane = height * width;
  return Float32Array.from(
    { length: 4 * plane },
    (_, i) => latents[Math.floor(i / plane) * frames * plane + (i % plane)] as number,
  );
}

/** Standard deviation of `found`, and its correlation with `expected`, 0 where one of them does not vary. */
function compare(found: Float32Array, expected: Float32Array): { deviation: number; correlation: number } {
  const mean = (values: Float32Array) => values.reduce((sum, x) => sum + x, 0) / values.length;
  const [a, b] = [mean(found), mean(expected)];
  let [ab, aa, bb] = [0, 0, 0];
  for (const [i, x] of found.entries()) {
    const [da, db] = [x - a, (expected[i] as number) - b];
    ab += da * db;
    aa += da * da;
    bb += db * db;
  }
  return { deviation: Math.sqrt(aa / found.length), correlation: aa * bb === 0 ? 0 : ab / Math.sqrt(aa * bb) };
}
